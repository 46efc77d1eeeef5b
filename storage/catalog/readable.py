"""What reading the tables of a store needs, whatever they are of: an open store, one version of it, or an archive."""

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
"""How many rows a portion of a result has."""


class Version(NamedTuple):
    """A snapshot as DuckLake keeps it.

    Attributes:
        number: the number of the snapshot.
        created: when it was made, in microseconds since the epoch.
        author: who made it.
        message: what it added.
        extra: its provenance, as JSON.
    """

    number: int
    created: int
    author: str | None
    message: str | None
    extra: str | None


class Addition(NamedTuple):
    """What a snapshot added to a table.

    Attributes:
        snapshot: the number of the snapshot.
        created: when it was made, in microseconds since the epoch.
        adds: whether it added rows to the table; None when DuckLake does not say.
        extra: its provenance, as JSON.
    """

    snapshot: int
    created: int
    adds: bool | None
    extra: str | None


class ReadableCatalog(ABC):
    """Tables and views that SQL of this package reads.

    Attributes:
        name: the name by which errors call it.
        read_only: whether nothing can be written through it.
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
        """Give up what is held; nothing can be read afterwards. Closing twice is no error."""

    def check_there(self) -> None:  # noqa: B027 (an archive need not be looked for)
        """Refuse to go on when the store is closed, or no longer where it was opened.

        Raises:
            StoreModeError: it is closed, or was opened before this process was forked.
            StoreMovedError: it was moved, removed or replaced.
        """

    @abstractmethod
    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a connection of the caller's own, to be closed by the caller.

        Raises:
            StoreModeError: the catalog is closed, or was opened before this process was forked.
        """

    @abstractmethod
    def table(self, name: str, snapshot: int | None = None, *, with_version: bool = False) -> str:
        """Return the SQL that stands for a table.

        Args:
            name: of the table.
            snapshot: the snapshot to read it at; None is the newest.
            with_version: whether ``*`` has the column ``snapshot_id``, the snapshot that added each row.
        """

    @abstractmethod
    def newest(self, cursor: duckdb.DuckDBPyConnection | None = None) -> int:
        """Return the newest snapshot, as a cursor sees it: within a transaction, the one it started from."""

    @abstractmethod
    def has_version(self, snapshot: int) -> bool:
        """Return whether a snapshot can be read; an expiry may have removed it."""

    @abstractmethod
    def versions(self, since: int = 0) -> list[Version]:
        """Return all snapshots that can be read, from a number on, the oldest first."""

    @abstractmethod
    def sources(self, tables: Sequence[str], snapshot: int, since: int = 0) -> Mapping[str, TableSource]:
        """Return what a database without this catalog reads tables from, as of a snapshot.

        Args:
            tables: their names.
            snapshot: the snapshot.
            since: files may be left out that have only rows of older snapshots than this.

        Raises:
            UnknownSnapshotError: there is no such snapshot.
        """

    def added(self, tables: Sequence[str], snapshot: int, since: int) -> Mapping[str, str]:
        """Return the SQL, in brackets, that stands for the rows of tables that the snapshots from one on added.

        It has the column ``snapshot_id`` besides. ``in_added`` puts it into a statement.

        Args:
            tables: their names.
            snapshot: the snapshot to read.
            since: the first of the snapshots.

        Raises:
            UnknownSnapshotError: there is no such snapshot.
        """
        return {
            name: f"(FROM {self.table(name, snapshot, with_version=True)} WHERE snapshot_id >= {int(since)})"
            for name in tables
        }

    def statistics(self, table: str, columns: Sequence[str], snapshot: int) -> TableStatistics | None:
        """Return how many rows a table has at a snapshot, and the extremes of columns; None where that is not known.

        Raises:
            UnknownSnapshotError: there is no such snapshot.
        """
        return None

    @abstractmethod
    def at(self, snapshot: int) -> ReadableCatalog:
        """Return the tables as of a snapshot, for reading; they end with this catalog.

        Raises:
            UnknownSnapshotError: there is no such snapshot.
        """

    @abstractmethod
    def attach_sql(self, alias: str, *, read_only: bool) -> str:
        """Return the statements that attach the tables under a name, for this process or any other DuckDB."""

    def recorded_checksums(self, since: int = 0) -> Mapping[str, str]:
        """Return the sha256 of files by their path beside the tables' folder, as the snapshots that added them say.

        Args:
            since: the first snapshot that is asked.
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
            sql: names tables and views of the store as ``{samples}``.
            snapshot: the snapshot that every ``{name}`` is read at; None is the newest.
            parameters: for the ``?`` in the SQL.
            with_versions: whether tables have the column ``snapshot_id``, the snapshot that added each row; for this,
                name a snapshot. Files without rows of the snapshots that are asked for are then not opened.
            tables: Arrow tables that the SQL may name as they are named here.

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
        """Yield what ``read`` returns, a portion of rows at a time, so that no more than that is in memory.

        Raises:
            UnknownSnapshotError: as of ``read``.
            CatalogUnavailableError: as of ``read``, also after some portions.
        """
        with closing(self.cursor()) as cursor:
            done = self.executed(
                cursor, sql, snapshot=snapshot, parameters=parameters, tables=tables, with_versions=with_versions
            )
            with done as result:
                yield from result.to_arrow_reader(self.batch_rows)

    @contextmanager
    def reading(self) -> Iterator[Callable[[str, int], pa.Table]]:
        """Give what reads trusted SQL at a snapshot as ``read`` does, for many statements one after the other.

        After an error, nothing more can be read by it.
        """
        yield self.read

    def told(self, error: Exception) -> StoreError:
        """Return the error of the store for one of DuckDB, Arrow or the system."""
        return as_store_error(error, None) or CatalogUnavailableError(f"the catalog {self.name} failed: {error}")

    @property
    def batch_rows(self) -> int:
        """How many rows ``read_batches`` yields at a time."""
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
        """Return what ``read`` returns, of a statement that is executed on the caller's cursor."""
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
        # What fails while a result is fetched in portions comes as Arrow's OSError.
        except (duckdb.Error, OSError) as error:
            # DuckLake has no error of its own for it.
            if snapshot is not None and not self.has_version(snapshot):
                raise UnknownSnapshotError(
                    f"no version {snapshot} in {self.name}; the newest is {self.newest()}"
                ) from error
            raise self.told(error) from error
        finally:
            for name in given:
                cursor.unregister(name)
