import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "bench_ingest.py"


def test_the_ingest_benchmark_runs_and_leaves_nothing_behind(tmp_path):
    command = [sys.executable, "-W", "error", str(BENCHMARK), "--rows", "500", "--folder", str(tmp_path)]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    assert "samples + arrays, 2 scores and a reward a row" in output
    assert "builds of 500 rows" in output
    assert list(tmp_path.iterdir()) == []
