"""A process that makes many runs keeps none of them."""

import gc
import threading
from collections import Counter
from pathlib import Path

import torch

import molbuffer as mb
from molbuffer.samplers import GraphGASampler
from molbuffer.storage import SampleStore
from molbuffer.storage.history.verified import STORES_KEPT, _verified, _verified_of

OURS = ("molbuffer.", "torch", "_duckdb", "duckdb", "threading", "zarr")
REMEMBERED = ("molbuffer.scoring.genetic.fragments", "molbuffer.storage.history.verified")
"""Modules whose objects are kept in caches that are bounded."""
POOLED = ("fsync_", "asyncio_")
"""Threads of pools that stay, and grow to a bound."""


def make_run(folder: Path, policy: mb.Policy, objective: mb.Objective) -> None:
    with SampleStore.create(folder) as store:
        lab = mb.Lab(store)
        with lab.run("one of many", objective=objective, policy=policy, seed=0, screening=mb.Screening()) as run:
            live = mb.ModelSampler("live", run.agent, size=mb.SamplerSize(buffer_size=8, p_batch=0.25))
            children = GraphGASampler(
                "children", run.stored_rows(), live, run.vocabulary, size=mb.SamplerSize(p_batch=0.25)
            )
            run.train(
                batch_size=8,
                iterations=2,
                samplers=[live, children],
                loss=mb.Reinvent(sigma=10.0),
                checkpoint_every=1,
                own_only=True,
            )
        lab.query("SELECT count(*) FROM sample_history")


def alive() -> Counter[str]:
    gc.collect()
    names = (f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.get_objects())
    return Counter(name for name in names if name.startswith(OURS) and not name.startswith(REMEMBERED))


def threads_alive() -> set[str]:
    return {each.name for each in threading.enumerate() if not each.name.startswith(POOLED)}


def test_runs_in_a_process_leave_nothing_behind(tmp_path: Path, policy: mb.Policy, qed: mb.Objective) -> None:
    make_run(tmp_path / "first", policy, qed)
    threads, read = threads_alive(), len(_verified)
    # What tests before this one have left may change once more; a leak of ours is there after every run.
    for number in range(4):
        before = alive()
        make_run(tmp_path / f"next-{number}", policy, qed)
        grown = alive() - before
        if not grown:
            break
    assert grown == {}
    assert threads_alive() <= threads
    assert torch.Tensor.__module__.startswith(OURS)
    assert len(_verified) <= min(read + 4, STORES_KEPT)


def test_the_files_of_a_few_stores_are_remembered_as_verified(tmp_path: Path) -> None:
    for number in range(STORES_KEPT):
        _verified_of(tmp_path / str(number)).files[tmp_path] = (1, 2, 3)
    assert _verified_of(tmp_path / "0").files == {tmp_path: (1, 2, 3)}
    assert _verified_of(tmp_path / "one more").files == {}
    assert tmp_path / "1" not in _verified
    assert len(_verified) == STORES_KEPT
    assert _verified_of(tmp_path / "0").files == {tmp_path: (1, 2, 3)}
