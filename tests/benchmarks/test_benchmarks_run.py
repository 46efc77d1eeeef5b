"""Benchmarks run at their smallest, so that they never rot. Their times are not judged."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
NOTHING_LOST = "lost: 0 builds, 0 scores; torn: 0; there twice: 0; processes that failed: 0"

FEW_ROWS = ["--rows", "200", "--per-build", "100", "--writers", "1"]


@pytest.mark.parametrize(
    ("script", "arguments", "told"),
    [
        ("bench_sampling.py", ["--rows", "128", "--rounds", "1"], "ratio"),
        (
            "bench_samplers.py",
            ["--rows", "8", "--rounds", "1", "--molecules", "20", "--latent-rows", "8"],
            "of the memory-bound floor",
        ),
        ("bench_pairs.py", ["--molecules", "60", "--minimum", "0.2", "--looped", "20"], "BulkTanimotoSimilarity"),
        (
            "bench_transformer.py",
            ["--rows", "128", "--rounds", "1", "--length", "20", "--cache-rows", "8"],
            "plain loop of the gru",
        ),
        ("bench_training_step.py", ["--steps", "1"], "torch.nn.GRU"),
        ("bench_prefect.py", ["--tasks", "2"], "a flow run"),
        ("crash_store.py", ["--kills", "4", "--writers", "2", "--readers", "1", "--pace", "2.5"], NOTHING_LOST),
        ("bench_writers.py", ["--writers", "2", "--commits", "2", "--rows", "10"], "2 writers: 4 commits"),
        ("bench_growth.py", ["--commits", "2", "4", "--rows", "5", "--maintain-every", "2"], "4 maintained"),
        (
            "bench_store.py",
            [*FEW_ROWS, "--stores", "molbuffer", "SQLite", "Parquet"],
            "which of 10k molecules are known",
        ),
    ],
)
def test_a_benchmark_runs(script: str, arguments: list[str], told: str) -> None:
    run(script, arguments, told)


def test_nothing_is_lost_where_the_catalog_is_in_postgres(postgres_server: str) -> None:
    arguments = ["--kills", "4", "--writers", "2", "--readers", "1", "--pace", "2.5"]
    told = run("crash_store.py", [*arguments, "--catalog", f"{postgres_server}/postgres"], NOTHING_LOST)
    assert "the catalog in Postgres" in told
    assert "acknowledged: 0 builds" not in told


@pytest.mark.parametrize(("name", "package"), [("Lance", "lance"), ("TorchRL", "torchrl")])
def test_a_store_of_the_bench_extra_is_compared(name: str, package: str) -> None:
    pytest.importorskip(package, reason="pip install 'molbuffer[bench]'")
    run("bench_store.py", [*FEW_ROWS, "--stores", "molbuffer", name], name)


def run(script: str, arguments: list[str], told: str) -> str:
    """Runs a benchmark, which has to tell something; gives all that it told."""
    done = subprocess.run([sys.executable, BENCHMARKS / script, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert told in done.stdout
    return done.stdout
