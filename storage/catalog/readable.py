"""The interface for reading the tables of an open store, of a store at one snapshot, or of an archive."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from molbuffer.storage.backends import as_store_error
from molbuffer.storage.catalog.parquet.parquet_files import TableSource
from molbuffer.storage.catalog.parquet.statistics import TableStatistics
from molbuffer.storage.catalog.schema.views import bind, with_views
from molbuffer.storage.errors import CatalogUnavailableError, StoreError, UnknownSnapshotError
from molbuffer.storage.files import Place, checksums_in

BATCH_ROWS = 100_000
"""The number of rows in a batch of a result."""


class Version(NamedTuple):
    """A snapshot as DuckLake keeps it.

    Attributes:
        number: the number of the snapshot.
        created: the time of the commit, in microseconds since the epoch.
        author: the author of the snapshot.
        message: the message of the snapshot.
        extra: the provenance of the snapshot, as JSON.
    """

    number: int
    created: int
    author: str | None
    message: str | None
    extra: str | None


class Addition(NamedTuple):
    """A snapshot with the information whether it added rows to a table.

    Attributes:
        snapshot: the number of the snapshot.
        created: the time of the commit, in microseconds since the epoch.
        adds: whether the snapshot added rows to the table; None if DuckLake has not recorded it.
        extra: the provenance of the snapshot, as JSON.
    """

    snapshot: int
    created: int
    adds: bool | None
    extra: str | None


class ReadableCatalog(ABC):
    """The base class of catalogs, whose tables and views SQL of this package reads.

    Attributes:
        name: the name of the catalog in errors.
        read_only: whether the catalog can only be read.
        refusal: the text of the error for an attempt to write.
        session: statements that any other database is given before it reads the files.
    """

    session: tuple[str, ...] = ()
    name: str
    read_only: bool
    refusal: str

    @property
    @abstractmethod
    def tables(self) -> Place:
        """The place of the Parquet files."""

    @abstractmethod
    def close(self) -> None:
        """Release all resources, after which nothing can be read; a second call does nothing."""

    def check_there(self) -> None:  # noqa: B027 (not needed for an archive)
        """Refuse to use a store that is closed or was moved.

        Raises:
            StoreModeError: the store is closed, or was opened before this process was forked.
            StoreMovedError: the store was moved, removed or replaced.
        """

    @abstractmethod
    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a new connection, which the caller closes.

        Raises:
            StoreModeError: the catalog is closed, or was opened before this process was forked.
        """

    @abstractmethod
    def table(self, name: str, snapshot: int | None = None, *, with_version: bool = False) -> str:
        """Return the SQL for a table.

        Args:
            name: the name of the table.
            snapshot: the snapshot to read; None means the newest.
            with_version: whether ``*`` has the column ``snapshot_id``, the snapshot that added each row.
        """

    @abstractmethod
    def newest(self, cursor: duckdb.DuckDBPyConnection | None = None) -> int:
        """Return the newest snapshot; for a cursor in a transaction, the snapshot at which the transaction began."""

    @abstractmethod
    def has_version(self, snapshot: int) -> bool:
        """Return whether a snapshot exists and has not expired."""

    @abstractmethod
    def versions(self, since: int = 0) -> list[Version]:
        """Return all readable snapshots with numbers from ``since`` on, the oldest first."""

    @abstractmethod
    def sources(self, tables: Sequence[str], snapshot: int, since: int = 0) -> Mapping[str, TableSource]:
        """Return the sources from which a database without this catalog reads tables, at a snapshot.

        Args:
            tables: the names of the tables.
            snapshot: the snapshot.
            since: files that have only rows of snapshots before this one may be left out.

        Raises:
            UnknownSnapshotError: there is no such snapshot.
        """

    def added(self, tables: Sequence[str], snapshot: int, since: int) -> Mapping[str, str]:
        """Return the SQL, in brackets, for the rows that the snapshots from ``since`` to ``snapshot`` added to tables.

        Each result also has the column ``snapshot_id``. ``in_added`` inserts the SQL into a statement.

        Args:
            tables: the names of the tables.
            snapshot: the snapshot to read, the last of the range.
            since: the first snapshot of the range.

        Raises:
            UnknownSnapshotError: there is no such snapshot.
        """
        return {
            name: f"(FROM {self.table(name, snapshot, with_version=True)} WHERE snapshot_id >= {int(since)})"
            for name in tables
        }

    def statistics(self, table: str, columns: Sequence[str], snapshot: int) -> TableStatistics | None:
        """Return the number of rows of a table at a snapshot and the extremes of columns; None if they are not known.

        Raises:
            UnknownSnapshotError: there is no such snapshot.
        """
        return None

    @abstractmethod
    def at(self, snapshot: int) -> ReadableCatalog:
        """Return a read-only view of the tables at a snapshot; closing this catalog ends the view.

        Raises:
            UnknownSnapshotError: there is no such snapshot.
        """

    @abstractmethod
    def attach_sql(self, alias: str, *, read_only: bool) -> str:
        """Return the statements that attach the tables under a name, for this process or any other DuckDB."""

    def recorded_checksums(self, since: int = 0) -> Mapping[str, str]:
        """Return the recorded sha256 of files, by their path relative to the store's data.

        Args:
            since: the first snapshot whose checksums are read.
        """
        return checksums_in(version.extra for version in self.versions(since))

    def read(
        self,
        sql: str,
        snapshot: int | None = None,
        parameters: Sequence[Any] | None = None,
        *,
        with_versions: bool = False,
        **tables: pa.Table,
    ) -> pa.Table:
        """Return the result of trusted SQL.

        Args:
            sql: the SQL, which names tables and views of the store as ``{samples}``.
            snapshot: the snapshot at which every ``{name}`` is read; None means the newest.
            parameters: the values for each ``?`` in the SQL.
            with_versions: whether tables have the column ``snapshot_id``, the snapshot that added each row, which needs
                a ``snapshot``. Files without rows of the snapshots that the SQL selects are then not opened.
            tables: Arrow tables, which the SQL names by the names of these arguments.

        Raises:
            UnknownSnapshotError: there is no such snapshot.
            CatalogUnavailableError: DuckDB refused the statement, or the catalog failed.
        """
        with closing(self.cursor()) as cursor:
            done = self.executed(
                cursor, sql, snapshot=snapshot, parameters=parameters, tables=tables, with_versions=with_versions
            )
            with done as result:
                return result.to_arrow_table()

    def read_batches(
        self,
        sql: str,
        snapshot: int | None = None,
        parameters: Sequence[Any] | None = None,
        *,
        with_versions: bool = False,
        **tables: pa.Table,
    ) -> Iterator[pa.RecordBatch]:
        """Yield the result of ``read`` in batches of rows, so that only one batch is in memory.

        Raises:
            UnknownSnapshotError: as for ``read``.
            CatalogUnavailableError: as for ``read``, also after some batches.
        """
        with closing(self.cursor()) as cursor:
            done = self.executed(
                cursor, sql, snapshot=snapshot, parameters=parameters, tables=tables, with_versions=with_versions
            )
            with done as result:
                yield from result.to_arrow_reader(self.batch_rows)

    @contextmanager
    def reading(self) -> Iterator[Callable[[str, int], pa.Table]]:
        """Give a function (SQL, snapshot) that reads like ``read``, for many statements one after the other.

        After an error, the function can no longer be used.
        """
        yield self.read

    def told(self, error: Exception) -> StoreError:
        """Return the error of the store for an error of DuckDB, Arrow or the system."""
        return as_store_error(error, None) or CatalogUnavailableError(f"the catalog {self.name} failed: {error}")

    @property
    def batch_rows(self) -> int:
        """The largest number of rows in a batch of ``read_batches``."""
        return BATCH_ROWS

    def run(
        self,
        cursor: duckdb.DuckDBPyConnection,
        sql: str,
        *,
        snapshot: int | None = None,
        parameters: Sequence[Any] | None = None,
        tables: Mapping[str, pa.Table] | None = None,
    ) -> pa.Table:
        """Return the result of trusted SQL as ``read`` does, executed on the caller's cursor."""
        with self.executed(cursor, sql, snapshot=snapshot, parameters=parameters, tables=tables) as result:
            return result.to_arrow_table()

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
        """Execute a statement as ``read`` does, and give the cursor, from which the result can be fetched."""
        bound = bind(sql, with_views(lambda name: self.table(name, snapshot, with_version=with_versions)))
        given = tables or {}
        for name, rows in given.items():
            cursor.register(name, rows)
        try:
            yield cursor.execute(bound, parameters)
        # An error while a result is fetched in batches is raised as Arrow's OSError.
        except (duckdb.Error, OSError) as error:
            # DuckLake has no error of its own for an unknown snapshot.
            if snapshot is not None and not self.has_version(snapshot):
                raise UnknownSnapshotError(
                    f"no version {snapshot} in {self.name}; the newest is {self.newest()}"
                ) from error
            raise self.told(error) from error
        finally:
            for name in given:
                cursor.unregister(name)
