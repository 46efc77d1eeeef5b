"""Measure the cost for a training of moving to the newest snapshot, by the number of rows in the store.

    python benchmarks/store/bench_repin.py [--rows 100000 1000000 10000000] [--rounds 7] [--folder DIR]

Stores are filled with the rows of another run, in builds of 1,000 rows, and compacted. Then a run commits a build of
its own and reads the index again, alternately by updating its present index and from scratch; each also with the rows
ranked by reward, and the best row of each molecule. The best of the rounds counts, since other work on a shared machine
can only make a run slower; CPU times are printed as well. The arrays have only 8 tokens, since they do not matter here.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from rows import OBJECTIVE, bench_run, make_build

from molbuffer.storage import Commit, DecodedCache, HistoryIndex, IndexScope, SampleStore

WIDTH = 8
BUILD_ROWS, BUILDS_OF_COMMIT = 1_000, 100
Result = TypeVar("Result")
FORWARD, ANEW = "brought forward", "read anew"
PROCESSOR = ", of the processor"
RANKED = "brought forward, and ranked"
RANKED_ANEW = "read anew, and ranked"


def fill(store: SampleStore, rows: int) -> None:
    """Commit a number of rows as another run."""
    store.start_run(replace(bench_run(), run_id="others"))
    builds = rows // BUILD_ROWS
    for first in range(0, builds, BUILDS_OF_COMMIT):
        rng = np.random.default_rng([1, first])
        store.commit(
            Commit(
                [
                    make_build(number, BUILD_ROWS, rng, rewarded=True, width=WIDTH, run_id="others")
                    for number in range(first, min(builds, first + BUILDS_OF_COMMIT))
                ]
            )
        )
    store.maintenance.compact()


def measure(folder: Path, rows: int, rounds: int, of_build: int) -> dict[str, float]:
    """Return the milliseconds of each way, the best of the rounds."""
    seconds: dict[str, list[float]] = {}
    with SampleStore.create(folder / "store") as store:
        fill(store, rows)
        cache = DecodedCache(store.uuid, store.path / "arrays", folder=folder / "cache")
        run = bench_run()
        store.start_run(run)
        others = store.snapshot()
        scope = IndexScope(objective_sha256=OBJECTIVE, run_id=run.run_id, foreign_snapshot=others)
        index, ranked = (HistoryIndex.load(store._open, scope, cache) for _ in range(2))
        rank(ranked)
        for number in range(rounds):
            rng = np.random.default_rng([2, number])
            store.commit(Commit([make_build(number, of_build, rng, rewarded=True, width=WIDTH)]))
            scope = replace(scope, snapshot=store.snapshot())
            load = partial(HistoryIndex.load, store._open, scope, cache)
            index = timed(seconds, FORWARD, partial(load, earlier=index))
            ranked = timed(seconds, RANKED, lambda load=load, before=ranked: rank(load(earlier=before)))
            anew = timed(seconds, ANEW, load)
            timed(seconds, RANKED_ANEW, lambda load=load: rank(load()))
            assert len(index) == len(ranked) == len(anew) == rows + (number + 1) * of_build
    return {name: 1000 * min(each) for name, each in seconds.items()}


def rank(index: HistoryIndex) -> HistoryIndex:
    """Compute the rankings that selections by reward use."""
    assert len(index.best_first) >= len(index.best_of_each_molecule)
    return index


def timed(seconds: dict[str, list[float]], name: str, work: Callable[[], Result]) -> Result:
    started, used = time.perf_counter(), time.process_time()
    result = work()
    seconds.setdefault(name, []).append(time.perf_counter() - started)
    seconds.setdefault(f"{name}{PROCESSOR}", []).append(time.process_time() - used)
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000], help="of the store")
    parser.add_argument("--rounds", type=int, default=7, help="commits and re-pins")
    parser.add_argument("--of-build", type=int, default=1_000, help="rows of a build of the run")
    parser.add_argument("--folder", type=Path, help="where the stores are made; default: a temporary folder")
    options = parser.parse_args(arguments)
    measured = {}
    for rows in options.rows:
        root = Path(tempfile.mkdtemp(prefix="bench-repin-", dir=options.folder))
        try:
            measured[f"{rows:,} rows"] = measure(root, rows, options.rounds, options.of_build)
        finally:
            shutil.rmtree(root)
    print(f"ms to move to a snapshot with {options.of_build:,} rows more; ", end="")
    print(f"1-minute load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"{'':<70}" + "".join(f"{column:>18}" for column in measured))
    for what in (FORWARD, ANEW, RANKED, RANKED_ANEW):
        for name in (what, f"{what}{PROCESSOR}"):
            print(f"{name:<70}" + "".join(f"{column[name]:>18,.1f}" for column in measured.values()))


if __name__ == "__main__":
    main()
