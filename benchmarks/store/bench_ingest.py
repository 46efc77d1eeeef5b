"""Measure the speed of commits to a store, with every file synced to the disk before its commit is acknowledged.

    python benchmarks/store/bench_ingest.py [--rows 200000] [--folder DIR]

Two loads are measured: rows with their arrays only, and rows with two scores and a reward each. They are compared with
the raw disk: writing and syncing as many bytes as the arrays have, in one file for each build.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rows import WIDTH, bench_run, make_build

from molbuffer.storage import Commit, SampleStore

BUILD_ROWS = 10_000
REJECTED = 0.05


def measure(folder: Path, rows: int, *, scored: bool) -> list[float]:
    """Return the seconds of each commit of one build."""
    rng = np.random.default_rng(7)
    per_build = min(BUILD_ROWS, rows)
    builds = [
        make_build(i, per_build, rng, rewarded=scored, scored=scored, rejected=REJECTED)
        for i in range(max(1, rows // BUILD_ROWS))
    ]
    with SampleStore.create(folder) as store:
        store.start_run(bench_run())
        return [_seconds(lambda build=build: store.commit(Commit([build]))) for build in builds]


def measure_disk(folder: Path, rows: int) -> list[float]:
    """Return the seconds of writing and syncing one file with the bytes of a build's arrays."""
    folder.mkdir()
    content = np.random.default_rng(7).bytes(min(BUILD_ROWS, rows) * WIDTH * 5)
    return [_seconds(lambda i=i: _write(folder / str(i), content)) for i in range(max(1, rows // BUILD_ROWS))]


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measures how fast builds go into a store.")
    parser.add_argument("--rows", type=int, default=200_000, help="rows of each load")
    parser.add_argument("--folder", type=Path, help="where the stores are made; default: a temporary folder")
    options = parser.parse_args(arguments)
    root = Path(tempfile.mkdtemp(prefix="bench-ingest-", dir=options.folder))
    per_build = min(BUILD_ROWS, options.rows)
    try:
        loads = {
            "samples + arrays": measure(root / "plain", options.rows, scored=False),
            "samples + arrays, 2 scores and a reward a row": measure(root / "scored", options.rows, scored=True),
            "raw disk: the arrays' bytes, one file a build": measure_disk(root / "disk", options.rows),
        }
    finally:
        shutil.rmtree(root)
    print(f"builds of {per_build:,} rows; 1-minute load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"{'load':<48}{'rows/s':>12}{'median ms':>12}{'worst ms':>12}")
    for name, seconds in loads.items():
        median = statistics.median(seconds)
        print(f"{name:<48}{per_build / median:>12,.0f}{1000 * median:>12.1f}{1000 * max(seconds):>12.1f}")


if __name__ == "__main__":
    main()
