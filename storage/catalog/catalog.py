"""One attached catalog of DuckLake: its reads, its transactions and its lock.

Readers see the newest snapshot as of their statement, and are never blocked. How the catalog is attached, and how
threads share that, is in ``molbuffer.storage.backends.attachment``. Beside it are its parts:

    past_tables   the SQL that stands for a table as of a snapshot
    durability    what a commit makes durable, and the journal
    metadata      changes of DuckLake's own tables: expiry, compression
    identity      whose catalog it is
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
"""The most files that are named in a statement."""

Result = TypeVar("Result")


class Catalog(ReadableCatalog):
    """An attached DuckLake catalog.

    Args:
        place: the place of the catalog; a schema of Postgres must be there.
        read_only: whether it is attached for reading.
        create: whether it is made when it is missing.
        sync: makes files and directories durable; called with a transaction's Parquet files before its COMMIT.
        lock_seconds: how long a commit waits for other processes' commits.

    Attributes:
        lock_seconds: the same.

    Raises:
        CatalogLostError: it is missing, and is not to be made.
        CatalogUnavailableError: it cannot be attached.
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
        # A thread may hold it over several transactions, as a migration does.
        self._threads = threading.RLock()
        self._held = False
        self.lock_seconds = lock_seconds
        self._writers = place.backend.writers(lock_seconds)
        self._attachment: Attachment | None = None
        # That of transactions, where a COMMIT can be done and seem to have failed; a thread that is in one uses it.
        self._guarded: Attachment | None = None
        self._in_use = threading.local()
        # Before the lock is taken, which would make a file, and its folder.
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
        """Detach the catalog; nothing can be read afterwards. Closing twice is no error."""
        self._attached.close()
        if self._guarded is not None:
            self._guarded.close()

    @property
    def alias(self) -> str:
        """The name of the catalog in the DuckDB database of this process; in a transaction, that of its attachment."""
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
        """Return the SQL that stands for a table, or for a table as of a snapshot.

        Tables and columns that a migration added after the snapshot are there, with what it gave to older rows.
        """
        named = f"{quote_name(self.alias)}.main.{quote_name(name)}"
        return named if snapshot is None else self._past.select(name, named, snapshot, with_version=with_version)

    def check_there(self) -> None:
        """Refuse to go on when the store is closed, or no longer where it was opened: writing would make it again.

        Raises:
            StoreModeError: it is closed, or was opened before this process was forked.
            StoreMovedError: it was moved, removed or replaced.
        """
        self._attached.check_there()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a connection of the caller's own, to be closed by the caller.

        Raises:
            StoreModeError: the store is closed, or was opened before this process was forked.
        """
        return self._attached.cursor()

    @contextmanager
    def reading(self) -> Iterator[Callable[[str, int], pa.Table]]:
        """Give what reads trusted SQL at a snapshot, as ``ReadableCatalog.reading`` does, in one transaction.

        The catalog is then opened once, and not for each statement, which takes as long as a small table.
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
        """Execute a statement as ``ReadableCatalog.executed`` does; DuckLake is not asked for tables without rows."""
        with ExitStack() as stack:
            if snapshot is None and self._past.may_be_empty(sql):
                # A table that is empty and one that is not are read as of one snapshot.
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
        """Return SQL for a transaction, in which nothing stands for tables without rows.

        Args:
            sql: names tables and views as ``{samples}``.
            newest: the snapshot that the transaction reads.
            changed: tables that the transaction may have changed itself.
        """
        return self._past.now(sql, self.table, newest, changed) if self._past.may_be_empty(sql) else sql

    def newest(self, cursor: duckdb.DuckDBPyConnection | None = None) -> int:
        """Return the newest snapshot, as a cursor sees it: within a transaction, the one it started from."""
        if cursor is not None:
            return _one(cursor, f"FROM {quote_name(self.alias)}.current_snapshot()")
        with closing(self.cursor()) as own:
            return self.newest(own)

    def metadata(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Return rows of DuckLake's own tables, which trusted SQL names as ``METADATA.ducklake_snapshot``.

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
        """Return SQL in which ``METADATA`` stands for DuckLake's own tables, as DuckDB reads it."""
        return sql.replace("METADATA", self._attached.metadata)

    def told(self, error: Exception) -> StoreError:
        """Return the error of the store for one of DuckDB, Arrow or the system, with what to do."""
        return as_store_error(error, self._place.root) or super().told(error)

    def versions(self, since: int = 0) -> list[Version]:
        """Return all snapshots that can be read, from a number on, the oldest first."""
        return [Version(*row) for row in self.metadata(_VERSIONS, {"since": since})]

    def additions(self, table: str, since: int, snapshot: int) -> list[Addition]:
        """Return the snapshots of a range, both ends in it, and whether they added rows to a table; the oldest first.

        One that has expired is not among them.
        """
        found = self.metadata(_ADDITIONS, {"table": table, "since": since, "snapshot": snapshot})
        return [Addition(*row) for row in found]

    def has_version(self, snapshot: int) -> bool:
        """Return whether a snapshot can be read; an expiry may have removed it."""
        return bool(self.metadata(_KNOWN, {"snapshot": snapshot}))

    def at(self, snapshot: int) -> PinnedCatalog:
        """Return the catalog as of a snapshot, for reading.

        Raises:
            UnknownSnapshotError: the store has no such snapshot.
        """
        return PinnedCatalog(self, snapshot)

    def files(self, tables: Sequence[str], snapshot: int, since: int = 0) -> dict[str, TableFiles]:
        """Return the columns and Parquet files of tables as of a snapshot.

        Args:
            tables: their names.
            snapshot: the snapshot.
            since: files that have only rows of older snapshots are left out.

        Raises:
            UnknownSnapshotError: the store has no such snapshot.
        """
        self._check_version(snapshot)
        return table_files(self.metadata, self._place.tables / "main", tables, snapshot, since)

    def _check_version(self, snapshot: int) -> None:
        if not self.has_version(snapshot):
            raise UnknownSnapshotError(f"no version {snapshot} in {self.name}; the newest is {self.newest()}")

    def sources(self, tables: Sequence[str], snapshot: int, since: int = 0) -> Mapping[str, TableSource]:
        """Return what a database without this catalog reads tables from, as of a snapshot; ``since`` as of ``files``.

        Raises:
            UnknownSnapshotError: the store has no such snapshot.
        """
        return self.files(tables, snapshot, since)

    def added(self, tables: Sequence[str], snapshot: int, since: int) -> Mapping[str, str]:
        """Return the SQL that stands for what was added to tables; see ``ReadableCatalog.added``.

        The files are named in it: DuckLake lists all files of a table in each statement, however few have such rows.
        """
        found = self.files(tables, snapshot, since)
        paths = [str(path) for of_table in found.values() for path in of_table.paths]
        # A statement with more files takes longer to parse than DuckLake to list them, and braces stand for tables.
        if len(paths) > _MOST_NAMED or any("{" in path for path in paths):
            return super().added(tables, snapshot, since)
        return {name: f"({of_table.select_added(since, snapshot)})" for name, of_table in found.items()}

    def statistics(self, table: str, columns: Sequence[str], snapshot: int) -> TableStatistics | None:
        """Return what the catalog knows of a table at a snapshot; None where it is not exact.

        Raises:
            UnknownSnapshotError: the store has no such snapshot.
        """
        self._check_version(snapshot)
        return table_statistics(self.metadata, table, columns, snapshot)

    def transact(
        self, author: str, message: str, extra: Mapping[str, Any], body: Callable[[Transaction], Result]
    ) -> tuple[Result, int]:
        """Run ``body`` in a transaction, and again when another commit was in the way of its own.

        Writers wait for each other's lock. Should one not (a shell that writes to the attached catalog, a host that
        lost its connection to the lock's server), the number of the snapshot to be made is taken: what ``body`` looked
        up may not be so any more, and it looks again.

        Args:
            author: who makes the snapshot.
            message: what the snapshot adds.
            extra: the provenance, stored as JSON; the checksums of the Parquet files are put beside those that it has
                under ``CHECKSUMS_KEY``.
            body: reads and inserts; it may be run again.

        Returns:
            What ``body`` returned, and the snapshot after it.

        Raises:
            StoreModeError: the store was opened for reading.
            StoreBusyError: others held the lock, or the catalog, for too long.
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
        """Make one attempt of ``transact``: commit on leaving unless an error is raised or nothing was inserted."""
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
            # It could only become the next one: had another come between, it would have failed.
            transaction.snapshot += transaction.changed

    @contextmanager
    def _committing(self) -> Iterator[Attachment]:
        """Have this thread use the attachment that transactions are made on; the caller holds the lock."""
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
        """Roll a cursor's transaction back when an error is raised, and raise the error of the store for it."""
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
        """Keep all other writers out, threads of this process and other processes."""
        if self.read_only:
            raise StoreModeError(self.refusal)
        with self._threads, ExitStack() as stack:
            if not self._held:
                if self._attachment is not None:
                    # Taking the lock would make the folder again from which the store was moved.
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
        """Write the journal anew from the catalog, so that it names no file which the catalog does not name.

        Raises:
            StoreError: the catalog cannot be read, or the disk refused.
        """
        with self.locked():
            self._durable.rewrite_journal()

    def parquet_files(self, table: str) -> set[str]:
        """Return the paths of a table's files, of whatever snapshot, as strings, since there may be thousands.

        There are none in an object store, which makes files durable itself and keeps their checksums.
        """
        folder = self._place.tables / "main" / table
        # DuckLake makes the folder with the first file.
        return {f"{folder}{os.sep}{name}" for name in names_on_disk(folder)}


def _end(cursor: duckdb.DuckDBPyConnection) -> None:
    """End a transaction that has read, unless an error has ended it."""
    with suppress(duckdb.TransactionException):
        cursor.execute("ROLLBACK")


# Times as numbers: SQLite keeps them as text with a zone, which DuckDB hands to Python only with the help of pytz.
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
    """Return SQL with its whole numbers written out, and the other parameters.

    For any parameter that is bound, DuckDB imports pandas where it is installed, to see whether it is one of its
    values: a third of a second, which a command that only lists something need not spend.
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
