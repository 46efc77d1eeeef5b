"""Maintain a store while others use it: compaction, expiry and vacuum, one process at a time."""

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
    """The maintenance of a store (``SampleStore.maintenance``), which keeps it small and quick.

    Builders, trainings and queries go on meanwhile. Each method takes a lock of its own; a second process that wants
    to maintain the store gets an error at once.
    """

    def __init__(self, opened: OpenStore) -> None:
        self._open = opened
        self._layout = opened.layout

    def compact(self, *, segment_rows: int = SEGMENT_ROWS) -> CompactReport:
        """Merge small Parquet files and rewrite small segments; every snapshot stays as it is.

        Args:
            segment_rows: about how many rows a large segment has; segments with less than half are rewritten.

        Raises:
            MaintenanceBusyError: another process maintains the store.
            StoreModeError: the store was opened for reading.
            StoreError: the store cannot be read or written; what was done until then stands.
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
        """Forget snapshots older than an age, but for those that a run, a checkpoint or an archive pins.

        The age should be longer than the time between the moment a program asks for the newest snapshot and the
        moment it has recorded that as its own: an hour is more than enough.

        Args:
            older_than: the age.
            keep: how many of the newest snapshots stay, whatever their age.
            keep_checkpoints: how many checkpoints of a run pin the snapshot that they need: as many as a vacuum keeps.
            dry_run: only report which would go.

        Raises:
            MaintenanceBusyError: another process maintains the store.
            StoreModeError: the store was opened for reading.
            StoreError: the store cannot be read or written; what was done until then stands.
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
            grace: how old they must be; longer than the longest transaction.
            keep_checkpoints: how many checkpoints of a run stay. Of a finished run, its last.
            remove_most: whether to go on when the catalog never named most of the store.
            dry_run: only report what would go.

        Raises:
            VacuumRefusedError: the catalog never named most of the store; nothing was removed.
            MaintenanceBusyError: another process maintains the store.
            StoreModeError: the store was opened for reading.
            StoreError: the store cannot be read or written; what was done until then stands.
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
        """Remove checkpoints and policies of a run that goes on, but for those that it keeps and those in use.

        This is for the process of the run: it waits for no other maintenance, and keeps none from its work.

        Raises:
            StoreModeError: the store was opened for reading.
            StoreError: the catalog cannot be read or written.
            OSError: a file cannot be removed.
        """
        return prune_run(self._open.writable(), self._layout, run_id, keep)

    def back_up(self) -> Place | None:
        """Make a backup of the catalog, of which the last few stay (``molbuffer recover`` restores the newest).

        It is to be made after what is compacted and expired and before a vacuum, which then removes nothing that the
        backup names.

        Returns:
            The folder of the backup; None where the catalog is in Postgres, which has means of its own.

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
