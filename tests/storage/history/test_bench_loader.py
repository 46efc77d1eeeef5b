import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "bench_loader.py"


def test_the_loader_benchmark_runs_and_leaves_nothing_behind(tmp_path):
    sizes = ["--rows", "600", "--segments", "2", "--batches", "3"]
    command = [sys.executable, str(BENCHMARK), *sizes, "--folder", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "batches of 256 of 600 rows" in done.stdout
    assert "ours" in done.stdout
    assert list(tmp_path.iterdir()) == []
