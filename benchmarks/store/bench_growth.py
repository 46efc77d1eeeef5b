"""Measure which costs grow with the number of commits, and which of them compaction keeps constant.

    python benchmarks/store/bench_growth.py [--commits 100 1000] [--rows 100] [--maintain-every 100] [--rounds 3]
                                      [--care alone …]

Stores get the same small commits, one build each, and are measured at each number of commits:

    alone        the store is not maintained
    compacted    every --maintain-every commits, small Parquet files are merged and small segments rewritten
    maintained   as by ``molbuffer maintain``: in addition, old snapshots expire, and unreferenced files are removed
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import numpy as np
from rows import OBJECTIVE, RUN_ID, bench_run, make_build

from molbuffer.storage import Build, Commit, DecodedCache, HistoryIndex, IndexScope, SampleStore, find_receipts

CARE = ALONE, COMPACTED, MAINTAINED = ("alone", "compacted", "maintained")
RECENT = 50
"""The number of last commits whose median time counts."""


@dataclass
class Growth:
    """A store that grows, with the seconds of its commits and its maintenance.

    Attributes:
        care: the kind of maintenance, one of ``CARE``.
        rounds: the number of timings of each cost.
    """

    folder: Path
    rows: int
    care: str
    every: int
    rounds: int
    commits: list[float] = field(default_factory=list)
    maintenance: list[float] = field(default_factory=list)
    longest_lock: float = 0.0

    @property
    def path(self) -> Path:
        return self.folder / "store"

    def grow(self, commits: int) -> None:
        """Commit builds until the store has a number of them."""
        with SampleStore.open_or_create(self.path) as store:
            store.start_run(bench_run())
            while (done := len(self.commits)) < commits:
                commit = Commit([self.build(done)])
                self.commits.append(seconds_of(lambda commit=commit: store.commit(commit)))
                if self.care != ALONE and (done + 1) % self.every == 0:
                    self.maintenance.append(seconds_of(lambda: self.maintain(store)))

    def maintain(self, store: SampleStore) -> None:
        maintenance = store.maintenance
        report = maintenance.compact()
        self.longest_lock = max(self.longest_lock, report.longest_lock_seconds)
        if self.care == MAINTAINED:
            maintenance.expire(timedelta(0), keep=1)
            maintenance.vacuum(grace=timedelta(0))

    def build(self, iteration: int) -> Build:
        rng = np.random.default_rng([7, iteration])
        return make_build(iteration, self.rows, rng, rewarded=True)

    def least_of(self, work: Callable[[], object]) -> float:
        """The best of several: a shared machine only ever makes a run slower."""
        return min(seconds_of(work) for _ in range(self.rounds))

    def measure(self) -> dict[str, float]:
        """Return the milliseconds of each cost, and counts of files and rows."""
        cache = self.folder / "cache"
        found = {"commit, median of the last": statistics.median(self.commits[-RECENT:])}
        found["open"] = self.least_of(lambda: SampleStore.open(self.path).close())
        with SampleStore.open(self.path) as store:
            decoded = DecodedCache(store.uuid, store._open.layout.arrays, cache)

            def load() -> HistoryIndex:
                return store.index(IndexScope(objective_sha256=OBJECTIVE), cache=decoded)

            found["index, new segments decoded"] = seconds_of(load)
            found["index"] = self.least_of(load)
            found["count"] = self.least_of(lambda: store.read_arrow("SELECT count(*) FROM {samples}"))
            found["query of a user"] = self.least_of(lambda: store.query("SELECT count(*) FROM sample_history"))
            last = self.build(len(self.commits) - 1)
            found["look-up of a build"] = self.least_of(lambda: find_receipts(store._open.catalog, [last]))
            found["receipts of a run"] = self.least_of(lambda: store.receipts(RUN_ID))
            molecules = [text for text in last.samples.smiles if text]
            found["known molecules"] = self.least_of(lambda: store.known_molecules(molecules))
        if self.maintenance:
            found |= {"last maintenance": self.maintenance[-1], "longest lock": self.longest_lock}
        counts = {"Parquet files": count(self.path, "*.parquet"), "segments": count(self.path, "arrays/*")}
        return {f"{name}: ms": 1000 * value for name, value in found.items()} | counts


def count(folder: Path, pattern: str) -> int:
    return sum(1 for _ in (folder.glob(pattern) if "/" in pattern else folder.rglob(pattern)))


def seconds_of(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--commits", type=int, nargs="+", default=[100, 1_000], help="when to measure")
    parser.add_argument("--rows", type=int, default=100, help="of each commit")
    parser.add_argument("--maintain-every", type=int, default=100, help="commits between two compactions")
    parser.add_argument("--rounds", type=int, default=3, help="timings of each cost, of which the best counts")
    parser.add_argument("--care", nargs="+", choices=CARE, default=list(CARE), help="what is done with a store")
    parser.add_argument("--folder", type=Path, help="where the stores are made; default: a temporary folder")
    options = parser.parse_args(arguments)
    root = Path(tempfile.mkdtemp(prefix="bench-growth-", dir=options.folder))
    try:
        measured: dict[str, dict[str, float]] = {}
        for care in options.care:
            growth = Growth(root / care, options.rows, care, options.maintain_every, options.rounds)
            growth.folder.mkdir()
            for commits in sorted(options.commits):
                growth.grow(commits)
                measured[f"{commits:,} {care}"] = growth.measure()
    finally:
        shutil.rmtree(root)
    print(f"commits of {options.rows} rows; compacted or maintained every {options.maintain_every}; ", end="")
    print(f"1-minute load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"{'':<36}" + "".join(f"{column:>18}" for column in measured))
    for figure in dict.fromkeys(name for column in measured.values() for name in column):
        cells = (f"{column[figure]:,.1f}" if figure in column else "-" for column in measured.values())
        print(f"{figure:<36}" + "".join(f"{cell:>18}" for cell in cells))


if __name__ == "__main__":
    main()
