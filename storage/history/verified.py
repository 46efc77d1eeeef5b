"""Verification of the Parquet files that a training reads, by the checksums that were recorded when they were written.

DuckDB reads a flipped bit of a Parquet file as another value. The files of a snapshot are therefore hashed before their
first rows are used: each file once in a process, unless its size or time of change differs, or ``STORES_KEPT`` other
stores were read in between. Files of an object store, which keeps checksums itself, and files of releases that recorded
no checksums are not hashed.
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
"""The tables that are read as a whole, even for a few builds."""

STORES_KEPT = 8
"""The number of stores whose verified files are remembered."""

_Stamp = tuple[int, int, int]
# Hashing releases the interpreter lock, and small files take most of the time in waiting for the disk.
_THREADS = 4


def verify_tables(store: OpenStore, snapshots: Iterable[int], *, since: int = 0) -> None:
    """Verify the files of all tables that a training reads at some snapshots, except files that were verified before.

    Args:
        store: the store.
        snapshots: the snapshots that are read.
        since: files that have only rows of snapshots before this one are skipped, except those of ``SMALL_TABLES``.

    Raises:
        FileDamagedError: a file differs from the file that was written.
        UnknownSnapshotError: the store does not have the snapshot.
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
    """The verified files and the recorded checksums of a store.

    Attributes:
        files: the verified files, with their inode, size and time of change at that moment.
        checksums: the checksums that the snapshots up to ``snapshot`` recorded, by path.
        snapshot: the newest snapshot whose checksums were read; -1 before the first.
        uuid: the identity of the store of the checksums, since another store may replace it at the same path.
    """

    files: dict[Path, _Stamp] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    snapshot: int = -1
    uuid: str | None = None

    def recorded(self, store: OpenStore) -> Mapping[str, str]:
        """Return the recorded checksums, after reading those of new snapshots."""
        newest = store.catalog.newest()
        if self.uuid != store.uuid or newest < self.snapshot:
            self.checksums, self.snapshot, self.uuid = {}, -1, store.uuid
        # An expiry adds the checksums of expired snapshots to the newest one, which may have been read before.
        self.checksums |= store.catalog.recorded_checksums(max(0, self.snapshot))
        self.snapshot = newest
        return self.checksums


_verified: dict[Path, _Verified] = {}


def _verified_of(root: Path) -> _Verified:
    """Return the verified files of a store, and forget the store that was read longest ago if there are too many."""
    _verified[root] = _verified.pop(root) if root in _verified else _Verified()
    if len(_verified) > STORES_KEPT:
        _verified.pop(next(iter(_verified)), None)
    return _verified[root]


def _stamp(path: Path) -> _Stamp | None:
    """Return inode, size and time of change of a file; None if a vacuum has removed it, which its reader reports."""
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
