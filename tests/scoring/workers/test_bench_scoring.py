import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[3] / "benchmarks/bench_scoring.py"


def test_the_benchmark_runs_and_finds_the_same_with_one_core_and_all() -> None:
    printed = subprocess.check_output([sys.executable, BENCHMARK, "--molecules", "130"], text=True)
    assert [line.split()[0] for line in printed.splitlines()] == ["130", "judge", "score", "together"]
