"""A process that writes to a store, for tests that kill it, race it, or trace it.

python writer_process.py ROLE STORE [ARGUMENTS]
"""

import os
import signal
import sys
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

import molbuffer.storage.commits.commit
import molbuffer.storage.commits.prepared
from molbuffer.storage import SampleStore
from molbuffer.storage.files.durable import sync_paths
from molbuffer.storage.records import Build, Commit, Event, Metric, Reward, Run, RunKind, Samples, Score, no_samples
from molbuffer.storage.rows import COLUMNS, Rows

OBJECTIVE = "objective-1"


def make_run(run_id="run-1", **changes):
    return Run(**({"run_id": run_id, "name": "test", "kind": RunKind.TRAIN, "config": "{}", "seed": 7} | changes))


def make_samples(n=6, width=10, seed=0, vocabulary="vocabulary-1", **changes):
    """Row 1 is no molecule, row 2 was refused by a filter; the longest row fills the width."""
    rng = np.random.default_rng(seed)
    lengths = np.r_[width, rng.integers(1, width, n - 1)].astype(np.int32)
    inside = np.arange(width) < lengths[:, None]
    smiles = [f"{'C' * (1 + row)}{'O' * seed}" for row in range(n)]
    columns = {
        "raw": list(smiles),
        "smiles": [None if row == 1 else text for row, text in enumerate(smiles)],
        "rejected_by": ["validity" if row == 1 else "molecular_weight" if row == 2 else None for row in range(n)],
        "tokens": np.where(inside, rng.integers(3, 40, (n, width)), 0).astype(np.uint8),
        "lengths": lengths,
        "log_probs": np.where(inside, -rng.random((n, width)), 0).astype(np.float32),
        "vocabulary_sha256": vocabulary,
    }
    columns |= changes
    of_rows = {name: columns.pop(name) for name in (*COLUMNS, "vocabulary_sha256") if name in columns}
    return Samples(**columns, rows=Rows(**of_rows))


def make_pairs(n=6, seed=0, **changes):
    """Samples with everything that a row can have: a source, which rows 0 and 3 lack, and latents with a density."""
    rng = np.random.default_rng(100 + seed)
    lengths = np.array([0 if row in (0, 3) else 1 + row % 5 for row in range(n)], np.int32)
    columns = {
        "latents": rng.normal(size=(n, 3)).astype(np.float32),
        "latent_log_probs": rng.normal(size=n).astype(np.float32),
        "source_smiles": [None if row in (0, 3) else "C" * (1 + row) for row in range(n)],
        "source_tokens": np.where(np.arange(5) < lengths[:, None], rng.integers(3, 40, (n, 5)), 0).astype(np.uint8),
        "source_lengths": lengths,
    }
    return make_samples(n, seed=seed, **(columns | changes))


def make_readmission(iteration, rows, **changes):
    """A build that gives stored rows to the buffer once more."""
    fields = {"samples": no_samples("vocabulary-1"), "references": rows, "rewards": [], "sampler": "history"}
    return make_build(iteration, **(fields | {"policy_sha256": None} | changes))


def make_build(iteration=0, n=6, seed=0, **changes):
    fields = {
        "run_id": "run-1",
        "iteration": iteration,
        "event": Event.BUILD_BUFFER,
        "sampler": "live",
        "sampler_kind": "model",
        "samples": changes.pop("samples") if "samples" in changes else make_samples(n, seed=seed),
        "policy_sha256": "policy-1",
        "temperature": 0.9,
        "top_p": 0.95,
        "seed": 11,
        "objective_sha256": OBJECTIVE,
        "rewards": [Reward(row, OBJECTIVE, row / 10) for row in range(n) if row not in (1, 2)],
        "metrics": [Metric("valid", 0.5), Metric("diversity", None)],
    }
    return Build(**(fields | changes))


def race(store: SampleStore, first: str, last: str, sampler: str = "live") -> None:
    """Commits the builds of a range of iterations, which other processes commit too."""
    for iteration in range(int(first), int(last)):
        receipt = store.commit(Commit([make_build(iteration, sampler=sampler)])).builds[0]
        print("repeated" if receipt.repeated else "committed", receipt.build_id, flush=True)


def endless(store: SampleStore) -> None:
    """Commits builds until it is killed, and says which were acknowledged."""
    race(store, "0", "1000000")


def score(store: SampleStore) -> None:
    """Records scores, says so, and dies without closing the store."""
    store.record_scores([Score("CC", "docking", "v1", -7.5)])
    print("recorded", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def claim(store: SampleStore, owner: str) -> None:
    """Claims a hundred molecules and names those granted."""
    granted = store.claims.claim("docking", "v1", [f"C{i}" for i in range(100)], owner, 60.0)
    print(*sorted(granted), flush=True)


def hold(store: SampleStore) -> None:
    """Takes the lock of commits, says so, and keeps it."""
    with store._open.catalog._writers.held():
        print("held", flush=True)
        time.sleep(3600)


def _die() -> None:
    print("dying", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def _die_after(module: object, name: str) -> None:
    """Makes a function end the process as soon as it has done its work."""
    original = getattr(module, name)

    def last_act(*arguments, **named):
        original(*arguments, **named)
        _die()

    setattr(module, name, last_act)


def _die_at_parquet(paths: Iterable[Path], *, synced: bool) -> None:
    listed = list(paths)
    parquet = any("samples" in path.parts and path.suffix == ".parquet" for path in listed)
    if parquet and not synced:
        _die()
    sync_paths(listed)
    if parquet:
        _die()


STOPS = {
    "arrays written": lambda: _die_after(molbuffer.storage.commits.commit, "write_segment"),
    "rows inserted": lambda: _die_after(molbuffer.storage.commits.commit, "insert_scores"),
    "before sync": lambda: partial(_die_at_parquet, synced=False),
    "before COMMIT": lambda: partial(_die_at_parquet, synced=True),
    "before acknowledgement": lambda: _die_after(molbuffer.storage.commits.prepared, "CommitReceipt"),
}
"""The steps of the commit protocol after which a process can be made to die."""


def die(path: str, stop: str, iteration: str) -> None:
    """Commits a build, and dies at a step of the protocol."""
    sync = STOPS[stop]() or sync_paths
    with SampleStore.open(path, sync=sync) as store:
        store.commit(Commit([make_build(int(iteration))]))


def main() -> None:
    role, path, *arguments = sys.argv[1:]
    if role == "die":
        die(path, *arguments)
        return
    with SampleStore.open_or_create(path) as store:
        store.start_run(make_run())
        {"race": race, "endless": endless, "score": score, "claim": claim, "hold": hold}[role](store, *arguments)


if __name__ == "__main__":
    main()
