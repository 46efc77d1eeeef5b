"""The notebook examples/explore.py, run as a script on a store."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import molbuffer as mb

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples/explore.py"


@pytest.fixture
def filled(empty_store: Path, policy: mb.Policy, qed: mb.Objective, tmp_path: Path) -> Path:
    path = shutil.copytree(empty_store, tmp_path / "lab")
    heavy = mb.PropertyRange("molecular_weight", minimum=40)
    with mb.open(path) as lab, lab.run("explored", objective=qed, policy=policy, seed=0, filters=[heavy]) as run:
        run.build(mb.ModelSampler("agent", run.agent), n=16)
    return path


def test_the_notebook_shows_runs_molecules_and_rejections(filled: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(NOTEBOOK), "--store", str(filled)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "POLARS_FMT_MAX_ROWS": "30", "POLARS_FMT_STR_LEN": "40"},
    )
    with mb.open(filled, read_only=True) as lab:
        best = lab.query("SELECT smiles FROM sample_history WHERE kept ORDER BY reward DESC LIMIT 1").item()
    assert "explored" in done.stdout
    assert "finished" in done.stdout
    assert best in done.stdout
    assert "molecular_weight" in done.stdout
