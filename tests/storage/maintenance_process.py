"""A process that maintains or reads a store, for tests that kill it or run it beside others.

python maintenance_process.py ROLE STORE [ARGUMENTS]
"""

import os
import shutil
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path

import molbuffer.storage.archive.make
import molbuffer.storage.maintenance.compact
import molbuffer.storage.maintenance.expire
import molbuffer.storage.maintenance.vacuum
import molbuffer.storage.segments.segment
from molbuffer.storage import SampleStore
from molbuffer.storage.catalog.catalog import Catalog
from molbuffer.storage.catalog.transaction import Transaction
from molbuffer.storage.history.cache import DecodedCache
from molbuffer.storage.history.index import IndexScope

OBJECTIVE = "objective-1"


def _die() -> None:
    print("dying", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def _die_after(owner: object, name: str) -> None:
    """Makes a function end the process as soon as it has done its work."""
    original = getattr(owner, name)

    def last_act(*arguments, **named):
        original(*arguments, **named)
        _die()

    setattr(owner, name, last_act)


def _die_before(owner: object, name: str) -> None:
    setattr(owner, name, lambda *arguments, **named: _die())


STOPS = {
    "compact: arrays written": lambda: _die_after(molbuffer.storage.segments.segment, "_create_array"),
    "compact: segment written": lambda: _die_after(molbuffer.storage.maintenance.compact, "write_segment"),
    "compact: placements inserted": lambda: _die_after(Transaction, "insert"),
    "compact: placements committed": lambda: _die_after(Catalog, "transact"),
    "compact: files merged": lambda: _die_after(Transaction, "merge_files"),
    "expire: checksums handed on": lambda: _die_after(molbuffer.storage.maintenance.expire, "_hand_on_checksums"),
    "expire: forgotten": lambda: _die_after(molbuffer.storage.maintenance.expire, "expire_versions"),
    "vacuum: first removed": lambda: _die_after(molbuffer.storage.maintenance.vacuum, "delete"),
    "vacuum: renamed aside": lambda: _die_before(shutil, "rmtree"),
    "vacuum: files deleted": lambda: _die_before(molbuffer.storage.maintenance.vacuum, "change_metadata"),
}
"""The steps of maintenance after which a process can be made to die."""

STEPS = {
    "compact": lambda store: store.maintenance.compact(),
    "expire": lambda store: store.maintenance.expire(timedelta(0)),
    "vacuum": lambda store: store.maintenance.vacuum(grace=timedelta(0)),
}


def die(path: str, stop: str) -> None:
    """Does one step of maintenance, and dies in it."""
    with SampleStore.open(path) as store:
        STOPS[stop]()
        STEPS[stop.split(":")[0]](store)


def archive(path: str, out: str, snapshot: str, step: str, then: str) -> None:
    """Archives a version; after a step of that it dies, or waits until there is a file ``go`` beside the archive."""

    def wait() -> None:
        print("waiting", flush=True)
        while not Path(out).with_name("go").exists():
            time.sleep(0.05)

    original = getattr(molbuffer.storage.archive.make, step)

    def with_a_stop(*arguments, **named):
        result = original(*arguments, **named)
        {"die": _die, "wait": wait}[then]()
        return result

    setattr(molbuffer.storage.archive.make, step, with_a_stop)
    with SampleStore.open(path) as store:
        print(
            "archived",
            store.archive(Path(out), snapshot=int(snapshot)).uuid,
            flush=True,
        )


def maintain(path: str) -> None:
    """Compacts over and over, with a vacuum of what was merged a while ago, until it is killed."""
    with SampleStore.open(path) as store:
        while True:
            report = store.maintenance.compact()
            removed = store.maintenance.vacuum(grace=timedelta(seconds=30)).removed
            print("maintained", sum(report.merged_files.values()), len(removed), flush=True)


def read(path: str, cache: str, snapshot: str, stop: str) -> None:
    """Loads the index of a version until there is a file; says what its rows are, and how many the newest has."""
    import hashlib

    with SampleStore.open(path, read_only=True) as store:
        decoded = DecodedCache(store.uuid, Path(path) / "arrays", Path(cache))
        while not Path(stop).exists():
            pinned = store.index(IndexScope(objective_sha256=OBJECTIVE, snapshot=int(snapshot)), cache=decoded)
            rows = pinned.gather(pinned.best_first)
            digest = hashlib.sha256(rows.tokens.tobytes() + rows.log_probs.tobytes() + rows.rewards.tobytes())
            newest = len(store.index(IndexScope(objective_sha256=OBJECTIVE), cache=decoded))
            counted = store.query("SELECT count(*) FROM sample_history").item()
            print(digest.hexdigest(), newest, counted, flush=True)


def main() -> None:
    role, path, *arguments = sys.argv[1:]
    {"archive": archive, "die": die, "maintain": maintain, "read": read}[role](path, *arguments)


if __name__ == "__main__":
    main()
