"""Maintenance of a store in use: compaction, expiry and vacuum, by one process at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta

from molbuffer.storage.boundary import bounded
from molbuffer.storage.catalog import Catalog, roll_backup
from molbuffer.storage.errors import MaintenanceBusyError, StoreBusyError, StoreModeError
from molbuffer.storage.files import Place
from molbuffer.storage.handle import OpenStore
from molbuffer.storage.maintenance.compact import SEGMENT_ROWS, CompactReport, compact
from molbuffer.storage.maintenance.expire import ExpireReport, expire
from molbuffer.storage.maintenance.prune import KeptOfRun, Pruned, prune_run
from molbuffer.storage.maintenance.snapshots import KEPT_CHECKPOINTS
from molbuffer.storage.maintenance.vacuum import GRACE, VacuumReport, vacuum


@bounded(lambda maintenance: maintenance._layout.root)
class Maintenance:
    """The maintenance of a store (``SampleStore.maintenance``), which keeps it small and fast.

    Builds, trainings and queries can run at the same time. Each method takes the maintenance lock; a second process
    that maintains the store gets an error at once.
    """

    def __init__(self, opened: OpenStore) -> None:
        self._open = opened
        self._layout = opened.layout

    def compact(self, *, segment_rows: int = SEGMENT_ROWS) -> CompactReport:
        """Merge small Parquet files and rewrite small segments, without changing any snapshot.

        Args:
            segment_rows: the approximate number of rows of a large segment; segments with less than half are rewritten.

        Raises:
            MaintenanceBusyError: another process maintains the store.
            StoreModeError: the store was opened for reading.
            StoreError: the store cannot be read or written; the completed steps are kept.
        """
        with self._alone() as catalog:
            return compact(catalog, self._layout, segment_rows=segment_rows)

    def expire(
        self,
        older_than: timedelta,
        *,
        keep: int = 1,
        keep_checkpoints: int = KEPT_CHECKPOINTS,
        dry_run: bool = False,
    ) -> ExpireReport:
        """Expire snapshots older than an age, except those that a run, a checkpoint or an archive pins.

        The age should be longer than the time from a program's reading of the newest snapshot to its recording of the
        pin; an hour is more than enough.

        Args:
            older_than: the age.
            keep: the number of newest snapshots that are kept at any age, at least 1.
            keep_checkpoints: the number of checkpoints of a run that pin their snapshots, as many as a vacuum keeps.
            dry_run: whether to report the snapshots without expiring them.

        Raises:
            MaintenanceBusyError: another process maintains the store.
            StoreModeError: the store was opened for reading.
            StoreError: the store cannot be read or written; the completed steps are kept.
        """
        with self._alone() as catalog:
            return expire(
                catalog,
                self._layout,
                older_than=older_than,
                keep=keep,
                keep_checkpoints=keep_checkpoints,
                dry_run=dry_run,
            )

    def vacuum(
        self,
        *,
        grace: timedelta = GRACE,
        keep_checkpoints: int = KEPT_CHECKPOINTS,
        remove_most: bool = False,
        dry_run: bool = False,
    ) -> VacuumReport:
        """Remove segments, Parquet files, checkpoints and unfinished files that nothing refers to.

        Args:
            grace: the age that a file must have; longer than the longest transaction.
            keep_checkpoints: the number of newest checkpoints of a run that are kept; of a finished run only the last.
            remove_most: whether to continue if the catalog never named most of the store.
            dry_run: whether to report the files without removing them.

        Raises:
            VacuumRefusedError: the catalog never named most of the store; nothing was removed.
            MaintenanceBusyError: another process maintains the store.
            StoreModeError: the store was opened for reading.
            StoreError: the store cannot be read or written; the completed steps are kept.
        """
        with self._alone() as catalog:
            return vacuum(
                catalog,
                self._layout,
                grace=grace,
                keep_checkpoints=keep_checkpoints,
                remove_most=remove_most,
                dry_run=dry_run,
            )

    def prune_run(self, run_id: str, keep: KeptOfRun) -> Pruned:
        """Remove checkpoints and policies of an active run, except those that it keeps and those in use.

        The process of the run calls this. It neither waits for other maintenance nor blocks it.

        Raises:
            StoreModeError: the store was opened for reading.
            StoreError: the catalog cannot be read or written.
            OSError: a file cannot be removed.
        """
        return prune_run(self._open.writable(), self._layout, run_id, keep)

    def back_up(self) -> Place | None:
        """Make a backup of the catalog, of which the last few are kept (``molbuffer recover`` restores the newest).

        Make it after compaction and expiry and before a vacuum, which then removes nothing that the backup names.

        Returns:
            The folder of the backup; None if the catalog is in Postgres, which has backups of its own.

        Raises:
            CatalogDamagedError: the catalog is damaged.
            MaintenanceBusyError: another process maintains the store.
            StoreModeError: the store was opened for reading.
            StoreWriteError: the disk is full or failed.
        """
        with self._alone() as catalog:
            return roll_backup(self._layout, catalog.newest(), self._open.sync)

    @contextmanager
    def _alone(self) -> Iterator[Catalog]:
        if self._open.read_only:
            raise StoreModeError(f"the store at {self._layout.root} is open for reading only, and cannot be maintained")
        catalog = self._open.writable()
        catalog.check_there()
        with ExitStack() as stack:
            try:
                stack.enter_context(self._layout.backend.maintainers().held())
            except StoreBusyError as error:
                raise MaintenanceBusyError(
                    f"the store at {self._layout.root} is being compacted, expired or vacuumed by another process; "
                    "try again when that is done"
                ) from error
            yield catalog
