"""The way of somebody who has the README, a messy table of molecules and a model of their own.

One campaign, in its order: a table with bad lines, a model whose weights are in a file, a molecule that ends the
scorer's process, Ctrl-C in the middle, a run that is resumed and then extended, a policy that has learnt a series of
molecules, a run that starts from the first one's policy, and a model that is trained again in between. The training
that is interrupted is a process of its own, and so is the one that resumes it; most other commands are run in this one.
"""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rdkit import Chem

from molbuffer.storage import SampleStore

PATIENCE_SECONDS = 600
TABLE = """ID,Smiles,pIC50
1,CC(=O)Nc1ccc(O)cc1,5.1
2,not a molecule,
3,,4.0
4,CCN(CC)CC.Cl,4.4
5,"C[C@H](N)C(=O)O |o1:1|",3.3
6,Brc1ccccc1,6.6
7,CC(=O)Nc1ccc(O)cc1,5.2
8,CC(=O)Oc1ccccc1C(=O)[O-].[Na+],5.0
9,c1ccccc,1.0
10,CCOC(=O)c1ccc(N)cc1,5.9
11,[13CH3]C(=O)Nc1ccccc1,5.5
12,O=C(O)Cc1ccccc1Nc1c(Cl)cccc1Cl,6.1
"""
SERIES = [f"CC(=O)Nc1ccc(O{'C' * i}{tail})cc1" for i in range(6) for tail in ("", "C(=O)O", "N", "c1ccccc1")]
FEATURES = """
def size(smiles):
    return sum(letter.isalpha() for letter in smiles)
"""
MODEL = """
import json, os, time
from pathlib import Path

from features import size

FOLDER = Path(__file__).parent
WEIGHT = json.loads((FOLDER / "qsar.json").read_text())["weight"]

def activity(smiles):
    if "Br" in smiles:
        os._exit(42)
    while (FOLDER / "hold").exists():
        (FOLDER / "held").touch()
        time.sleep(0.05)
    return WEIGHT * size(smiles)
"""
CAMPAIGN = """
[campaign]
name = "mine"
iterations = 4
batch_size = 8

[[objective.components]]
kind = "python"
name = "activity"
function = "qsar:activity"
files = ["qsar.json"]
transform = { kind = "linear", low = 0.0, high = 10.0 }

[buffer]
build_every = 3

[[samplers]]
kind = "dataset"
name = "own"
path = "own.csv"
column = "Smiles"
id_column = "ID"
buffer_size = 6

[[samplers]]
kind = "model"
name = "live"
p_batch = 0.5

[training]
checkpoint_every = 2
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The newcomer's folder, in which the tests of a process find what those before them made."""
    path = tmp_path_factory.mktemp("newcomer")
    for name, text in {
        "own.csv": TABLE,
        "series.csv": "SMILES;ID\n" + "".join(f"{smiles};{i}\n" for i, smiles in enumerate(SERIES)),
        "features.py": FEATURES,
        "qsar.py": MODEL,
        "qsar.json": '{"weight": 0.2}',
        "campaign.toml": CAMPAIGN,
    }.items():
        (path / name).write_text(text)
    return path


