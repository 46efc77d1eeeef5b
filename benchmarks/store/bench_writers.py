"""Measure commits of many processes to one store at once; no error may reach a caller.

    python benchmarks/store/bench_writers.py [--writers 8 16] [--commits 50] [--rows 1000] [--folder DIR]
        [--catalog ADDRESS] [--apart]

Each process commits its builds one after another, with every file synced to the disk. Its first commit is not counted,
since it imports modules. The time of all commits is compared with that of a single process that makes as many commits
alone. ``--catalog postgres://…`` puts the catalog into that database. With ``--apart``, the writers are also measured
without shared transactions.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from rows import RUN_ID, bench_run, make_build

from molbuffer.storage import Commit, SampleStore
from molbuffer.storage.commits.prepared import PreparedCommit


def write(path: Path, number: int, commits: int, rows: int, *, apart: bool) -> None:
    """Commit builds in one process, and print the seconds of each commit."""
    if apart:
        PreparedCommit.request = lambda prepared: None  # type: ignore[method-assign]
    rng = np.random.default_rng(number)
    first, *builds = [make_build(number * (commits + 1) + i, rows, rng) for i in range(commits + 1)]
    seconds = []
    with SampleStore.open(path) as store:
        # The first imports what a commit needs, which takes longer than it.
        store.commit(Commit([first]))
        # All writers start at once, when the last one is ready.
        print("ready", flush=True)
        sys.stdin.readline()
        for build in builds:
            started = time.perf_counter()
            store.commit(Commit([build]))
            seconds.append(time.perf_counter() - started)
    print(json.dumps(seconds))


def run_writers(path: Path, writers: int, commits: int, rows: int, *, apart: bool) -> tuple[list[float], float]:
    """Return the seconds of every commit of all processes, and those of the whole."""
    command = [sys.executable, __file__, "--commits", str(commits), "--rows", str(rows)]
    command += ["--apart"] if apart else []
    command += ["--worker"]
    said, seconds = run_together([[*command, f"{number}:{path}"] for number in range(writers)])
    return [value for values in said for value in values], seconds


def run_together(commands: Sequence[Sequence[str]]) -> tuple[list[Any], float]:
    """Run programs that report when they are ready, let them begin at the same time, and wait for all.

    Returns:
        The JSON text that each program printed last, and the seconds from the common start to the end of the last one.

    Raises:
        RuntimeError: a program ended with an error.
    """
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for command in commands
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    started = time.perf_counter()
    for process in processes:
        assert process.stdin is not None
        print("go", file=process.stdin, flush=True)
    said = [process.communicate()[0] for process in processes]
    seconds = time.perf_counter() - started
    if failed := [process.returncode for process in processes if process.returncode]:
        raise RuntimeError(f"{len(failed)} of {len(commands)} processes failed; their errors are above")
    return [json.loads(lines.splitlines()[-1]) for lines in said], seconds


def report(name: str, commits: list[float], seconds: float, rows: int) -> None:
    median, worst = statistics.median(commits) * 1000, max(commits) * 1000
    rate = len(commits) * rows / seconds
    print(f"{name}: {len(commits)} commits of {rows} rows in {seconds:.1f} s, {rate:,.0f} rows/s; ", end="")
    print(f"a commit takes {median:.0f} ms (median), {worst:.0f} ms (worst)")


def address(catalog: str | None, folder: str) -> dict[str, str]:
    """Return the arguments with which a store is made; in a Postgres database, its catalog has a schema of its own."""
    if catalog is None:
        return {}
    return {"catalog": catalog, "catalog_schema": f"bench_{uuid4().hex}", "data_path": f"{folder}/data"}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--writers", type=int, nargs="+", default=[8, 16], help="how many at once")
    arguments.add_argument("--commits", type=int, default=50, help="of each writer")
    arguments.add_argument("--rows", type=int, default=1_000, help="of each commit")
    arguments.add_argument("--folder", type=Path, help="where the stores are made; default: a temporary folder")
    arguments.add_argument("--catalog", help="a Postgres database, in which a schema of its own is made for each store")
    arguments.add_argument("--apart", action="store_true", help="also measure writers that share no transaction")
    arguments.add_argument("--worker", help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.worker:
        number, _, path = chosen.worker.partition(":")
        write(Path(path), int(number), chosen.commits, chosen.rows, apart=chosen.apart)
        return
    for writers in (1, *chosen.writers):
        for apart in (True, False) if chosen.apart and writers > 1 else (False,):
            with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
                path = Path(folder) / "store"
                with SampleStore.create(path, **address(chosen.catalog, folder)) as store:
                    store.start_run(bench_run())
                commits, seconds = run_writers(path, writers, chosen.commits, chosen.rows, apart=apart)
                with SampleStore.open(path, read_only=True) as store:
                    stored = len(store.receipts(RUN_ID))
            acknowledged = len(commits) + writers
            assert stored == acknowledged, f"{stored} builds are stored, {acknowledged} were acknowledged"
            named = f"{writers} writer{'s' if writers > 1 else ''}{', each by itself' if apart else ''}"
            report(named, commits, seconds, chosen.rows)


if __name__ == "__main__":
    main()
