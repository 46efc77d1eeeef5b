"""R29: builds that start at one moment draw different molecules."""

import subprocess
import sys
from pathlib import Path

from molbuffer.storage import SampleStore

AT_ONCE = 3


def test_r29_builds_that_start_at_once_draw_different_molecules(tiny_config: Path, tmp_path: Path) -> None:
    program = [sys.executable, str(Path(__file__).with_name("builds_at_once.py")), str(tiny_config)]
    done = subprocess.run([*program, str(tmp_path / "lab"), str(AT_ONCE)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    with SampleStore.open(tmp_path / "lab", read_only=True) as store:
        runs = store.query("SELECT run_id, seed FROM runs")
        drawn = store.query("SELECT run_id, list(raw ORDER BY row) AS raw FROM sample_history GROUP BY run_id")
    assert runs["run_id"].n_unique() == runs["seed"].n_unique() == AT_ONCE
    assert len({tuple(row) for row in drawn["raw"].to_list()}) == AT_ONCE
