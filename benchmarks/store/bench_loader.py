"""Measure batches of stored rows per second, compared with TorchRL's replay buffer on the same rows and ids.

    python benchmarks/store/bench_loader.py [--rows 1000000] [--segments 1000] [--batches 500] [--folder DIR]

The rows (80 tokens, 80 log-probs, 6 latents) are committed to a real store, one segment a commit. molbuffer reads them
by an index of a pinned snapshot over the decoded cache; the peer is ``ReplayBuffer(LazyMemmapStorage)``, filled with
the same rows in the same order. Ids are drawn in advance, and both return torch tensors; those of molbuffer include
lengths and rewards. Both are timed alternately, several times, with one torch thread and with all, and the best time of
each counts: other work on a shared machine can only make a run slower, above all a run whose threads wait for each
other.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from rows import OBJECTIVE, bench_run, make_build

from molbuffer.storage import Commit, DecodedCache, HistoryIndex, IndexScope, SampleStore

if TYPE_CHECKING:
    from torchrl.data import ReplayBuffer

BATCH, ROUNDS = 256, 6
PEER = "TorchRL"
BYTES_PER_ROW = 1_500
"""The largest number of bytes of a row in store, cache and peer together."""

Batch = dict[str, torch.Tensor]


def fill_store(store: SampleStore, rows: int, segments: int) -> None:
    rng = np.random.default_rng(7)
    store.start_run(bench_run())
    for iteration in range(segments):
        store.commit(Commit([make_build(iteration, rows // segments, rng, latents=True, rewarded=True)]))


def fill_peer(index: HistoryIndex, folder: Path) -> ReplayBuffer:
    """Return the peer, filled with the rows of the index at the same positions."""
    from tensordict import TensorDict
    from torchrl.data import LazyMemmapStorage, ReplayBuffer

    peer = ReplayBuffer(storage=LazyMemmapStorage(len(index), scratch_dir=folder), batch_size=BATCH)
    for start in range(0, len(index), 100_000):
        batch = ours(index, np.arange(start, min(start + 100_000, len(index))))
        rows = {name: batch[name] for name in ("tokens", "log_probs", "latents")}
        peer.extend(TensorDict(rows, batch_size=[len(batch["tokens"])]))
    return peer


def ours(index: HistoryIndex, ids: NDArray[np.int64]) -> Batch:
    """Return a batch as the training loader reads it, as the gathered memory itself."""
    rows = index.gather(ids)
    names = ("tokens", "lengths", "log_probs", "latents", "rewards")
    return {name: torch.from_numpy(getattr(rows, name)) for name in names}


def microseconds(gather: Callable[[int], object], batches: int) -> float:
    """Return the mean time of a batch in microseconds."""
    started = time.perf_counter()
    for number in range(batches):
        gather(number)
    return (time.perf_counter() - started) / batches * 1e6


def compare(index: HistoryIndex, peer: ReplayBuffer | None, batches: int) -> dict[str, float]:
    """Return the best time of a batch of molbuffer and of the peer, in microseconds.

    Raises:
        ValueError: the two return different rows.
    """
    rng = np.random.default_rng(11)
    ids = [rng.integers(0, len(index), BATCH) for _ in range(batches)]
    gathers: dict[str, Callable[[int], object]] = {"ours": lambda number: ours(index, ids[number])}
    if peer is not None:
        peer_ids = [torch.from_numpy(positions) for positions in ids]
        require_equal(ours(index, ids[0]), peer[peer_ids[0]])
        gathers[PEER] = lambda number: peer[peer_ids[number]]
    best = dict.fromkeys(gathers, float("inf"))
    threads = torch.get_num_threads()
    for turn in range(ROUNDS):
        torch.set_num_threads(1 if turn % 2 else threads)
        for name, gather in gathers.items():
            best[name] = min(best[name], microseconds(gather, batches))
    torch.set_num_threads(threads)
    return best


def require_equal(mine: Batch, theirs: Batch) -> None:
    """Raise an error if the two return different rows; those of molbuffer are cut to the longest row of the batch."""
    for name in ("tokens", "log_probs", "latents"):
        if not torch.equal(mine[name], theirs[name][:, : mine[name].shape[1]]):
            raise ValueError(f"the peer has other {name} at the same positions")


@contextmanager
def told(what: str) -> Iterator[None]:
    """Print the time of the work in this context."""
    started = time.perf_counter()
    yield
    print(f"{what:<58}{time.perf_counter() - started:>9.2f} s", flush=True)


def measure(root: Path, rows: int, segments: int, batches: int) -> None:
    with SampleStore.create(root / "store") as store:
        with told(f"committing {rows:,} rows in {segments:,} segments"):
            fill_store(store, rows, segments)
        cache = DecodedCache(store.uuid, store.path / "arrays", folder=root / "cache")
        with told("first index, decoding all segments"):
            index = store.index(IndexScope(objective_sha256=OBJECTIVE), cache=cache)
        with told("index again"):
            index = store.index(IndexScope(objective_sha256=OBJECTIVE), cache=cache)
        last = make_build(segments, rows // segments, np.random.default_rng(8), latents=True, rewarded=True)
        store.commit(Commit([last]))
        with told("index after one more commit"):
            store.index(IndexScope(objective_sha256=OBJECTIVE), cache=cache)
        peer = None
        if find_spec("torchrl") is not None:
            with told("filling the peer"):
                peer = fill_peer(index, root / "peer")
        best = compare(index, peer, batches)
    print(f"batches of {BATCH} of {rows:,} rows; 1-minute load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"{'ours':<10}{best['ours']:>8.0f} µs a batch")
    if peer is None:
        print(f"{PEER:<10}not compared: it is not installed; pip install 'molbuffer[bench]'")
    else:
        print(f"{PEER:<10}{best[PEER]:>8.0f} µs a batch; our rate is {best[PEER] / best['ours']:.2f} times its rate")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="stored rows")
    parser.add_argument("--segments", type=int, default=1_000, help="commits that store them")
    parser.add_argument("--batches", type=int, default=500, help="batches of each timing")
    parser.add_argument("--folder", type=Path, help="where the store is made; default: a temporary folder")
    options = parser.parse_args(arguments)
    root = Path(tempfile.mkdtemp(prefix="bench-loader-", dir=options.folder))
    try:
        if shutil.disk_usage(root).free < options.rows * BYTES_PER_ROW:
            parser.error(f"{root} needs {options.rows * BYTES_PER_ROW / 1e9:.1f} GB free; name a --folder with more")
        measure(root, options.rows, options.segments, options.batches)
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
