"""A catalog as of one snapshot: what is read through it is what there was then, and nothing can be written."""

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
    """A catalog whose names stand for what they were at a snapshot; it ends with the catalog that it wraps.

    Args:
        whole: the catalog with all snapshots.
        snapshot: the snapshot to read. Older ones can be asked for by number, later ones cannot.

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
        self.refusal = f"this is version {snapshot} of a store, to which nothing can be added: write to the store"

    @property
    def tables(self) -> Place:
        """The place of the Parquet files."""
        return self._whole.tables

    def close(self) -> None:
        """Do nothing: the catalog belongs to the store."""

    def check_there(self) -> None:
        """Refuse to go on when the store is no longer there."""
        self._whole.check_there()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a connection of the whole catalog."""
        return self._whole.cursor()

    def table(self, name: str, snapshot: int | None = None, *, with_version: bool = False) -> str:
        """Return the SQL that stands for a table as of the snapshot, or of an older one."""
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
        """Execute a statement as of the snapshot, or of an older one."""
        known = self._known(snapshot)
        done = super().executed(
            cursor, sql, snapshot=known, parameters=parameters, tables=tables, with_versions=with_versions
        )
        with done as result:
            yield result

    def newest(self, cursor: duckdb.DuckDBPyConnection | None = None) -> int:
        """Return the snapshot."""
        return self._snapshot

    def has_version(self, snapshot: int) -> bool:
        """Return whether a snapshot can be read here."""
        return snapshot <= self._snapshot and self._whole.has_version(snapshot)

    def versions(self, since: int = 0) -> list[Version]:
        """Return all snapshots of the store, from a number on."""
        return self._whole.versions(since)

    def sources(self, tables: Sequence[str], snapshot: int, since: int = 0) -> Mapping[str, TableSource]:
        """Return what a database without this catalog reads tables from, as of the snapshot or of an older one."""
        return self._whole.sources(tables, self._known(snapshot), since)

    def added(self, tables: Sequence[str], snapshot: int, since: int) -> Mapping[str, str]:
        """Return the SQL that stands for what was added to tables up to the snapshot, or to an older one."""
        return self._whole.added(tables, self._known(snapshot), since)

    def statistics(self, table: str, columns: Sequence[str], snapshot: int) -> TableStatistics | None:
        """Return what the whole catalog knows of a table as of the snapshot, or of an older one."""
        return self._whole.statistics(table, columns, self._known(snapshot))

    def at(self, snapshot: int) -> PinnedCatalog:
        """Return the catalog as of the snapshot, or of an older one."""
        return PinnedCatalog(self._whole, self._known(snapshot))

    def attach_sql(self, alias: str, *, read_only: bool) -> str:
        """Return the statement that attaches the whole catalog."""
        return self._whole.attach_sql(alias, read_only=read_only)

    def _known(self, snapshot: int | None) -> int:
        if snapshot is not None and snapshot > self._snapshot:
            raise UnknownSnapshotError(
                f"version {snapshot} is later than {self._snapshot}, at which the store is read here"
            )
        return self._snapshot if snapshot is None else snapshot
