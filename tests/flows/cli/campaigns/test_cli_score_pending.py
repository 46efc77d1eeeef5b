"""``molbuffer score-pending`` after a build that did not wait for its dear scores, and what it refuses."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from molbuffer.flows.score_pending import score_pending
from molbuffer.flows.tasks import made_here
from molbuffer.flows.work import run_build
from molbuffer.lab import BacklogError, BacklogScorer, Pauses
from molbuffer.storage import SampleStore

SCORER = """
from pathlib import Path

def assay(smiles):
    if "F" in smiles:
        raise ValueError("no pose")
    if "N" in smiles and Path(__file__).with_name("down").exists():
        raise ConnectionError("the server is down")
    return 0.5
"""
CONFIG = """
[objective]
mode = "backlog"

[[objective.components]]
kind = "python"
name = "assay"
function = "late_assays:assay"
cost = "high"
in_process = true
files = ["weights.txt"]

[[objective.components]]
kind = "qed"

[[samplers]]
kind = "dataset"
name = "file"
path = "molecules.smi"
buffer_size = 6
"""
Command = Callable[..., Any]


@pytest.fixture(scope="session")
def built_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a campaign and a store in which six molecules wait for their scores."""
    folder = tmp_path_factory.mktemp("late")
    (folder / "molecules.smi").write_text("CCO\nCCF\nCCN\nCNC\nCCC\nCCCC\n")
    (folder / "late_assays.py").write_text(SCORER)
    (folder / "weights.txt").write_text("of version 1")
    (folder / "campaign.toml").write_text(CONFIG)
    assert run_build(str(folder / "campaign.toml"), str(folder / "lab"), made_here)["pending"] == 6
    return folder


@pytest.fixture
def scored(built_template: Path, molbuffer: Command) -> Callable[..., dict[str, Any]]:
    """Works the backlog off, in a copy that all tests of this file share in their order."""

    def run(*arguments: str, code: int = 0) -> dict[str, Any]:
        done = molbuffer("score-pending", "--store", built_template / "lab", "--json", *arguments)
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout) | {"said": done.stderr}

    return run


def statuses(folder: Path) -> dict[str, str]:
    with SampleStore.open(folder / "lab", read_only=True) as store:
        found = store.read_arrow("SELECT smiles, reward_status FROM {sample_history} WHERE kept")
        return {row["smiles"]: row["reward_status"] for row in found.to_pylist()}


def test_a_component_whose_files_are_others_on_this_host_is_refused_and_so_is_one_whose_are_missing(
    built_template: Path, molbuffer: Command, refused: Callable[..., BaseException]
) -> None:
    weights, lab = built_template / "weights.txt", built_template / "lab"
    weights.write_text("of version 2, which is longer")
    assert "of assay are not those of the run; make it available" in str(refused("score-pending", "--store", lab))
    weights.unlink()
    error = refused("score-pending", "--store", lab)
    assert isinstance(error, BacklogError)
    assert "cannot be made on this host" in str(error) and "weights.txt" in str(error)
    weights.write_text("of version 1")
    assert set(statuses(built_template).values()) == {"pending"}


def test_the_backlog_is_worked_off_but_for_what_the_machinery_loses(
    built_template: Path, scored: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = partial(BacklogScorer, pauses=Pauses(first_seconds=0.01, attempts=3, look_seconds=0.01))
    monkeypatch.setattr("molbuffer.flows.work.backlog.BacklogScorer", quick)
    (built_template / "down").touch()
    done = scored("--batch", "4", code=1)
    assert (done["completed"], done["failed"], done["left"], done["given_up"]) == (3, 1, 2, 2)
    assert "2 molecules were lost at each attempt" in done["said"]
    expected = {"CCO": "ok", "CCF": "failed", "CCN": "pending", "CNC": "pending", "CCC": "ok", "CCCC": "ok"}
    assert statuses(built_template) == expected
    (built_template / "down").unlink()
    done = scored()
    assert (done["computed"], done["completed"], done["left"]) == (2, 2, 0)
    assert statuses(built_template) == expected | {"CCN": "ok", "CNC": "ok"}
    # As a flow, which has nothing left to do.
    assert score_pending.fn(str(built_template / "lab"))["completed"] == 0


def test_runs_say_what_waits(built_template: Path, molbuffer: Command) -> None:
    config = CONFIG.replace('name = "assay"', 'name = "second"')
    (built_template / "second.toml").write_text(config)
    run_build(str(built_template / "second.toml"), str(built_template / "lab"), made_here)
    rows = json.loads(molbuffer("runs", "--store", built_template / "lab", "--json").stdout)
    of_builds = [(row["kept"], row["pending"], row["mean_reward"]) for row in rows if row["kind"] == "build"]
    # The second one asks for a component of another name; the first one has the mean of what came later.
    assert of_builds == [(6, 6, None), (6, 0, pytest.approx(0.45, abs=0.2))]
