"""Benchmarks run at their smallest, so that they never rot. Their times are not judged."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
NOTHING_LOST = "lost: 0 builds, 0 scores; torn: 0; there twice: 0; processes that failed: 0"


@pytest.mark.parametrize(
    ("script", "arguments", "told"),
    [
        ("bench_sampling.py", ["--rows", "128", "--rounds", "1"], "ratio"),
        ("bench_training_step.py", ["--steps", "1"], "torch.nn.GRU"),
        ("bench_prefect.py", ["--tasks", "2"], "a flow run"),
        ("crash_store.py", ["--kills", "4", "--writers", "2", "--readers", "1", "--pace", "2.5"], NOTHING_LOST),
        ("bench_writers.py", ["--writers", "2", "--commits", "2", "--rows", "10"], "2 writers: 4 commits"),
    ],
)
def test_a_benchmark_runs(script: str, arguments: list[str], told: str) -> None:
    done = subprocess.run([sys.executable, BENCHMARKS / script, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert told in done.stdout
