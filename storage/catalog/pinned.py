"""A read-only view of a catalog at one snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa

from molbuffer.storage.catalog.parquet.parquet_files import TableSource
from molbuffer.storage.catalog.parquet.statistics import TableStatistics
from molbuffer.storage.catalog.readable import ReadableCatalog, Version
from molbuffer.storage.errors import UnknownSnapshotError
from molbuffer.storage.files import Place


class PinnedCatalog(ReadableCatalog):
    """A read-only view of a catalog at a snapshot; closing the catalog ends the view.

    Args:
        whole: the catalog with all snapshots.
        snapshot: the snapshot to read. Older snapshots can be read by their number, later ones cannot.

    Raises:
        UnknownSnapshotError: there is no such snapshot.
    """

    def __init__(self, whole: ReadableCatalog, snapshot: int) -> None:
        if not whole.has_version(snapshot):
            raise UnknownSnapshotError(f"no version {snapshot} in {whole.name}; the newest is {whole.newest()}")
        self._whole = whole
        self._snapshot = snapshot
        self.name = whole.name
        self.read_only = True
        self.refusal = f"this is snapshot {snapshot} of a store, which is read-only: write to the store itself"

    @property
    def tables(self) -> Place:
        """The place of the Parquet files."""
        return self._whole.tables

    def close(self) -> None:
        """Do nothing: the catalog belongs to the store."""

    def check_there(self) -> None:
        """Refuse to use a store that is closed or was moved."""
        self._whole.check_there()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a connection of the whole catalog."""
        return self._whole.cursor()

    def table(self, name: str, snapshot: int | None = None, *, with_version: bool = False) -> str:
        """Return the SQL for a table at the snapshot, or at an older one."""
        # Receipts name the snapshot that added a build.
        return self._whole.table(name, self._known(snapshot), with_version=with_version or name == "builds")

    @contextmanager
    def executed(
        self,
        cursor: duckdb.DuckDBPyConnection,
        sql: str,
        *,
        snapshot: int | None = None,
        parameters: Sequence[Any] | None = None,
        tables: Mapping[str, pa.Table] | None = None,
        with_versions: bool = False,
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """Execute a statement at the snapshot, or at an older one."""
        known = self._known(snapshot)
        done = super().executed(
            cursor, sql, snapshot=known, parameters=parameters, tables=tables, with_versions=with_versions
        )
        with done as result:
            yield result

    def newest(self, cursor: duckdb.DuckDBPyConnection | None = None) -> int:
        """Return the snapshot of this view."""
        return self._snapshot

    def has_version(self, snapshot: int) -> bool:
        """Return whether a snapshot exists and is not later than the snapshot of this view."""
        return snapshot <= self._snapshot and self._whole.has_version(snapshot)

    def versions(self, since: int = 0) -> list[Version]:
        """Return all readable snapshots of the store with numbers from ``since`` on, also later ones."""
        return self._whole.versions(since)

    def sources(self, tables: Sequence[str], snapshot: int, since: int = 0) -> Mapping[str, TableSource]:
        """Return the sources of tables for a database without this catalog, at the snapshot or an older one."""
        return self._whole.sources(tables, self._known(snapshot), since)

    def added(self, tables: Sequence[str], snapshot: int, since: int) -> Mapping[str, str]:
        """Return the SQL for the rows that were added to tables up to the snapshot, or up to an older one."""
        return self._whole.added(tables, self._known(snapshot), since)

    def statistics(self, table: str, columns: Sequence[str], snapshot: int) -> TableStatistics | None:
        """Return the statistics of a table at the snapshot, or at an older one."""
        return self._whole.statistics(table, columns, self._known(snapshot))

    def at(self, snapshot: int) -> PinnedCatalog:
        """Return a read-only view of the catalog at the snapshot, or at an older one."""
        return PinnedCatalog(self._whole, self._known(snapshot))

    def attach_sql(self, alias: str, *, read_only: bool) -> str:
        """Return the statement that attaches the whole catalog."""
        return self._whole.attach_sql(alias, read_only=read_only)

    def _known(self, snapshot: int | None) -> int:
        if snapshot is not None and snapshot > self._snapshot:
            raise UnknownSnapshotError(
                f"snapshot {snapshot} is later than {self._snapshot}, at which this view reads the store"
            )
        return self._snapshot if snapshot is None else snapshot
