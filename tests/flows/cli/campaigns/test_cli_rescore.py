"""``molbuffer rescore`` after a build whose scorer failed for some molecules, and whose machine failed for others."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SCORER = """
from pathlib import Path

def assay(smiles):
    broken = Path(__file__).with_name("broken").exists()
    if broken and "F" in smiles:
        raise ValueError("no pose")
    if broken and "N" in smiles:
        raise ConnectionError("the server is down")
    return 0.5
"""
CONFIG = """
[[objective.components]]
kind = "python"
name = "assay"
function = "assays:assay"

[[samplers]]
kind = "dataset"
name = "file"
path = "molecules.smi"
buffer_size = 6
"""


@pytest.fixture
def lab(tmp_path: Path, molbuffer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with a build of six molecules, of which one failed and two were lost."""
    (tmp_path / "molecules.smi").write_text("CCO\nCCF\nCCN\nCNC\nCCC\nCCCC\n")
    (tmp_path / "assays.py").write_text(SCORER)
    (tmp_path / "campaign.toml").write_text(CONFIG)
    (tmp_path / "broken").touch()
    done = molbuffer("build", tmp_path / "campaign.toml", "--store", tmp_path / "lab", "--json")
    assert done.returncode == 0, done.stderr
    (tmp_path / "broken").unlink()
    return tmp_path / "lab"


def rewards(molbuffer: Callable[..., Any], lab: Path) -> dict[str, float | None]:
    sql = "SELECT smiles, reward FROM sample_history WHERE kept"
    rows = json.loads(molbuffer("query", "--store", lab, sql, "--format", "json").stdout)
    return {row["smiles"]: row["reward"] for row in rows}


def test_lost_scores_then_failed_ones_are_tried_again_and_rewards_completed(
    lab: Path, molbuffer: Callable[..., Any]
) -> None:
    without = {"CCF": None, "CCN": None, "CNC": None}
    assert rewards(molbuffer, lab) == {"CCO": 0.5, "CCC": 0.5, "CCCC": 0.5} | without

    def rescore(*arguments: str) -> dict[str, int]:
        done = molbuffer("rescore", "--store", lab, "--json", *arguments)
        assert done.returncode == 0, done.stderr
        return {key: value for key, value in json.loads(done.stdout).items() if key != "run_id"}

    assert rescore() == {"tried": 2, "scored": 2, "failed": 0, "lost": 0, "rewards": 2}
    assert rescore() == dict.fromkeys(["tried", "scored", "failed", "lost", "rewards"], 0)
    assert rescore("--failed", "--component", "assay")["scored"] == 1
    assert set(rewards(molbuffer, lab).values()) == {0.5}


def test_a_component_that_is_not_there_and_a_store_without_a_run_are_refused(
    lab: Path, tmp_path: Path, molbuffer: Callable[..., Any]
) -> None:
    done = molbuffer("rescore", "--store", lab, "--component", "essay")
    assert (done.returncode, "essay" in done.stderr, "assay" in done.stderr) == (1, True, True)
    assert molbuffer("init", "--store", tmp_path / "empty").returncode == 0
    done = molbuffer("rescore", "--store", tmp_path / "empty")
    assert (done.returncode, "--config" in done.stderr) == (1, True)
