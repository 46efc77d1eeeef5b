"""Benchmarks run at their smallest, so that they never rot. Their times are not judged."""

import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from molbuffer.storage import SampleStore, Score, ScoreStatus

Run = Callable[[str, list[str]], str]

SMALL_PRIOR = Path(__file__).resolve().parents[1] / "data" / "small-prior"
BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
NOTHING_LOST = "lost: 0 builds, 0 scores; torn: 0; there twice: 0; processes that failed: 0"

PEER = "TorchRL"
WITH_PEERS = ("bench_loader.py", "bench_store.py")
"""Those that compare with packages of the extra ``bench``: with none of them, and with those that are there."""
FEW_ROWS = ["--rows", "20", "--per-build", "10", "--writers", "1", "--commits", "1", "--batches", "1"]
FEW_KILLS = ["--kills", "2", "--writers", "2", "--readers", "1", "--pace", "0.1", "--grace", "600"]
SMALLEST: dict[str, tuple[list[str], list[str]]] = {
    "bench_sampling.py": (["--rows", "128", "--rounds", "1"], ["ratio"]),
    "bench_samplers.py": (
        ["--rows", "8", "--rounds", "1", "--molecules", "20", "--latent-rows", "8", "--seconds", "0"],
        ["of the memory-bound floor"],
    ),
    "bench_pairs.py": (["--molecules", "60", "--minimum", "0.2", "--looped", "20"], ["BulkTanimotoSimilarity"]),
    "bench_transformer.py": (
        ["--rows", "128", "--rounds", "1", "--length", "20", "--cache-rows", "8"],
        ["plain loop of the gru"],
    ),
    "bench_training_step.py": (["--steps", "1", "--rows", "8"], ["torch.nn.GRU"]),
    "bench_campaign.py": (
        ["--iterations", "1", "--batch", "2", "--policies", "3x512"],
        ["3 x 512", "torch.nn.GRU", "times that", "on one core", "waiting"],
    ),
    "bench_actors.py": (
        ["--iterations", "1", "--batch", "4", "--actors", "1", "--seconds", "0", "--prior", str(SMALL_PRIOR)],
        ["one process", "1 actors + learner", "policy lag by quarter"],
    ),
    "bench_prefect.py": (["--tasks", "2", "--rounds", "1", "--server"], ["a flow run"]),
    "bench_writers.py": (
        ["--writers", "2", "--commits", "2", "--rows", "10", "--apart"],
        ["2 writers, each by itself: 4", "2 writers: 4"],
    ),
    "bench_repin.py": (
        ["--rows", "2000", "--rounds", "1", "--of-build", "5"],
        ["ms to move to a snapshot with 5 rows more", "2,000 rows"],
    ),
    "bench_growth.py": (
        ["--commits", "2", "--rows", "5", "--maintain-every", "2", "--rounds", "1"],
        ["2 maintained"],
    ),
    "bench_catalog.py": (
        ["--commits", "6", "--rows", "5", "--rounds", "1"],
        ["6 commits of 5 rows", "index, brought forward by one commit", "vacuum"],
    ),
    "bench_store.py": (
        [*FEW_ROWS, "--stores", "molbuffer", "SQLite", "Parquet"],
        ["which of 10k molecules are known"],
    ),
    "bench_ingest.py": (["--rows", "500"], ["samples + arrays, 2 scores and a reward a row", "builds of 500 rows"]),
    "bench_loader.py": (["--rows", "600", "--segments", "2", "--batches", "3"], ["batches of 256 of 600 rows", "ours"]),
    "bench_report.py": (["--rows", "40", "--per-build", "20", "--facts"], ["best molecules", "rows  report in"]),
    "bench_scoring.py": (["--molecules", "130"], ["judge", "score", "together"]),
    "bench_surrogate.py": (
        ["--known", "40", "--candidates", "10", "--rounds", "1"],
        ["40 known, 10 candidates", "rank correlation", "molbuffer", "GPyTorch"],
    ),
    "bench_runners.py": (
        [
            *("--rows", "2", "--busy", "0", "--sleeping-rows", "2", "--sleep", "0"),
            *("--pairs", "1:2", "1:2", "--builds", "2", "--kind", "threads", "--prior", str(SMALL_PRIOR)),
        ],
        ["busy, from 1 to 2 workers", "sleeping, from 1 to 2 workers", "after 2 small builds"],
    ),
    "bench_threads.py": (
        ["--rows", "2", "--iterations", "1", "--settings", "molbuffer", "--beside", "twin"],
        ["as the command sets them"],
    ),
    "crash_store.py": (FEW_KILLS, [NOTHING_LOST]),
}
"""What each is run with, and what it must tell."""
WITH_FOLDER = ("bench_ingest.py", "crash_store.py")
IN_PROCESSES = ("bench_scoring.py", "bench_threads.py", "crash_store.py")
"""Those that need a process of their own: they set its threads, measure its memory, or start processes that import it.

The others run in that of the tests, which has imported torch and Prefect.
"""


