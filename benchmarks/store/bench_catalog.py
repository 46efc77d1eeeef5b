"""Measure the costs of a catalog with very many commits, before and after its maintenance.

    python benchmarks/store/bench_catalog.py [--commits 10000] [--rows 10] [--rounds 3] [--catalog ADDRESS]

The commits are not made one after another: ``many_commits.py`` writes their Parquet files and the rows that DuckLake
would have written for them, in 2 ms of CPU time each. The measured commits, re-pins, queries and maintenance are real.
During maintenance another thread takes the commit lock repeatedly, as commits do, and its longest wait is printed. Next
to the wall time stands the CPU time of this process, which does not include queries and a Postgres server.
``--catalog postgres://…`` puts the catalog into that database.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from bench_writers import address
from many_commits import add_commits
from rows import OBJECTIVE, make_build

from molbuffer.storage import Commit, DecodedCache, HistoryIndex, IndexScope, SampleStore

Result = TypeVar("Result")
COMMITS = 5
"""The number of commits over which the time of one is measured."""
BESIDE = ("catalog.sqlite", "journal.jsonl")
"""The files of a catalog that is not in Postgres."""
PAUSE_SECONDS = 0.01
LONGEST_SECONDS = 3_600


class Cost(NamedTuple):
    """The cost of an operation: wall time, and CPU time of all threads of this process, in seconds."""

    seconds: float
    processor_seconds: float


class Catalog:
    """A store that is measured.

    Attributes:
        path: the folder of the store.
        rows: the number of rows of each commit.
        rounds: the number of timings of each cost, of which the best counts.
        place: the arguments with which the store is made, besides its folder.
        commits: the number of commits of the store.
    """

    def __init__(self, folder: Path, rows: int, rounds: int, catalog: str | None = None) -> None:
        self.path, self.cache, self.rows, self.rounds = folder / "store", folder / "cache", rows, rounds
        self.place, self.commits = address(catalog, str(folder)), 0

    def fill(self, commits: int) -> Cost:
        """Add the simulated commits, and return their cost."""
        with SampleStore.create(self.path, **self.place) as store:
            self.commits = commits
            return timed(lambda: add_commits(store, commits, self.rows))[0]

    def commit(self, store: SampleStore) -> Cost:
        """Commit one build, and return the cost."""
        build = make_build(self.commits, self.rows, np.random.default_rng([1, self.commits]), rewarded=True)
        self.commits += 1
        return timed(lambda: store.commit(Commit([build])))[0]

    def measure(self) -> dict[str, Cost]:
        """Return the costs of opening the store, of a commit, of reading an index and of a query."""
        found = {"open": self.least_of(lambda: SampleStore.open(self.path).close())}
        with SampleStore.open(self.path) as store:
            found["commit, the first of a process"] = self.commit(store)
            found["commit, median of the next"] = sorted(self.commit(store) for _ in range(COMMITS))[COMMITS // 2]
            scope = IndexScope(objective_sha256=OBJECTIVE, snapshot=store.snapshot())
            cache = DecodedCache(store.uuid, store._open.layout.arrays, folder=self.cache)
            found["index, new segments decoded"], index = timed(lambda: store.index(scope, cache=cache))
            assert len(index) == self.commits * self.rows
            found["index, read anew"] = timed(lambda: HistoryIndex.load(store._open, scope, cache))[0]
            self.commit(store)
            scope = replace(scope, snapshot=store.snapshot())
            found["index, brought forward by one commit"], index = timed(lambda: store.index(scope, cache=cache))
            assert len(index) == self.commits * self.rows
            found["query: count of samples"] = self.least_of(lambda: asked(store, "SELECT count(*) FROM samples"))
            counted = "SELECT count(*), avg(reward) FROM sample_history"
            found["query: mean reward of the history"], answer = timed(lambda: asked(store, counted))
            assert answer == self.commits * self.rows
        return found

    def maintain(self) -> dict[str, Cost]:
        """Return the cost of each step of ``molbuffer maintain``, and the longest wait of a commit meanwhile."""
        measured: dict[str, Cost] = {}
        with SampleStore.open(self.path) as store:
            work = store.maintenance
            steps: dict[str, Callable[[], object]] = {
                "compaction": work.compact,
                "expiry": lambda: work.expire(timedelta(0), keep=1),
                "vacuum": lambda: work.vacuum(grace=timedelta(0)),
            }
            for name, step in steps.items():
                with self.waiting() as longest:
                    measured[name], _ = timed(step)
                measured[f"{name}: longest wait of a commit"] = Cost(longest(), 0.0)
        return measured

    @contextmanager
    def waiting(self) -> Iterator[Callable[[], float]]:
        """Take the commit lock repeatedly in another thread; yield a function for its longest wait in seconds."""
        ended, waits = threading.Event(), [0.0]

        def ask() -> None:
            with SampleStore.open(self.path) as store:
                while not ended.wait(PAUSE_SECONDS):
                    started = time.perf_counter()
                    with store._open.catalog.locked():
                        waits.append(time.perf_counter() - started)

        writer = threading.Thread(target=ask)
        writer.start()
        try:
            yield lambda: max(waits)
        finally:
            ended.set()
            writer.join()

    def counts(self) -> dict[str, float]:
        with SampleStore.open(self.path, read_only=True) as store:
            (snapshots,) = store._open.catalog.metadata("SELECT count(*) FROM METADATA.ducklake_snapshot")[0]
            tables = store._open.catalog.tables
        beside = {name: sum(path.stat().st_size for path in self.path.glob(f"{name}*")) for name in BESIDE}
        return {
            "snapshots": snapshots,
            "Parquet files": sum(1 for _ in tables.rglob("*.parquet")),
            "most memory of the process until now: MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
            **{f"{name}: MB": size / 1e6 for name, size in beside.items() if size},
        }

    def least_of(self, work: Callable[[], object]) -> Cost:
        """Return the least of several timings, since other work on a shared machine can only make a run slower."""
        return min(timed(work)[0] for _ in range(self.rounds))


def asked(store: SampleStore, sql: str) -> object:
    """Return the first value of a query's answer; 10,000 unmaintained commits need a time limit longer than usual."""
    return store.query(sql, timeout_seconds=LONGEST_SECONDS).row(0)[0]


