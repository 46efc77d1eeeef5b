"""Vacuum a store: what nothing refers to is removed, once it is older than a grace period.

What a writer is making is younger than the grace period, which has to be longer than the longest transaction. What a
clock calls younger than now is never removed. Should the clock have leapt, or a writer have slept for longer than that,
nothing is lost either: what goes is chosen and renamed aside while no commit can be made, and a commit first looks
whether its arrays are there (``commits.commit``). A kill leaves a whole folder or a hidden rest, which a later vacuum
takes.

    segment      no snapshot that is left refers to it, through ``builds`` or ``placements``
    parquet      no snapshot has it: merged, expired, or left by a writer that was killed
    checkpoint   no row names it, or a run has newer ones (``snapshots.KEPT_CHECKPOINTS``)
    aside        a policy, description, removal or backup that was never finished
    pin          the snapshot is kept for an archive whose process was killed (``maintenance.pins``)

A vacuum by an empty or foreign catalog would remove the store. What no row ever named was left by killed writers and is
little: when it is most of the store, nothing is removed unless told. What a compaction or a newer checkpoint replaced
does not count.

Policies stay, also those without a row: they are named by their content, so that a writer may be about to name one that
has been there for long. What a backup needs (``catalog.backup``) stays as long as the backup is there.
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
"""Fewer files and folders than these that nothing ever named are removed also when they are most of a store."""

GRACE = timedelta(hours=24)
"""Longer than the longest transaction, and than a query or index load that may still read merged files."""

# Where the arrays of each build were from which snapshot on, and until which.
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
        path: below the data path, or in the folder that has store.toml.
        bytes: what it took.
        modified: when anything in it was last written, in seconds since the epoch; None when it is gone by now.
    """

    kind: str
    path: str
    bytes: int
    modified: float | None


@dataclass(frozen=True)
class VacuumReport:
    """What a vacuum removed, or would remove.

    Attributes:
        removed: each file or folder.
    """

    removed: tuple[Removed, ...]

    @property
    def bytes(self) -> int:
        """What all of it took."""
        return sum(removed.bytes for removed in self.removed)


@dataclass(frozen=True)
class _Vacuum:
    """One vacuum.

    Attributes:
        catalog: of the store.
        layout: of the store.
        grace: how old a file must be.
        keep_checkpoints: how many checkpoints of a run stay.
        started: when it began, in seconds since the epoch.
        dry_run: whether nothing is to be removed.
        backed_up: the paths in the store of what a backup of the catalog needs.
    """

    catalog: Catalog
    layout: Layout
    grace: timedelta
    keep_checkpoints: int
    started: float
    dry_run: bool
    backed_up: Collection[str]

    def run(self) -> Iterator[Removed]:
        """Remove what may go, and yield it."""
        # Listed before the catalog is asked: what is committed in between is then not in the list.
        yield from self._remove_unneeded("segment", self._old(self.layout.arrays), self._unneeded_segments)
        yield from self._remove_unneeded("parquet", self._parquet(), self._unneeded_parquet)
        yield from self._remove_unneeded("checkpoint", self._checkpoints(), self._unneeded_checkpoints)
        for path in self._asides():
            yield self._remove("aside", path)
        yield from self._abandoned_pins()
        yield from self._scheduled_parquet()

    def refuse_to_remove_most(self) -> None:
        """Refuse when most files and folders, or most of their bytes, are such that no row ever named them.

        Raises:
            VacuumRefusedError: saying how many.
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
                f"nothing was removed from {self.layout.root}: its catalog knows nothing of {len(unknown)} of "
                f"{len(there)} files and folders ({of_unknown:,} of {sum(sizes.values()):,} bytes), as that of another "
                "store or an old copy would. See `molbuffer verify` and `molbuffer recover`; to remove them all the "
                "same, `molbuffer maintain --vacuum --remove-most`",
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
                # Once more: a writer that was slow may have committed since.
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
        """Return what was written aside and never renamed; others in the root are SQLite's or the user's."""
        folders = (self.layout.policies, self.layout.handed_over)
        hidden = [path for folder in folders for path in self._old(folder) if path.name.startswith(".")]
        return hidden + [path for path in self._old(self.layout.root) if path.name.startswith(ASIDE)]

    def _abandoned_pins(self) -> Iterator[Removed]:
        """Remove the pins of archives that no process is making any more, and yield them."""
        for pin in archive_pins(self.layout):
            if not ((files := files_at(pin.path)) and self._is_old(_newest_change(files))):
                continue
            if self.catalog.read_only:
                # Who may only read can take no lock.
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
        # A file is listed under its table's folder, or, once it is to be deleted, under the data path.
        names = {PurePath(path).name for (path,) in self.catalog.metadata(_LISTED)}
        return [path for path in there if path.name not in names]

    def _scheduled_parquet(self) -> Iterator[Removed]:
        """Remove files that DuckLake listed for deletion longer ago than the grace period, and yield them.

        Its own function for this compares times as texts of different form on a SQLite catalog, and so deletes files
        of the same day at once.
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
                # The files first: a row that names a file that is gone does no harm, a file that no row names stays.
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
        # A file that its writer has renamed meanwhile is being worked on.
        return bool(files := files_at(path)) and self._is_old(_newest_change(files))

    def _is_old(self, since: float) -> bool:
        # The future is not old either, so a clock that went back removes nothing.
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
    """Remove what nothing refers to; the caller holds the maintenance lock.

    Args:
        catalog: of the store.
        layout: of the store.
        grace: how old a file must be; longer than the longest transaction.
        keep_checkpoints: how many checkpoints of a run stay; at least 1. Of a finished run, its last.
        remove_most: whether to go on when most of the store would go.
        dry_run: only report what would go.

    Raises:
        ValueError: ``keep_checkpoints`` is less than 1, or ``grace`` is negative.
        VacuumRefusedError: most of the store would go; nothing was removed.
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
        # Otherwise it would name files that were merged, and that go now.
        catalog.rewrite_journal()
    return VacuumReport(tuple(work.run()))


def _newest_change(files: Sequence[StoredFile]) -> float:
    """Return when any of some files was last written to."""
    return max(file.modified for file in files)
