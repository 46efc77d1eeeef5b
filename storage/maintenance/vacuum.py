"""Vacuum: removes the files of a store that nothing refers to and that are older than a grace period.

Files that a writer is making are younger than the grace period, which must be longer than the longest transaction.
Files with a time in the future are never removed. Nothing is lost if the clock has jumped, or if a writer was suspended
for longer than that: files are chosen and renamed under the commit lock, and a commit first checks that its arrays
exist (``commits.commit``). A kill leaves a complete folder, or a hidden one that a later vacuum removes.

    segment      no remaining snapshot refers to it, through ``builds`` or ``placements``
    parquet      no snapshot has it: it was merged, is expired, or was left by a killed writer
    checkpoint   no row names it, or the run has newer ones (``snapshots.KEPT_CHECKPOINTS``)
    aside        a policy, description, removal or backup that was never finished
    pin          the pin of a snapshot for an archive whose process was killed (``maintenance.pins``)

A vacuum with an empty or foreign catalog would remove the whole store. Files that no row ever named were left by killed
writers and are few: if they are most of the store, nothing is removed unless the user demands it. Files that a
compaction or a newer checkpoint has replaced do not count.

Policies are kept, even without a row: they are named by their content, so that a writer may be about to name an old
one. Files that a backup needs (``catalog.backup``) are kept as long as the backup exists.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePath

import pyarrow as pa

from molbuffer.storage.catalog import Catalog, change_metadata, kept_by_backups
from molbuffer.storage.errors import StoreBusyError, VacuumRefusedError
from molbuffer.storage.files import Place, StoredFile, delete, entries, files_at, set_aside
from molbuffer.storage.layout import ASIDE, Layout
from molbuffer.storage.maintenance.pins import archive_pins
from molbuffer.storage.maintenance.snapshots import KEPT, KEPT_CHECKPOINTS

LEAST_UNKNOWN = 10
"""The number of never-named files and folders from which on a vacuum may be refused."""

GRACE = timedelta(hours=24)
"""A time longer than the longest transaction, and than a query or index load that may still read merged files."""

# The places of the arrays of each build, each with the range of snapshots for which it is valid.
_NEEDED = """
    WITH places AS (
        SELECT build_id, 0 AS generation, segment, snapshot_id AS since FROM {builds}
        UNION ALL SELECT build_id, generation, segment, snapshot_id FROM {placements}
    ), spans AS (
        SELECT segment, since, lead(since) OVER (PARTITION BY build_id ORDER BY generation) AS until FROM places
    )
    SELECT DISTINCT segment FROM spans
    WHERE until IS NULL OR EXISTS (FROM versions WHERE version >= since AND version < until)
    UNION SELECT segment FROM {quarantine}"""
_SCHEDULED = """SELECT data_file_id, path, epoch(schedule_start::TIMESTAMPTZ)
    FROM METADATA.ducklake_files_scheduled_for_deletion WHERE path_is_relative ORDER BY data_file_id"""
_LISTED = """SELECT path FROM METADATA.ducklake_data_file UNION ALL SELECT path FROM METADATA.ducklake_delete_file
    UNION ALL SELECT path FROM METADATA.ducklake_files_scheduled_for_deletion"""
_EVER_PLACED = (
    "SELECT segment FROM {builds} UNION SELECT segment FROM {placements} UNION SELECT segment FROM {quarantine}"
)
_PORTION = 1_000


@dataclass(frozen=True)
class Removed:
    """A file or folder that was removed, or would be.

    Attributes:
        kind: segment, parquet, checkpoint, aside or pin.
        path: the path relative to the data path, or to the folder with store.toml.
        bytes: the size in bytes.
        modified: the time of the last write in it, in seconds since the epoch; None if it no longer exists.
    """

    kind: str
    path: str
    bytes: int
    modified: float | None


@dataclass(frozen=True)
class VacuumReport:
    """The result of a vacuum, or of a dry run.

    Attributes:
        removed: the files and folders that were removed, or would be.
    """

    removed: tuple[Removed, ...]

    @property
    def bytes(self) -> int:
        """The size of all of them, in bytes."""
        return sum(removed.bytes for removed in self.removed)


@dataclass(frozen=True)
class _Vacuum:
    """A vacuum in progress.

    Attributes:
        catalog: the catalog of the store.
        layout: the paths of the store's files.
        grace: the age that a file must have.
        keep_checkpoints: the number of checkpoints of a run that are kept.
        started: the start of the vacuum, in seconds since the epoch.
        dry_run: whether nothing is removed.
        backed_up: the paths in the store of the files that a backup of the catalog needs.
    """

    catalog: Catalog
    layout: Layout
    grace: timedelta
    keep_checkpoints: int
    started: float
    dry_run: bool
    backed_up: Collection[str]

    def run(self) -> Iterator[Removed]:
        """Remove all files and folders that are not needed, and yield them."""
        # Files are listed before the catalog is read, so that files of later commits are not in the list.
        yield from self._remove_unneeded("segment", self._old(self.layout.arrays), self._unneeded_segments)
        yield from self._remove_unneeded("parquet", self._parquet(), self._unneeded_parquet)
        yield from self._remove_unneeded("checkpoint", self._checkpoints(), self._unneeded_checkpoints)
        for path in self._asides():
            yield self._remove("aside", path)
        yield from self._abandoned_pins()
        yield from self._scheduled_parquet()

    def refuse_to_remove_most(self) -> None:
        """Refuse the vacuum if no row ever named most of the files and folders, or most of their bytes.

        Raises:
            VacuumRefusedError: most of the store was never named.
        """
        named = self.catalog.read("SELECT folder FROM {checkpoints}")["folder"].to_pylist()
        placed = set(self.catalog.read(_EVER_PLACED)["segment"].to_pylist())
        listed = {PurePath(path).name for (path,) in self.catalog.metadata(_LISTED)}
        checkpoints = {self.layout.data / folder for folder in named}
        there = [(path, path.name in placed) for path in entries(self.layout.arrays) if not path.name.startswith(".")]
        for table in entries(self.layout.tables / "main"):
            there += [(path, path.name in listed) for path in entries(table) if path.suffix == ".parquet"]
        for run in entries(self.layout.checkpoints):
            there += [(path, path in checkpoints) for path in entries(run)]
        unknown = [path for path, known in there if not known and not self._is_backed_up(path) and self._is_left(path)]
        if len(unknown) < LEAST_UNKNOWN:
            return
        sizes = {path: sum(file.bytes for file in files_at(path)) for path, _ in there}
        of_unknown = sum(sizes[path] for path in unknown)
        if 2 * len(unknown) > len(there) or 2 * of_unknown > sum(sizes.values()):
            raise VacuumRefusedError(
                f"nothing was removed from {self.layout.root}: its catalog does not name {len(unknown)} of "
                f"{len(there)} files and folders ({of_unknown:,} of {sum(sizes.values()):,} bytes), so that it may be "
                "the catalog of another store, or an old copy. See `molbuffer verify` and `molbuffer recover`; use "
                "`molbuffer maintain --vacuum --remove-most` to remove them anyway",
                len(unknown),
                len(there) - len(unknown),
            )

    def _is_backed_up(self, path: Place) -> bool:
        return self.layout.name_of(path) in self.backed_up

    def _remove_unneeded(
        self, kind: str, old: list[Place], unneeded: Callable[[list[Place]], list[Place]]
    ) -> Iterator[Removed]:
        going = unneeded([path for path in old if not self._is_backed_up(path)])
        if self.dry_run:
            yield from (self._removed(kind, path) for path in going)
            return
        for start in range(0, len(going), _PORTION):
            with self.catalog.locked():
                # Checked once more: a slow writer may have committed since.
                removed = [
                    (self._removed(kind, path), set_aside(path)) for path in unneeded(going[start : start + _PORTION])
                ]
            for told, path in removed:
                delete(path)
                yield told

    def _unneeded_segments(self, there: list[Place]) -> list[Place]:
        versions = self.catalog.metadata("SELECT snapshot_id FROM METADATA.ducklake_snapshot")
        needed = self.catalog.read(_NEEDED, versions=pa.table({"version": [version for (version,) in versions]}))
        names = set(needed["segment"].to_pylist())
        return [path for path in there if path.name not in names]

    def _checkpoints(self) -> list[Place]:
        return [path for run in entries(self.layout.checkpoints) for path in self._old(run)]

    def _unneeded_checkpoints(self, there: list[Place]) -> list[Place]:
        kept = self.catalog.read(KEPT, parameters=[self.keep_checkpoints])
        folders = {self.layout.data / folder for folder in kept["folder"].to_pylist()}
        return [path for path in there if path not in folders]

    def _asides(self) -> list[Place]:
        """Return temporary files that were never renamed; other files in the root belong to SQLite or the user."""
        folders = (self.layout.policies, self.layout.handed_over)
        hidden = [path for folder in folders for path in self._old(folder) if path.name.startswith(".")]
        return hidden + [path for path in self._old(self.layout.root) if path.name.startswith(ASIDE)]

    def _abandoned_pins(self) -> Iterator[Removed]:
        """Remove the pins of unfinished archives whose process has ended, and yield them."""
        for pin in archive_pins(self.layout):
            if not ((files := files_at(pin.path)) and self._is_old(_newest_change(files))):
                continue
            if self.catalog.read_only:
                # A store that is open for reading can take no lock.
                yield self._removed("pin", pin.path)
                continue
            try:
                with self.layout.backend.archiving(pin.path).held():
                    removed = self._remove("pin", pin.path)
            except StoreBusyError:
                continue
            yield removed

    def _parquet(self) -> list[Place]:
        tables = self.layout.tables / "main"
        return [path for table in entries(tables) for path in self._old(table) if path.suffix == ".parquet"]

    def _unneeded_parquet(self, there: list[Place]) -> list[Place]:
        # The path of a file is relative to its table's folder, or, if it is scheduled for deletion, to the data path.
        names = {PurePath(path).name for (path,) in self.catalog.metadata(_LISTED)}
        return [path for path in there if path.name not in names]

    def _scheduled_parquet(self) -> Iterator[Removed]:
        """Remove files that DuckLake scheduled for deletion longer ago than the grace period, and yield them.

        DuckLake's own function for this compares times as texts of different forms on a SQLite catalog, and so deletes
        files of the same day at once.
        """
        scheduled = [
            (number, self.layout.tables / path)
            for number, path, since in self.catalog.metadata(_SCHEDULED)
            if self._is_old(since)
        ]
        due = [(number, path) for number, path in scheduled if not self._is_backed_up(path)]
        for start in range(0, len(due), _PORTION):
            portion = due[start : start + _PORTION]
            for _, path in portion:
                if path.exists():
                    yield self._remove("parquet", path)
            if not self.dry_run:
                # Files are removed first: a row of a missing file does no harm, but a file without a row would stay.
                self._unschedule([number for number, _ in portion])

    def _unschedule(self, numbers: Sequence[int]) -> None:
        change_metadata(
            self.catalog,
            "DELETE FROM METADATA.ducklake_files_scheduled_for_deletion "
            f"WHERE data_file_id IN ({', '.join(map(str, numbers))})",
        )

    def _old(self, folder: Place) -> list[Place]:
        return [path for path in entries(folder) if self._is_left(path)]

    def _is_left(self, path: Place) -> bool:
        # A path that no longer exists was renamed by its writer, and is in use.
        return bool(files := files_at(path)) and self._is_old(_newest_change(files))

    def _is_old(self, since: float) -> bool:
        # A time in the future is not old, so that nothing is removed if the clock was set back.
        return self.started - since > self.grace.total_seconds()

    def _remove(self, kind: str, path: Place) -> Removed:
        removed = self._removed(kind, path)
        if not self.dry_run:
            delete(set_aside(path))
        return removed

    def _removed(self, kind: str, path: Place) -> Removed:
        files = files_at(path)
        modified = _newest_change(files) if files else None
        return Removed(kind, self.layout.name_of(path), sum(file.bytes for file in files), modified)


def vacuum(
    catalog: Catalog,
    layout: Layout,
    *,
    grace: timedelta = GRACE,
    keep_checkpoints: int = KEPT_CHECKPOINTS,
    remove_most: bool = False,
    dry_run: bool = False,
) -> VacuumReport:
    """Remove files that nothing refers to; the caller must hold the maintenance lock.

    Args:
        catalog: the catalog of the store.
        layout: the paths of the store's files.
        grace: the age that a file must have; longer than the longest transaction.
        keep_checkpoints: the number of newest checkpoints of a run that are kept, at least 1; of a finished run only
            the last.
        remove_most: whether to continue if most of the store would be removed.
        dry_run: whether to report the files without removing them.

    Raises:
        ValueError: ``keep_checkpoints`` is less than 1, or ``grace`` is negative.
        VacuumRefusedError: most of the store would be removed; nothing was removed.
        StoreError: the catalog cannot be read or written.
        OSError: a file cannot be removed.
    """
    if keep_checkpoints < 1 or grace < timedelta(0):
        raise ValueError(f"expected keep_checkpoints >= 1 and grace >= 0, got {keep_checkpoints} and {grace}")
    work = _Vacuum(
        catalog=catalog,
        layout=layout,
        grace=grace,
        keep_checkpoints=keep_checkpoints,
        started=time.time(),
        dry_run=dry_run,
        backed_up=kept_by_backups(layout),
    )
    if not dry_run:
        if not remove_most:
            work.refuse_to_remove_most()
        # The old journal names merged files, which are removed now.
        catalog.rewrite_journal()
    return VacuumReport(tuple(work.run()))


def _newest_change(files: Sequence[StoredFile]) -> float:
    """Return the time of the newest write to any of the files, in seconds since the epoch."""
    return max(file.modified for file in files)