def test_each_benchmark_has_a_test() -> None:
    assert {path.name for path in BENCHMARKS.glob("*/bench_*.py")} == {
        script for script in SMALLEST if script.startswith("bench_")
    }


@pytest.mark.parametrize("script", sorted(SMALLEST.keys() - {*WITH_PEERS}))
def test_a_benchmark_runs_and_leaves_nothing_behind(script: str, tmp_path: Path, run_here: Run) -> None:
    arguments, told = SMALLEST[script]
    folder = ["--folder", str(tmp_path)] if script in WITH_FOLDER else []
    printed = (run if script in IN_PROCESSES else run_here)(script, [*arguments, *folder])
    assert [text for text in told if text not in printed] == []
    if script == "bench_scoring.py":
        assert [line.split()[0] for line in printed.splitlines()] == ["130", *told]
    if script == "crash_store.py":
        assert "acknowledged: 0 builds" not in printed
    assert list(tmp_path.iterdir()) == []


def test_simulated_commits_are_those_of_a_sound_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS / "store")
    simulated = runpy.run_path(str(path_of("many_commits.py")))
    monkeypatch.delitem(sys.modules, "rows")
    with SampleStore.create(tmp_path / "store") as store:
        simulated["add_commits"](store, commits=7, rows=3)
        assert store.query("SELECT count(*), count(DISTINCT build_id) FROM samples").rows() == [(21, 7)]
        assert [receipt.iteration for receipt in store.receipts("bench")] == list(range(7))
        # All arrays are at one place, which is the one thing that is not as it would be.
        damages = [damage.message for damage in store.verify().errors]
        assert [message for message in damages if "both lie in rows 0 to 3" not in message] == []


def test_the_table_of_losses_repeats_no_run(tmp_path: Path, run_here: Run) -> None:
    runs = tmp_path / "runs.jsonl"
    arguments = ["--iterations", "1", "--seeds", "1", "--losses", "reinvent", "--out", str(runs)]
    printed = run_here("loss_table.py", arguments)
    assert "| `reinvent` |" in printed
    assert "1 of 1" in printed
    lines = runs.read_text()
    assert run_here("loss_table.py", arguments) == printed
    assert runs.read_text() == lines


def test_the_table_of_offline_losses_is_gone_on_with(tmp_path: Path, run_here: Run) -> None:
    sizes = ["--iterations", "1", "--batch-size", "4", "--steps", "1", "--draws", "8", "--seeds", "1"]
    arguments = [str(tmp_path), "--losses", "advantage_weighted", "--objectives", "celecoxib", *sizes]
    told = run_here("offline_table.py", arguments)
    assert "| online | `advantage_weighted` | 0." in told
    cells = (tmp_path / "cells.jsonl").read_text()
    assert cells.count("\n") == 2
    assert run_here("offline_table.py", arguments) == told
    assert (tmp_path / "cells.jsonl").read_text() == cells


def test_the_table_of_dockings_counts_calls_and_what_was_paid_twice(tmp_path: Path, run_here: Run) -> None:
    pytest.importorskip("vina", reason="pip install 'molbuffer[docking]'")
    energies = [-3.0 - 0.1 * number for number in range(12)]
    with SampleStore.create(tmp_path / "seed-1-without") as store:
        scores = [Score("C" * (number + 1), "vina:receptor", "v", energy) for number, energy in enumerate(energies)]
        for score in [*scores, Score("[B]", "vina:receptor", "v", None, ScoreStatus.FAILED, "it has atoms of B")]:
            store.record_scores([score])
    # Ethane was in flight when the run was killed, and methane was in the store.
    called = [*(score.smiles for score in scores), "[B]", "C", "CC"]
    (tmp_path / "seed-1-without.calls").write_text("\n".join(called))
    (tmp_path / "seed-1-without.killed").write_text("1\nCC")
    told = run_here("docking_table.py", [str(tmp_path), "--seeds", "1", "--table"])
    (line,) = [line for line in told.splitlines() if line.startswith("seed 1, without")]
    # Thirteen molecules, one of which failed; the best ten are the last of twelve energies.
    assert line.removeprefix("seed 1, without a screening").split() == ["13", "1", "-3.650", "12", "1", "1", "1"]


