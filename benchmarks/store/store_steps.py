"""A process of ``bench_store``, which does one step with one store: it begins on a signal, and prints JSON at its end.

python benchmarks/store/store_steps.py STORE FOLDER STEP [NUMBER ...]
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from other_stores import OTHERS
from peers import Asked, Ids, Molbuffer, Peer
from rows import make_build

from molbuffer.storage import Build

PEERS: dict[str, type[Peer]] = {peer.name: peer for peer in (Molbuffer, *OTHERS)}
BATCHES = (64, 256, 1024, 4096)
ASKED = 10_000
_COLD_BATCHES, _MOST_SECONDS = 4, 2.0
_WARM_UP_SECONDS = 10.0
_POLL_SECONDS = 0.001


def build_of(iteration: int, rows: int) -> Build:
    """Return a build with the same rows in every process."""
    return make_build(iteration, rows, np.random.default_rng([7, iteration]), latents=True, rewarded=True)


def ready() -> None:
    """Report that this process is ready, and wait until all processes are."""
    print("ready", flush=True)
    sys.stdin.readline()


def seconds_of(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def fill(peer: type[Peer], folder: Path, rows: int, per_build: int) -> dict[str, Any]:
    """Add all rows, one build at a time; making the rows is not timed."""
    store = peer(folder, rows)
    ready()
    commits = []
    for iteration in range(rows // per_build):
        build = build_of(iteration, per_build)
        commits.append(seconds_of(lambda build=build: store.ingest(build)))
    return {"commits": commits, "finish": seconds_of(store.finish), "first": seconds_of(store.load)}


def write(peer: type[Peer], folder: Path, number: int, commits: int, per_build: int, pause: float = 0) -> list[Any]:
    """Write builds as one of several writers, and report the time and the duration of each acknowledgement."""
    builds = [build_of(number * commits + i, per_build) for i in range(commits)]
    store = peer(folder, 10 * commits * per_build)
    ready()
    said = []
    for build in builds:
        seconds = seconds_of(lambda build=build: store.ingest(build))
        said.append((time.monotonic(), seconds))
        time.sleep(pause)
    return said


def watch(peer: type[Peer], folder: Path, commits: int, per_build: int) -> list[float]:
    """Report when a reader first sees each build that another process writes."""
    store, seen = peer(folder, commits * per_build), []
    ready()
    while len(seen) < commits:
        builds = store.count() // per_build
        seen += [time.monotonic()] * (builds - len(seen))
        time.sleep(_POLL_SECONDS)
    return seen


def read(peer: type[Peer], folder: Path, rows: int, per_build: int, batches: int) -> dict[str, Any]:
    """Open the store, read batches cold and warm (a limited number of each size), run the queries, and report times."""
    ready()
    forget(folder)
    before = memory()
    started = time.perf_counter()
    store = peer(folder, rows)
    if store.count() != rows:
        raise ValueError(f"{peer.name} has {store.count()} rows, expected {rows}")
    said: dict[str, Any] = {"open": time.perf_counter() - started, "load": seconds_of(store.load)}
    said["cold"], said["warm"] = {}, {}
    rng = np.random.default_rng(11)
    warm_up(store, rows, rng)
    for size in BATCHES:
        said["warm"][size] = seconds_a_batch(store, [rng.integers(0, rows, size) for _ in range(batches)])
    said["memory"] = [after - had for after, had in zip(memory(), before, strict=True)]
    said["check"] = checksum(store, np.random.default_rng(3).integers(0, rows, 100))
    molecules = asked(rows, per_build)
    said["queries"] = {
        name: statistics.median(seconds_of(query) for _ in range(3)) for name, query in store.queries(molecules).items()
    }
    for size in BATCHES:
        # Mapped pages cannot be dropped from the system's cache.
        store.close()
        del store
        gc.collect()
        forget(folder)
        store = peer(folder, rows)
        store.load()
        said["cold"][size] = seconds_a_batch(store, [rng.integers(0, rows, size) for _ in range(_COLD_BATCHES)])
    return said


def warm_up(store: Peer, rows: int, rng: np.random.Generator) -> None:
    """Read batches until most of a store is in memory: about four times its rows, or until the time limit."""
    end = time.monotonic() + _WARM_UP_SECONDS
    for _ in range(-(-4 * rows // BATCHES[-1])):
        store.gather(rng.integers(0, rows, BATCHES[-1]))
        if time.monotonic() > end:
            break


def seconds_a_batch(store: Peer, batches: list[Ids]) -> float:
    """Return the median seconds of a batch, over as many batches as the time limit allows."""
    end, seconds = time.monotonic() + _MOST_SECONDS, []
    for ids in batches:
        seconds.append(seconds_of(lambda ids=ids: store.gather(ids)))
        if time.monotonic() > end:
            break
    return statistics.median(seconds)


def checksum(store: Peer, ids: Ids) -> int:
    """Return a checksum of tokens in their order; the tokens of molbuffer are cut to the longest row."""
    tokens = np.asarray(store.gather(ids)["tokens"]).astype(np.int64)
    return int(tokens.sum(axis=1) @ np.arange(len(ids)))


def asked(rows: int, per_build: int) -> Asked:
    """Return molecules from the whole history, and as many new ones."""
    half, builds = min(ASKED // 2, rows), rows // per_build
    known: list[str] = []
    for iteration in np.linspace(0, builds - 1, min(builds, 20)).astype(int).tolist():
        known += [text for text in build_of(iteration, per_build).samples.smiles if text][: -(-half // min(builds, 20))]
    return Asked(known[0], [*known[:half], *(f"{text}X" for text in known[:half])])


def forget(folder: Path) -> None:
    """Drop the files from the system's cache, if the system allows it."""
    for path in folder.rglob("*"):
        if path.is_file() and hasattr(os, "posix_fadvise"):
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def memory() -> tuple[int, int, int]:
    """Return the bytes of this process's own memory, of mapped files, and the largest sum of both; on Linux only.

    The system can take the memory of mapped files back.
    """
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    own, mapped, most = (int(status[name].split()[0]) * 1024 for name in ("RssAnon", "RssFile", "VmHWM"))
    return own, mapped, most


STEPS: dict[str, Callable[..., Any]] = {step.__name__: step for step in (fill, write, watch, read)}


def main() -> None:
    name, folder, step, *numbers = sys.argv[1:]
    values = [float(number) if "." in number else int(number) for number in numbers]
    print(json.dumps(STEPS[step](PEERS[name], Path(folder), *values)))


if __name__ == "__main__":
    main()
