"""Compare the Parquet files that training reads with the checksums that were recorded when they were written.

DuckDB reads a flipped bit of a Parquet file as another value. So the files of a snapshot are hashed before the first
rows of them are used: each once in a process, as long as its size and time of change stay, and as long as fewer than
``STORES_KEPT`` other stores are read in between. A file of an object store is not, since the store keeps checksums
itself, nor is one that a release wrote which recorded none.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from molbuffer.storage.errors import FileDamagedError
from molbuffer.storage.files import file_sha256, place_of
from molbuffer.storage.handle import OpenStore

TABLES = (
    *("builds", "checkpoints", "consumed", "placements", "quarantine"),
    *("readmitted", "rewards", "runs", "samples", "scores"),
)
"""The tables that a training reads."""

SMALL_TABLES = ("placements", "quarantine", "runs")
"""Those that are read whole, also for a few builds."""

STORES_KEPT = 8
"""The stores whose verified files are remembered."""

_Stamp = tuple[int, int, int]
# Hashing releases the interpreter, and small files are mostly waited for.
_THREADS = 4


def verify_tables(store: OpenStore, snapshots: Iterable[int], *, since: int = 0) -> None:
    """Compare the files of all tables that a training reads at some snapshots, as far as they were not before.

    Args:
        store: the store.
        snapshots: the snapshots that are read.
        since: files that have only rows of older snapshots than this are not read, and not compared; but for those of
            ``SMALL_TABLES``.

    Raises:
        FileDamagedError: a file is not as it was written.
        UnknownSnapshotError: the store has no such snapshot.
    """
    found: dict[Path, _Stamp] = {}
    for snapshot in set(snapshots):
        sources = dict(store.catalog.sources(TABLES, snapshot, since))
        if since:
            sources |= store.catalog.sources(SMALL_TABLES, snapshot)
        for source in sources.values():
            found |= {path: stamp for path in source.paths if isinstance(path, Path) and (stamp := _stamp(path))}
    root = store.catalog.tables.parent
    if not isinstance(root, Path):
        return
    verified = _verified_of(root)
    fresh = [path for path, stamp in found.items() if verified.files.get(path) != stamp]
    if not fresh:
        return
    recorded = verified.recorded(store)
    expected = {path: recorded[name] for path in fresh if (name := place_of(path, root)) in recorded}
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="verifying") as pool:
        for path, sha256 in zip(expected, pool.map(_sha256, expected), strict=True):
            if sha256 is not None and sha256 != expected[path]:
                fault = f"its checksum is {sha256[:16]}…, it was written with {expected[path][:16]}…"
                raise FileDamagedError(path, fault)
    verified.files.update((path, found[path]) for path in fresh)


@dataclass
class _Verified:
    """What is known of the files of a store.

    Attributes:
        files: the files that were compared, as they were then.
        checksums: what the snapshots up to ``snapshot`` recorded; by the uuid of the store, since another one may have
            been put in its place.
    """

    files: dict[Path, _Stamp] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    snapshot: int = -1
    uuid: str | None = None

    def recorded(self, store: OpenStore) -> Mapping[str, str]:
        """Return the recorded checksums, of which only those of snapshots that are new are read."""
        newest = store.catalog.newest()
        if self.uuid != store.uuid or newest < self.snapshot:
            self.checksums, self.snapshot, self.uuid = {}, -1, store.uuid
        # An expiry writes what expired snapshots recorded to the newest one, which may be the last that was read.
        self.checksums |= store.catalog.recorded_checksums(max(0, self.snapshot))
        self.snapshot = newest
        return self.checksums


_verified: dict[Path, _Verified] = {}


def _verified_of(root: Path) -> _Verified:
    """Return the verified files of a store, whose folder is now the last one that was read, and forget the first."""
    _verified[root] = _verified.pop(root) if root in _verified else _Verified()
    if len(_verified) > STORES_KEPT:
        _verified.pop(next(iter(_verified)), None)
    return _verified[root]


def _stamp(path: Path) -> _Stamp | None:
    """Return what changes when a file is replaced; None when a vacuum has removed it, of which the reader is told."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _sha256(path: Path) -> str | None:
    try:
        return file_sha256(path)
    except FileNotFoundError:
        return None