def timed(work: Callable[[], Result]) -> tuple[Cost, Result]:
    started, used = time.perf_counter(), time.process_time()
    result = work()
    return Cost(time.perf_counter() - started, time.process_time() - used), result


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--commits", type=int, default=10_000, help="of the catalog")
    parser.add_argument("--rows", type=int, default=10, help="of each commit")
    parser.add_argument("--rounds", type=int, default=3, help="timings of each cost, of which the best counts")
    parser.add_argument("--folder", type=Path, help="where the store is made; default: a temporary folder")
    parser.add_argument("--catalog", help="a Postgres database, in which a schema of its own is made for the store")
    options = parser.parse_args(arguments)
    root = Path(tempfile.mkdtemp(prefix="bench-catalog-", dir=options.folder))
    try:
        catalog = Catalog(root, options.rows, options.rounds, options.catalog)
        tell(f"{options.commits:,} commits of {options.rows} rows", {"simulated": catalog.fill(options.commits)})
        tell("as committed", catalog.measure(), catalog.counts())
        tell("maintenance", catalog.maintain())
        tell("maintained", catalog.measure(), catalog.counts())
    finally:
        shutil.rmtree(root)


def tell(what: str, costs: dict[str, Cost], counts: dict[str, float] | None = None) -> None:
    """Print a part of the results at once, since with many commits the next part takes minutes."""
    print(f"{what}; 1-minute load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for name, cost in costs.items():
        used = f"{1000 * cost.processor_seconds:>12,.0f} of the processor" if cost.processor_seconds else ""
        print(f"    {name:<42}{1000 * cost.seconds:>12,.0f} ms{used}")
    for name, count in (counts or {}).items():
        print(f"    {name:<42}{count:>12,.1f}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
