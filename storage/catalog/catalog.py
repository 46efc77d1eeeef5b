"""An attached DuckLake catalog: its reads, its transactions and its lock.

Readers see the newest snapshot at the start of their statement, and are never blocked.
``molbuffer.storage.backends.attachment`` attaches the catalog for the threads of a process. The other parts are:

    past_tables   the SQL for a table at a snapshot
    durability    the files that a commit makes durable, and the journal
    metadata      changes of DuckLake's own tables: expiry, compression
    identity      the store that a catalog belongs to
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from molbuffer.storage.backends import (
    BUSY_MILLISECONDS,
    Attachment,
    CatalogPlace,
    as_store_error,
    lost,
    not_committed,
    quote_name,
    unwritten,
)
from molbuffer.storage.catalog.durability import DurableCommits
from molbuffer.storage.catalog.parquet.parquet_files import TableFiles, TableSource, table_files
from molbuffer.storage.catalog.parquet.statistics import TableStatistics, table_statistics
from molbuffer.storage.catalog.pinned import PinnedCatalog
from molbuffer.storage.catalog.readable import Addition, ReadableCatalog, Version
from molbuffer.storage.catalog.schema.past_tables import PastTables
from molbuffer.storage.catalog.transaction import Transaction
from molbuffer.storage.errors import (
    CatalogUnavailableError,
    StoreBusyError,
    StoreError,
    StoreModeError,
    UnknownSnapshotError,
)
from molbuffer.storage.files import Place, Sync, names_on_disk, sync_paths

_RETRY_SECONDS = 0.05
_MOST_NAMED = 3_000
"""The largest number of files that a statement names."""

Result = TypeVar("Result")


class Catalog(ReadableCatalog):
    """An attached DuckLake catalog.

    Args:
        place: the place of the catalog; a schema of Postgres must exist.
        read_only: whether the catalog is attached for reading only.
        create: whether a missing catalog is made.
        sync: makes files and directories durable; called with a transaction's Parquet files before its COMMIT.
        lock_seconds: how long a commit waits for the commits of other processes, in seconds.

    Attributes:
        lock_seconds: how long a commit waits for the commits of other processes, in seconds.

    Raises:
        CatalogLostError: the catalog is missing and ``create`` is false.
        CatalogUnavailableError: the catalog cannot be attached.
    """

    def __init__(
        self,
        place: CatalogPlace,
        *,
        read_only: bool,
        create: bool = False,
        sync: Sync = sync_paths,
        lock_seconds: float = 600,
    ) -> None:
        self.read_only = read_only
        self.refusal = f"the store at {place.root} is open for reading only"
        self._place = place
        self.name = str(place.backend)
        # A thread may hold the lock over several transactions, as a migration does.
        self._threads = threading.RLock()
        self._held = False
        self.lock_seconds = lock_seconds
        self._writers = place.backend.writers(lock_seconds)
        self._attachment: Attachment | None = None
        # The attachment for transactions, if a COMMIT can succeed and seem to fail; a thread in a transaction uses it.
        self._guarded: Attachment | None = None
        self._in_use = threading.local()
        # Checked before the lock is taken, which would make the file of the lock and its folder.
        if not create and (reason := place.backend.lost()) is not None:
            raise lost(place.backend, place.root, reason)
        with nullcontext() if read_only else self.locked():
            self._attachment = Attachment(place, read_only=read_only, create=create)
        self._durable = DurableCommits(self, self.metadata, place, sync)
        self._past = PastTables(self.metadata)

    @property
    def tables(self) -> Place:
        """The place of the Parquet files."""
        return self._place.tables

    def close(self) -> None:
        """Detach the catalog, after which nothing can be read; a second call does nothing."""
        self._attached.close()
        if self._guarded is not None:
            self._guarded.close()

    @property
    def alias(self) -> str:
        """The name of the catalog in the DuckDB database of this process; a transaction has another name."""
        return self._attached.alias

    @property
    def _attached(self) -> Attachment:
        of_transaction: Attachment | None = getattr(self._in_use, "attachment", None)
        if of_transaction is not None:
            return of_transaction
        if self._attachment is None:
            raise StoreModeError(f"the store at {self._place.root} is not open yet")
        return self._attachment

    def table(self, name: str, snapshot: int | None = None, *, with_version: bool = False) -> str:
        """Return the SQL for a table, or for a table at a snapshot.

        Tables and columns that a migration added after the snapshot are included, with the defaults of the migration.
        """
        named = f"{quote_name(self.alias)}.main.{quote_name(name)}"
        return named if snapshot is None else self._past.select(name, named, snapshot, with_version=with_version)

    def check_there(self) -> None:
        """Refuse to use a store that is closed or was moved, since writing would make its folder again.

        Raises:
            StoreModeError: the store is closed, or was opened before this process was forked.
            StoreMovedError: the store was moved, removed or replaced.
        """
        self._attached.check_there()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a new connection, which the caller closes.

        Raises:
            StoreModeError: the store is closed, or was opened before this process was forked.
        """
        return self._attached.cursor()

    @contextmanager
    def reading(self) -> Iterator[Callable[[str, int], pa.Table]]:
        """Give a function (SQL, snapshot) that reads in one transaction, as ``ReadableCatalog.reading`` does.

        The catalog is opened once instead of once for each statement, which takes as long as reading a small table.
        """
        with closing(self.cursor()) as cursor:
            cursor.execute("BEGIN TRANSACTION")
            yield lambda sql, snapshot: self.run(cursor, sql, snapshot=snapshot)

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
        """Execute a statement as ``ReadableCatalog.executed`` does, without reading empty tables through DuckLake."""
        with ExitStack() as stack:
            if snapshot is None and self._past.may_be_empty(sql):
                # One transaction, so that empty and other tables are read at the same snapshot.
                try:
                    cursor.execute("BEGIN TRANSACTION")
                    stack.callback(_end, cursor)
                    sql = self.without_empty(sql, self.newest(cursor))
                except duckdb.Error as error:
                    raise self.told(error) from error
            done = super().executed(
                cursor, sql, snapshot=snapshot, parameters=parameters, tables=tables, with_versions=with_versions
            )
            yield stack.enter_context(done)

    def without_empty(self, sql: str, newest: int, changed: Collection[str] = ()) -> str:
        """Return SQL for a transaction in which a SELECT of no rows replaces each empty table.

        Args:
            sql: the SQL, which names tables and views as ``{samples}``.
            newest: the snapshot that the transaction reads.
            changed: tables that the transaction may have changed itself.
        """
        return self._past.now(sql, self.table, newest, changed) if self._past.may_be_empty(sql) else sql

    def newest(self, cursor: duckdb.DuckDBPyConnection | None = None) -> int:
        """Return the newest snapshot; for a cursor in a transaction, the snapshot at which the transaction began."""
        if cursor is not None:
            return _one(cursor, f"FROM {quote_name(self.alias)}.current_snapshot()")
        with closing(self.cursor()) as own:
            return self.newest(own)

    def metadata(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Return the result of trusted SQL on DuckLake's own tables, named as in ``METADATA.ducklake_snapshot``.

        Raises:
            CatalogUnavailableError: DuckDB refused the statement, or the catalog is damaged.
        """
        sql, others = _with_numbers(self.metadata_sql(sql), parameters or {})
        with closing(self.cursor()) as cursor:
            try:
                return cursor.execute(sql, others or None).fetchall()
            except duckdb.Error as error:
                raise self.told(error) from error

    def metadata_sql(self, sql: str) -> str:
        """Return SQL for DuckDB, with the name of the database of DuckLake's own tables in place of ``METADATA``."""
        return sql.replace("METADATA", self._attached.metadata)

    def told(self, error: Exception) -> StoreError:
        """Return the error of the store for an error of DuckDB, Arrow or the system, with advice."""
        return as_store_error(error, self._place.root) or super().told(error)

    def versions(self, since: int = 0) -> list[Version]:
        """Return all readable snapshots with numbers from ``since`` on, the oldest first."""
        return [Version(*row) for row in self.metadata(_VERSIONS, {"since": since})]

    def additions(self, table: str, since: int, snapshot: int) -> list[Addition]:
        """Return the snapshots from ``since`` to ``snapshot``, inclusive, and whether each added rows to a table.

        The oldest is the first; expired snapshots are left out.
        """
        found = self.metadata(_ADDITIONS, {"table": table, "since": since, "snapshot": snapshot})
        return [Addition(*row) for row in found]

    def has_version(self, snapshot: int) -> bool:
        """Return whether a snapshot exists and has not expired."""
        return bool(self.metadata(_KNOWN, {"snapshot": snapshot}))

    def at(self, snapshot: int) -> PinnedCatalog:
        """Return a read-only view of the catalog at a snapshot.

        Raises:
            UnknownSnapshotError: the store does not have the snapshot.
        """
        return PinnedCatalog(self, snapshot)

    def files(self, tables: Sequence[str], snapshot: int, since: int = 0) -> dict[str, TableFiles]:
        """Return the columns and Parquet files of tables at a snapshot.

        Args:
            tables: the names of the tables.
            snapshot: the snapshot.
            since: files that have only rows of snapshots before this one are left out.

        Raises:
            UnknownSnapshotError: the store does not have the snapshot.
        """
        self._check_version(snapshot)
        return table_files(self.metadata, self._place.tables / "main", tables, snapshot, since)

    def _check_version(self, snapshot: int) -> None:
        if not self.has_version(snapshot):
            raise UnknownSnapshotError(f"no version {snapshot} in {self.name}; the newest is {self.newest()}")

    def sources(self, tables: Sequence[str], snapshot: int, since: int = 0) -> Mapping[str, TableSource]:
        """Return the sources of tables at a snapshot for a database without this catalog, as ``files`` does.

        Raises:
            UnknownSnapshotError: the store does not have the snapshot.
        """
        return self.files(tables, snapshot, since)

    def added(self, tables: Sequence[str], snapshot: int, since: int) -> Mapping[str, str]:
        """Return the SQL for the rows that were added to tables, as ``ReadableCatalog.added`` does.

        The SQL names the files: DuckLake would list all files of a table in each statement, even if few have such rows.
        """
        found = self.files(tables, snapshot, since)
        paths = [str(path) for of_table in found.values() for path in of_table.paths]
        # Parsing a statement with more files takes longer than DuckLake takes to list them. A brace would name a table.
        if len(paths) > _MOST_NAMED or any("{" in path for path in paths):
            return super().added(tables, snapshot, since)
        return {name: f"({of_table.select_added(since, snapshot)})" for name, of_table in found.items()}

    def statistics(self, table: str, columns: Sequence[str], snapshot: int) -> TableStatistics | None:
        """Return the statistics of a table at a snapshot; None if they are not exact.

        Raises:
            UnknownSnapshotError: the store does not have the snapshot.
        """
        self._check_version(snapshot)
        return table_statistics(self.metadata, table, columns, snapshot)

    def transact(
        self, author: str, message: str, extra: Mapping[str, Any], body: Callable[[Transaction], Result]
    ) -> tuple[Result, int]:
        """Run ``body`` in a transaction, and run it again if another commit came first.

        Writers wait for the commit lock. If a program does not wait (a shell that writes to the attached catalog, or a
        host that lost its connection to the lock's server), the number of the new snapshot is taken: the result of a
        look-up in ``body`` may have changed, and ``body`` is run again.

        Args:
            author: the author of the snapshot.
            message: the message of the snapshot.
            extra: the provenance of the snapshot, stored as JSON; the checksums of the Parquet files are added to those
                that it has under ``CHECKSUMS_KEY``.
            body: a function that reads and inserts, and that may run several times.

        Returns:
            The result of ``body``, and the newest snapshot after it.

        Raises:
            StoreModeError: the store was opened for reading.
            StoreBusyError: other processes held the lock, or the catalog, for too long.
            StoreWriteError: the disk is full or failed; nothing of the transaction is visible.
            CatalogUnavailableError: DuckDB failed; nothing of the transaction is visible.
        """
        give_up = time.monotonic() + BUSY_MILLISECONDS / 1000
        while True:
            try:
                with self.transaction(author, message, extra) as transaction:
                    result = body(transaction)
                return result, transaction.snapshot
            except StoreBusyError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(_RETRY_SECONDS)

    @contextmanager
    def transaction(self, author: str, message: str, extra: Mapping[str, Any]) -> Iterator[Transaction]:
        """Give a transaction, and commit it at the end unless an error is raised or nothing was changed."""
        with self.locked(), self._committing() as attached, closing(attached.cursor()) as cursor:
            with self.rolled_back(cursor):
                self._durable.settle_journal()
                cursor.execute("BEGIN TRANSACTION")
                transaction = Transaction(self, cursor)
                yield transaction
                if transaction.changed:
                    said = self._durable.make_durable(transaction, author, message, extra)
                    cursor.execute(f"CALL {quote_name(self.alias)}.set_commit_message(?, ?, extra_info => ?)", said)
                    attached.commit(cursor)
                else:
                    cursor.execute("ROLLBACK")
            # The snapshot has the next number: if another commit had taken it, this one would have failed.
            transaction.snapshot += transaction.changed

    @contextmanager
    def _committing(self) -> Iterator[Attachment]:
        """Make this thread use the attachment for transactions; the caller must hold the commit lock."""
        if not self._place.backend.loses_answers:
            yield self._attached
            return
        if self._guarded is None:
            try:
                self._guarded = Attachment(self._place, read_only=False, guarded=True)
            except OSError as error:
                raise unwritten(self._place.root, error) from error
        self._in_use.attachment = self._guarded
        try:
            yield self._guarded
        finally:
            del self._in_use.attachment

    @contextmanager
    def rolled_back(self, cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Roll back a cursor's transaction if an error is raised, and raise it as an error of the store."""
        try:
            yield
        except BaseException as error:
            # A failed COMMIT has ended the transaction already.
            with suppress(duckdb.TransactionException):
                cursor.execute("ROLLBACK")
            told = not_committed(error, self._place.backend, self._place.root)
            if told is error:
                raise
            raise told from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the commit lock, which excludes all other writers: threads of this process and other processes.

        Raises:
            StoreModeError: the store was opened for reading.
            StoreBusyError: another writer held the lock for too long.
        """
        if self.read_only:
            raise StoreModeError(self.refusal)
        with self._threads, ExitStack() as stack:
            if not self._held:
                if self._attachment is not None:
                    # Taking the lock would make the folder of a moved store again.
                    self._attachment.check_there()
                try:
                    stack.enter_context(self._writers.held())
                except OSError as error:
                    raise unwritten(self._place.root, error) from error
                stack.callback(setattr, self, "_held", False)
                self._held = True
            yield

    def attach_sql(self, alias: str, *, read_only: bool) -> str:
        """Return the statement that attaches the catalog under a name, for this process or any other DuckDB."""
        return self._place.attach_sql(alias, read_only=read_only)

    def rewrite_journal(self) -> None:
        """Write the journal anew from the catalog, so that it names only files that the catalog names.

        Raises:
            StoreError: the catalog cannot be read, or the disk refused.
        """
        with self.locked():
            self._durable.rewrite_journal()

    def parquet_files(self, table: str) -> set[str]:
        """Return the paths of all files in a table's folder, as strings for speed, since there may be thousands.

        The result is empty for an object store, which makes files durable itself and keeps their checksums.
        """
        folder = self._place.tables / "main" / table
        # DuckLake makes the folder with the first file.
        return {f"{folder}{os.sep}{name}" for name in names_on_disk(folder)}


def _end(cursor: duckdb.DuckDBPyConnection) -> None:
    """End a transaction that only reads, unless an error has ended it."""
    with suppress(duckdb.TransactionException):
        cursor.execute("ROLLBACK")


# Times are read as numbers: SQLite keeps them as text with a zone, which DuckDB converts for Python only with pytz.
_VERSIONS = """SELECT snapshot_id, epoch_us(snapshot_time::TIMESTAMPTZ), author, commit_message, commit_extra_info
    FROM METADATA.ducklake_snapshot LEFT JOIN METADATA.ducklake_snapshot_changes USING (snapshot_id)
    WHERE snapshot_id >= $since ORDER BY snapshot_id"""
_ADDITIONS = """SELECT snapshot_id, epoch_us(snapshot_time::TIMESTAMPTZ),
        list_has_any(string_split(changes_made, ','),
            (SELECT list('inserted_into_table:' || table_id) FROM METADATA.ducklake_table WHERE table_name = $table)),
        commit_extra_info
    FROM METADATA.ducklake_snapshot LEFT JOIN METADATA.ducklake_snapshot_changes USING (snapshot_id)
    WHERE snapshot_id BETWEEN $since AND $snapshot ORDER BY snapshot_id"""
_KNOWN = "SELECT snapshot_id FROM METADATA.ducklake_snapshot WHERE snapshot_id = $snapshot"


def _with_numbers(sql: str, parameters: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return SQL with the values of integer parameters written into it, and the other parameters.

    For any bound parameter, DuckDB imports pandas if it is installed, to check for its types. The import takes a third
    of a second, which a command that only lists something saves in this way.
    """
    numbers = {name: value for name, value in parameters.items() if type(value) is int}
    for name, value in numbers.items():
        sql = re.sub(rf"\${name}\b", str(value), sql)
    return sql, {name: value for name, value in parameters.items() if name not in numbers}


def _one(cursor: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = cursor.execute(sql).fetchone()
    if row is None:
        raise CatalogUnavailableError(f"DuckDB returned no row for {sql}")
    return int(row[0])