@pytest.fixture
def start(folder: Path) -> Callable[..., "subprocess.Popen[str]"]:
    """Starts the command in that folder, with the options that are the same each time."""

    def started(*arguments: str) -> "subprocess.Popen[str]":
        program = Path(sys.executable).with_name("molbuffer")
        return subprocess.Popen(
            [str(program), *arguments, "--no-prefect"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # One started from a shell in the background would ignore Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            process_group=0,
        )

    return started


def test_a_newcomer_gets_from_a_messy_table_to_scores_of_a_model_that_was_trained_again(
    folder: Path,
    start: Callable[..., "subprocess.Popen[str]"],
    molbuffer: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)

    def finished(code: int, *arguments: str) -> str:
        """Runs a command in this process, which no scorer is part of, and returns what it says."""
        done = molbuffer(*arguments)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return str(done.stdout if code == 0 else done.stderr)

    def query(sql: str) -> list[dict[str, Any]]:
        with SampleStore.open(folder / "lab", read_only=True) as store:
            return store.query(sql).to_dicts()

    finished(0, "config", "check", "campaign.toml")

    # Ctrl-C, while the scorer is in a call.
    (folder / "hold").touch()
    process = start("run", "campaign.toml", "--store", "lab")
    while not (folder / "held").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    (run_id,) = (row["run_id"] for row in query("SELECT run_id FROM runs WHERE kind = 'train'"))
    assert (process.returncode, run_id[:8] in errors, "--resume" in errors, "Traceback" in errors) == (
        130,
        True,
        True,
        False,
    ), errors
    (folder / "hold").unlink()

    process = start("run", "campaign.toml", "--store", "lab", "--resume", run_id[:8], "--json")
    output, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, "Traceback" in errors) == (0, False), errors
    result = json.loads(output)
    assert result["run_id"] == run_id

    # It looked good: some more iterations, of the same run.
    longer = ("run", "campaign.toml", "--store", "lab", "--resume", run_id[:8], "--iterations", "5", "--json")
    extended = json.loads(finished(0, *longer))
    assert (extended["run_id"], extended["iterations"]) == (run_id, 5)
    assert query(f"SELECT max(iteration) AS last FROM metrics WHERE run_id = '{run_id}'")[0]["last"] == 4
    refused = finished(1, *longer, "--set", "campaign.batch_size=4")
    assert "campaign.batch_size: the run has 8, now it is 4" in refused

    # A prior that knows the series, and a run that starts from what the first one has learnt.
    learn = (
        "pretrain",
        "series.csv",
        "--from",
        "zinc-gru",
        "--store",
        "lab",
        "--epochs",
        "1",
        "--draws",
        "40",
        "--json",
    )
    series = json.loads(finished(0, *learn))
    assert series["held_out_nll"] <= series["held_out_nll_before"]
    assert {"validity", "validity_before", "forgetting"} <= series.keys()
    named = ("--set", f"policy.agent=run:{run_id[:8]}", "--set", f"policy.prior=run:{series['run_id'][:8]}")
    finished(0, "config", "check", "campaign.toml", "--store", "lab", *named)
    warm = json.loads(
        finished(0, "run", "campaign.toml", "--store", "lab", *named, "--set", "campaign.iterations=1", "--json")
    )
    assert query(f"SELECT parent_sha256 FROM policies WHERE sha256 = '{warm['policy']}'") == [
        {"parent_sha256": extended["policy"]}
    ]

    # Trained again: the scores are computed again under another version, and none of the old ones is lost.
    before = query("SELECT smiles, value, status, error, version FROM scores")
    (folder / "qsar.json").write_text('{"weight": 0.3}')
    finished(0, "build", "campaign.toml", "--store", "lab")
    scores = query("SELECT smiles, value, status, error, version FROM scores")
    assert all(row in scores for row in before)
    weights = {}
    for row in scores:
        if row["status"] == "ok":
            weights.setdefault(row["version"], set()).add(
                round(row["value"] / sum(letter.isalpha() for letter in row["smiles"]), 9)
            )
        else:
            assert ("Br" in row["smiles"], row["status"], "42" in row["error"]) == (True, "failed", True)
    assert sorted(map(tuple, weights.values())) == [(0.2,), (0.3,)]
    assert any(row["status"] == "failed" for row in scores)

    # Trained again without naming the file: the run does not start, instead of mixing the scores of two models.
    (folder / "campaign.toml").write_text(re.sub("^files = .*$", "", CAMPAIGN, flags=re.MULTILINE))
    finished(0, "build", "campaign.toml", "--store", "lab")
    (folder / "qsar.json").write_text('{"weight": 0.4}')
    # In this process, the scorer's would still have the model as it was.
    process = start("build", "campaign.toml", "--store", "lab")
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, "Traceback" in errors) == (1, False), errors
    assert ("activity" in errors, "files" in errors, "revision" in errors) == (True, True, True)

    # No kept molecule is without a reward or a reason, and none of a version was scored twice.
    assert not query(
        "SELECT smiles FROM sample_history WHERE kept AND reward IS NULL AND smiles NOT IN "
        "(SELECT smiles FROM scores WHERE status <> 'ok')"
    )
    assert not query("SELECT smiles FROM scores GROUP BY smiles, version HAVING count(*) > 1")
    best = query("SELECT max(reward) AS reward FROM top_molecules")[0]["reward"]
    assert 0 < best <= 1
    assert math.isfinite(best)


def test_a_newcomer_takes_the_best_molecules_and_their_components_to_other_programs(
    folder: Path, molbuffer: Callable[..., Any]
) -> None:
    if not (folder / "lab").exists():
        assert molbuffer("build", folder / "campaign.toml", "--store", folder / "lab").returncode == 0
    for name in ("best.csv", "best.sdf"):
        done = molbuffer("top", "--store", folder / "lab", "-n", "50", "--out", folder / name)
        assert done.returncode == 0, done.stderr
    best = pl.read_csv(folder / "best.csv")
    molecules = list(Chem.SDMolSupplier(str(folder / "best.sdf")))
    assert [each.GetProp("smiles") for each in molecules] == best["smiles"].to_list()
    assert [Chem.MolToSmiles(each) for each in molecules] == best["smiles"].to_list()
    # The reward of the only component is its transformed value, a tenth of the raw one.
    assert (best["transformed_activity"] - best["reward"]).abs().max() < 1e-9
    assert (best["raw_activity"] / 10 - best["transformed_activity"]).abs().max() < 1e-9
    assert [float(each.GetProp("raw_activity")) for each in molecules] == best["raw_activity"].to_list()

    # Each molecule of the table is found again by its own name.
    own = {line.split(",")[0]: number for number, line in enumerate(TABLE.splitlines(), 1)}
    with SampleStore.open(folder / "lab", read_only=True) as store:
        rows = store.query("SELECT sampler, file, file_line, file_id FROM sample_history").rows()
    named = {name: line for sampler, _, line, name in rows if sampler == "own"}
    assert named
    assert named.items() <= own.items()
    assert {file for sampler, file, _, _ in rows if sampler == "own"} == {str(folder / "own.csv")}
    assert {place for sampler, *places in rows if sampler != "own" for place in places} <= {None}
