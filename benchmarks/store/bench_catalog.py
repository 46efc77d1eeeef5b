"""What a catalog of very many commits costs, before it is maintained and after.

    python benchmarks/store/bench_catalog.py [--commits 10000] [--rows 10] [--rounds 3]

The commits are not made one after another, which takes hours for 100,000: ``many_commits.py`` writes their Parquet
files and the rows that DuckLake would have written for them. Commits, re-pins, queries and the maintenance that are
measured are real.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import numpy as np
from many_commits import add_commits
from rows import OBJECTIVE, make_build

from molbuffer.storage import Commit, DecodedCache, HistoryIndex, IndexScope, SampleStore

Result = TypeVar("Result")
COMMITS = 5
"""The commits that are made to measure one."""


class Catalog:
    """A store that is measured.

    Attributes:
        path: its folder.
        rows: of each commit.
        rounds: timings of each cost, of which the best counts.
        commits: how many it has.
    """

    def __init__(self, folder: Path, rows: int, rounds: int) -> None:
        self.path, self.cache, self.rows, self.rounds = folder / "store", folder / "cache", rows, rounds
        self.commits = 0

    def fill(self, commits: int) -> float:
        """Return the seconds that the simulated commits took together."""
        with SampleStore.create(self.path) as store:
            self.commits = commits
            return timed(lambda: add_commits(store, commits, self.rows))[0]

    def commit(self, store: SampleStore) -> float:
        """Return the seconds of a commit of one build."""
        build = make_build(self.commits, self.rows, np.random.default_rng([1, self.commits]), rewarded=True)
        self.commits += 1
        return timed(lambda: store.commit(Commit([build])))[0]

    def measure(self) -> dict[str, float]:
        """Milliseconds of each cost, and counts."""
        found = {"open": self.least_of(lambda: SampleStore.open(self.path).close())}
        with SampleStore.open(self.path) as store:
            found["commit, the first of a process"] = self.commit(store)
            found["commit, median of the next"] = statistics.median(self.commit(store) for _ in range(COMMITS))
            scope = IndexScope(objective_sha256=OBJECTIVE, snapshot=store.snapshot())
            cache = DecodedCache(store.uuid, store.path / "arrays", folder=self.cache)
            found["index, new segments decoded"], index = timed(lambda: store.index(scope, cache=cache))
            assert len(index) == self.commits * self.rows
            found["index, read anew"] = timed(lambda: HistoryIndex.load(store._open, scope, cache))[0]
            self.commit(store)
            scope = replace(scope, snapshot=store.snapshot())
            found["index, brought forward by one commit"], index = timed(lambda: store.index(scope, cache=cache))
            assert len(index) == self.commits * self.rows
            found["query: count of samples"] = self.least_of(lambda: store.query("SELECT count(*) FROM samples"))
            counted = "SELECT count(*), avg(reward) FROM sample_history"
            found["query: mean reward of the history"], answer = timed(lambda: store.query(counted))
            assert answer.row(0)[0] == self.commits * self.rows
        return {f"{name}: ms": 1000 * seconds for name, seconds in found.items()} | self.counts()

    def maintain(self) -> dict[str, float]:
        """Milliseconds of each step of ``molbuffer maintain``, and the longest wait that it means for a commit."""
        with SampleStore.open(self.path) as store:
            work = store.maintenance
            compaction, report = timed(work.compact)
            steps = {
                "compaction": compaction,
                "compaction, longest lock": report.longest_lock_seconds,
                "expiry": timed(lambda: work.expire(timedelta(0), keep=1))[0],
                "vacuum": timed(lambda: work.vacuum(grace=timedelta(0)))[0],
            }
        return {f"{name}: ms": 1000 * seconds for name, seconds in steps.items()}

    def counts(self) -> dict[str, float]:
        with SampleStore.open(self.path, read_only=True) as store:
            (snapshots,) = store._open.catalog.metadata("SELECT count(*) FROM METADATA.ducklake_snapshot")[0]
        catalog = [path for path in self.path.glob("catalog.sqlite*") if path.is_file()]
        return {
            "snapshots": snapshots,
            "Parquet files": sum(1 for _ in (self.path / "tables").rglob("*.parquet")),
            "catalog: MB": sum(path.stat().st_size for path in catalog) / 1e6,
            "journal: MB": (self.path / "journal.jsonl").stat().st_size / 1e6,
        }

    def least_of(self, work: Callable[[], object]) -> float:
        """The best of several: a shared machine only ever makes a run slower."""
        return min(timed(work)[0] for _ in range(self.rounds))


def timed(work: Callable[[], Result]) -> tuple[float, Result]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--commits", type=int, default=10_000, help="of the catalog")
    parser.add_argument("--rows", type=int, default=10, help="of each commit")
    parser.add_argument("--rounds", type=int, default=3, help="timings of each cost, of which the best counts")
    parser.add_argument("--folder", type=Path, help="where the store is made; default: a temporary folder")
    options = parser.parse_args(arguments)
    root = Path(tempfile.mkdtemp(prefix="bench-catalog-", dir=options.folder))
    try:
        catalog = Catalog(root, options.rows, options.rounds)
        seconds = catalog.fill(options.commits)
        tell(f"{options.commits:,} commits of {options.rows} rows, simulated in {seconds:.1f} s", {})
        tell("as committed", catalog.measure())
        tell("maintenance", catalog.maintain())
        tell("maintained", catalog.measure())
    finally:
        shutil.rmtree(root)


def tell(what: str, measured: dict[str, float]) -> None:
    """Print a part at once: with many commits the next one takes minutes."""
    print(f"{what}; 1-minute load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for name, value in measured.items():
        print(f"    {name:<46}{value:>18,.1f}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
