"""``--direct``: the same runs without Prefect."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from molbuffer.flows.cli.campaigns import work
from molbuffer.storage import SampleStore

ROWS = """SELECT iteration, event, sampler, chunk, "row", smiles, raw, kept, reward FROM sample_history
    ORDER BY iteration, event, sampler, chunk, "row" """


@pytest.fixture
def directly(molbuffer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Runs a command with --direct and returns its result; Prefect must not be set up for it."""

    def run(*arguments: object) -> dict[str, Any]:
        with monkeypatch.context() as without:
            without.setattr(work, "prefect_ready", None)
            done = molbuffer(*arguments, "--direct", "--json")
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    return run


def test_a_direct_run_has_the_rows_and_the_policy_of_the_flow(
    tmp_path: Path, tiny_config: Path, directly: Callable[..., Any], molbuffer: Callable[..., Any]
) -> None:
    direct = directly("run", tiny_config, "--store", tmp_path / "direct")
    done = molbuffer("run", tiny_config, "--store", tmp_path / "flow", "--json")
    flow = json.loads(done.stdout)
    assert direct["policy"] == flow["policy"]
    with SampleStore.open(tmp_path / "direct") as one, SampleStore.open(tmp_path / "flow") as other:
        assert one.query(ROWS).equals(other.query(ROWS))
        built = "SELECT DISTINCT task_run_id IS NULL FROM builds WHERE event = 'build_buffer'"
        assert (one.query(built).rows(), other.query(built).rows()) == ([(True,)], [(False,)])


def test_a_direct_build_and_a_direct_offline_training_work(
    tmp_path: Path, tiny_config: Path, directly: Callable[..., Any]
) -> None:
    assert directly("build", tiny_config, "--store", tmp_path / "lab")["kept"] == 24
    offline = directly("offline", tiny_config, "--store", tmp_path / "lab")
    assert (offline["iterations"], offline["rows"]) == (3, 24)


def test_the_work_of_a_direct_run_does_not_import_prefect() -> None:
    """Nor the parts of SciPy that few runs need. What it imports is not gone over for garbage, and what follows is."""
    code = """import gc, sys
from molbuffer.flows.cli.campaigns import work
for each in (work.online_work, work.build_work, work.offline_work):
    each(True)
print(*(name in sys.modules for name in ("prefect", "scipy.linalg", "scipy.special._ufuncs", "torch")))
print(gc.isenabled(), gc.get_freeze_count() > 100_000)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "False", "True", "True", "True"]
