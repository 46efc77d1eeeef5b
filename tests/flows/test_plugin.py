"""The package in examples/plugin, as somebody installs it: its kinds in a campaign, drawn from in any process."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from molbuffer.storage import SampleStore

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "examples" / "plugin"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an installation of the package, for PYTHONPATH."""
    folder = tmp_path_factory.mktemp("plugin")
    source = shutil.copytree(PLUGIN, folder / "source")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--target", str(folder / "site"), str(source)], check=True, capture_output=True)
    return folder / "site"


def test_the_example_package_is_installed_and_its_kinds_make_a_campaign(
    installed: Path, one_process: Callable[..., Any], tmp_path: Path
) -> None:
    def run(*commands: Sequence[Any]) -> list[str]:
        return [done.stdout for done in one_process(*commands, folder=tmp_path, PYTHONPATH=str(installed))]

    store, molecules = tmp_path / "lab", tmp_path / "chains.smi"
    # Whatever a model draws of these tokens is a molecule.
    molecules.write_text("".join("".join(each) + "\n" for each in product("CNO", repeat=5)))
    short = ("--epochs", "1", "--decay-epochs", "1", "--batch-size", "32", "--draws", "20", "--hidden-size", "32")
    pretrain = ("pretrain", molecules, "--model", "ngram", "--store", store, "--json", "--no-prefect", *short[:-2])
    listed, example, trained = run(("kinds", "--json"), ("config", "example"), pretrain)
    kinds = {row["kind"]: row for row in json.loads(listed) if row["from"] == "molbuffer-example 0.1.0"}
    assert kinds.keys() == {"rewritten", "ngram", "reward_weighted", "heteroatoms"}
    assert not any(row["problem"] for row in kinds.values())
    assert 'kind = "rewritten"' in example
    prior = json.loads(trained)["policy"]
    config = (PLUGIN / "campaign.toml").read_text().replace("iterations = 40\nbatch_size = 64", CAMPAIGN)
    config = config.replace('{ kind = "history", select = "top_k" }', f'{{ kind = "dataset", path = "{molecules}" }}')
    (tmp_path / "plugin.toml").write_text(config.replace("[objective]", f'[policy]\nprior = "{prior}"\n[objective]', 1))
    [told] = map(json.loads, run(("run", "plugin.toml", "--store", store, "--json", "--no-prefect")))
    # A build of another process draws from the trained policy, whose model is of the package.
    (tmp_path / "build.toml").write_text(BUILD.format(policy=told["policy"]))
    run(("build", "build.toml", "--store", store, "--no-prefect"))

    with SampleStore.open(store, read_only=True) as opened:
        rows = opened.query(
            "SELECT sampler, sampler_kind, count(*) AS n, count(reward) AS r FROM sample_history GROUP BY ALL"
        )
        counted = {name: (kind, n, r) for name, kind, n, r in rows.rows()}
        assert counted["rewritten"][0] == "rewritten"
        assert counted["later"][1] >= 8
        policies = opened.query("SELECT DISTINCT kind FROM policies").to_series().to_list()
        assert policies == ["ngram"]
        run_row = opened.run(told["run_id"])
        assert {name for name in run_row.libraries if "molbuffer-example" in name} == {
            f"{family} {kind} of molbuffer-example 0.1.0"
            for family, kind in (
                *(("components", "heteroatoms"), ("losses", "reward_weighted")),
                *(("models", "ngram"), ("samplers", "rewritten")),
            )
        }


CAMPAIGN = "iterations = 3\nbatch_size = 8"
BUILD = """
[campaign]
name = "later"
[policy]
prior = "{policy}"
[objective]
components = [{{ kind = "heteroatoms" }}]
[[samplers]]
kind = "model"
name = "later"
policy = "prior"
buffer_size = 8
"""