def test_nothing_is_lost_where_the_catalog_is_in_postgres(postgres_server: str) -> None:
    kills = ["--kills", "2", "--writers", "2", "--readers", "0", "--pace", "0.1", "--grace", "600"]
    told = run("crash_store.py", [*kills, "--catalog", f"{postgres_server}/postgres"])
    assert NOTHING_LOST in told
    assert "the catalog in Postgres; " in told


def test_nothing_is_lost_where_postgres_crashes_and_processes_are_killed() -> None:
    pytest.importorskip("moto", reason="pip install 'moto[server]'")
    kills = ["--kills", "1", "--writers", "2", "--readers", "1", "--pace", "0.1", "--grace", "600"]
    told = run("crash_store.py", [*kills, "--servers", "--crashes", "2"])
    assert NOTHING_LOST in told
    assert "the catalog in Postgres, the files in S3; 2 crashes of Postgres, " in told
    # All who were at work were told so, and tried again.
    assert int(re.search(r"(\d+) attempts failed", told)[1]) >= 2
    assert "acknowledged: 0 builds" not in told


@pytest.mark.parametrize(("name", "package"), [("Lance", "lance"), ("TorchRL", "torchrl")])
def test_a_store_of_the_bench_extra_is_compared(name: str, package: str) -> None:
    pytest.importorskip(package, reason="pip install 'molbuffer[bench]'")
    assert name in run("bench_store.py", [*FEW_ROWS, "--stores", "molbuffer", name])


def test_the_loader_is_compared_with_its_peer() -> None:
    pytest.importorskip("torchrl", reason="pip install 'molbuffer[bench]'")
    assert "times its rate" in run("bench_loader.py", SMALLEST["bench_loader.py"][0])


@pytest.mark.parametrize("script", WITH_PEERS)
def test_a_peer_that_is_missing_is_not_compared(script: str, tmp_path: Path) -> None:
    arguments, told = SMALLEST[script]
    if script == "bench_store.py":
        arguments = [*arguments, PEER]
    folder, patch = tmp_path / "folder", tmp_path / "patch"
    folder.mkdir()
    patch.mkdir()
    (patch / "sitecustomize.py").write_text(
        "import importlib.util\nfind = importlib.util.find_spec\n"
        f"importlib.util.find_spec = lambda name, *where: None if name == {PEER.lower()!r} else find(name, *where)\n"
    )
    printed = run(script, [*arguments, "--folder", str(folder)], PYTHONPATH=str(patch))
    assert re.search(rf"^{PEER} +not compared: ", printed, re.MULTILINE)
    assert "times its rate" not in printed
    assert [text for text in told if text not in printed] == []
    assert list(folder.iterdir()) == []


@pytest.fixture
def run_here(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """Runs a benchmark in this process, with what it imports; takes back what it sets, and gives what it told."""
    before, environment = set(sys.modules), dict(os.environ)

    def run(script: str, arguments: list[str]) -> str:
        if "--server" in arguments:
            request.getfixturevalue("prefect_server")
        path = path_of(script)
        monkeypatch.syspath_prepend(path.parent)
        monkeypatch.setattr(sys, "argv", [script, *arguments])
        runpy.run_path(str(path), run_name="__main__")
        return capsys.readouterr().out

    with torch.random.fork_rng(devices=[]):
        yield run
    torch.set_flush_denormal(False)
    os.environ.clear()
    os.environ.update(environment)
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(f"{BENCHMARKS}/"):
            del sys.modules[name]


def path_of(script: str) -> Path:
    (path,) = BENCHMARKS.glob(f"*/{script}")
    return path


def run(script: str, arguments: list[str], **environment: str) -> str:
    """Runs a benchmark in a process; gives what it told."""
    command = [sys.executable, path_of(script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr
    return done.stdout
