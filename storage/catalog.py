"""The only code that talks to DuckLake: one attached catalog, its reads, and its transactions.

Every process has one in-memory DuckDB database, in which each open store attaches its catalog under an alias of its
own. A cursor is a connection: every read and every transaction takes a fresh one, so that any number of threads read
while one commits. Readers see the newest snapshot as of their statement, and are never blocked.

POSIX drops all of a process's locks on a file when any descriptor of it is closed there. Nothing but DuckDB may
therefore open ``catalog.sqlite`` in a process that may hold it: no copying, no hashing, no ``sqlite3``.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import duckdb
import pyarrow as pa
from filelock import FileLock, Timeout

from storage.checksums import CHECKSUMS, file_checksums
from storage.durability import sync_paths
from storage.engine import engine, one_line, quote
from storage.errors import (
    StoreBusyError,
    StoreError,
    StoreModeError,
    StorePlaceError,
    StoreWriteError,
    UnknownSnapshotError,
)
from storage.schema import VIEWS, bind

Sync = Callable[[Iterable[Path]], None]

_BUSY_MILLISECONDS = 60_000
_POLL_SECONDS = 0.005
_RETRY_SECONDS = 0.05
_TARGET_FILE_SIZE = "512MB"  # DuckLake's own default.

Result = TypeVar("Result")


@dataclass(frozen=True)
class CatalogPlace:
    """Where a store's catalog, its Parquet files and its commit lock are; absolute paths."""

    database: Path
    tables: Path
    lock: Path


@dataclass(frozen=True)
class TableFiles:
    """What a table is made of at a version.

    Attributes:
        columns: name, DuckDB type and Parquet field id of each column.
        whole: Parquet files all of whose rows belong to the version.
        partial: files made by compaction that also hold rows of later versions.
    """

    columns: tuple[tuple[str, str, int], ...]
    whole: tuple[Path, ...]
    partial: tuple[Path, ...]


class Transaction:
    """One DuckLake transaction: everything inserted becomes visible together or not at all.

    Attributes:
        snapshot: the version the transaction started from, and after its end the one that it made, if it made one.
        changed: whether it inserted anything.
    """

    def __init__(self, catalog: Catalog, cursor: duckdb.DuckDBPyConnection) -> None:
        self._catalog = catalog
        self._cursor = cursor
        self._files_before: dict[str, set[str]] = {}
        self.snapshot = catalog.newest(cursor)
        self.changed = False

    def read(self, sql: str, parameters: Sequence[Any] | None = None, **tables: pa.Table) -> pa.Table:
        """As ``Catalog.read``, and sees what this transaction inserted."""
        return self._catalog.run(self._cursor, sql, None, parameters, tables)

    def insert(self, table: str, rows: pa.Table) -> None:
        """Adds rows to a table by column name; an empty table adds nothing and makes no file."""
        if rows.num_rows:
            self._files_before.setdefault(table, self._catalog.parquet_files(table))
            self.change(f"INSERT INTO {{{table}}} BY NAME SELECT * FROM incoming", incoming=rows)

    def insert_select(self, table: str, select: str, **tables: pa.Table) -> int:
        """Adds the rows of a trusted SELECT, by column name, without taking them through Python.

        Args:
            select: ``{name}`` stands for a table of this catalog; another catalog's are named by its ``table``.

        Returns:
            How many rows were added.
        """
        before = self._catalog.parquet_files(table)
        sql = bind(f"INSERT INTO {{{table}}} BY NAME {select}", self._catalog.table)
        added: int = self._catalog.run(self._cursor, sql, None, None, tables)[0][0].as_py()
        if added:
            self._files_before.setdefault(table, before)
            self.changed = True
        return added

    def merge_files(self, table: str, target_bytes: int) -> int:
        """Merges a table's first adjacent Parquet files that are smaller than ``target_bytes`` into one of about that.

        What is visible at each version stays as it is: rows keep the number of the version that added them.

        Returns:
            How many files were merged; 0 when no two can be.
        """
        before = self._catalog.parquet_files(table)
        merged = self._catalog.merge_adjacent(self._cursor, table, target_bytes)
        if merged:
            self._files_before.setdefault(table, before)
            self.changed = True
        return merged

    def new_files(self) -> list[str]:
        """The Parquet files that this transaction wrote: nobody else writes any while the lock is held."""
        found: list[str] = []
        for table, before in self._files_before.items():
            found += self._catalog.parquet_files(table) - before
        return found

    def change(self, sql: str, **tables: pa.Table) -> None:
        """Executes trusted SQL that changes the store; ``{name}`` stands for a table."""
        self.changed = True
        self._catalog.run(self._cursor, bind(sql, self._catalog.table), None, None, tables)


class Catalog:
    """An attached DuckLake catalog.

    Args:
        place: where it is; made when it is missing and ``read_only`` is false.
        refusal: what an attempt to write to a read-only catalog is told; by default that it is open for reading only.
        sync: makes files and directories durable; called with a transaction's Parquet files before its COMMIT.
        lock_seconds: how long a commit waits for other processes' commits.

    Raises:
        StoreError: the catalog cannot be attached.
    """

    def __init__(
        self,
        place: CatalogPlace,
        *,
        read_only: bool,
        sync: Sync = sync_paths,
        lock_seconds: float = 600,
        refusal: str | None = None,
    ) -> None:
        self.read_only = read_only
        self._refusal = refusal or f"the store at {place.database.parent} is open for reading only"
        self._place = place
        self._sync = sync
        self._process_id = os.getpid()
        self._alias = f"lake_{uuid4().hex}"
        self._threads = threading.Lock()
        # DuckDB fails the transaction that finds a SQLite catalog busy, so writers queue here instead. The file stays:
        # removing it would let two processes lock two files of one name.
        self._processes = FileLock(place.lock, timeout=lock_seconds, mode=0o600, thread_local=False)
        self._closed = False
        with nullcontext() if read_only else self.locked():
            self._attach()

    def close(self) -> None:
        """Detaches the catalog; nothing can be read afterwards. Closing twice is no error."""
        if not self._closed and self._process_id == os.getpid():
            with closing(engine(self._process_id).cursor()) as cursor:
                cursor.execute(f"DETACH {self._alias}")
        self._closed = True

    def table(self, name: str, snapshot: int | None = None) -> str:
        """The SQL that stands for a table, or for a table as of a version."""
        named = f"{self._alias}.main.{name}"
        # AT takes no alias, which the SQL around it may give.
        return named if snapshot is None else f"(FROM {named} AT (VERSION => {int(snapshot)}))"

    def read(
        self, sql: str, snapshot: int | None = None, parameters: Sequence[Any] | None = None, **tables: pa.Table
    ) -> pa.Table:
        """The result of trusted SQL.

        Args:
            sql: names tables and views of the store as ``{samples}``.
            snapshot: the version every ``{name}`` is read at; None is the newest.
            parameters: for the ``?`` in the SQL.
            tables: Arrow tables that the SQL may name as they are named here.

        Raises:
            UnknownSnapshotError: the store has no such version.
            StoreError: DuckDB refused the statement or the store is damaged.
        """
        with closing(self.cursor()) as cursor:
            return self.run(cursor, sql, snapshot, parameters, tables)

    def run(
        self,
        cursor: duckdb.DuckDBPyConnection,
        sql: str,
        snapshot: int | None,
        parameters: Sequence[Any] | None,
        tables: Mapping[str, pa.Table],
    ) -> pa.Table:
        """What ``read`` does, on a given cursor."""

        def relation(name: str) -> str:
            return f"({bind(VIEWS[name], relation)})" if name in VIEWS else self.table(name, snapshot)

        for name, rows in tables.items():
            cursor.register(name, rows)
        try:
            return cursor.execute(bind(sql, relation), parameters).to_arrow_table()
        except duckdb.Error as error:
            if "No snapshot found" in str(error):
                raise UnknownSnapshotError(
                    f"the store has no version {snapshot}; its newest is {self.newest()}"
                ) from error
            raise StoreError(f"the catalog {self._place.database} failed: {error}") from error
        finally:
            for name in tables:
                cursor.unregister(name)

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of the caller's own; close it.

        Raises:
            StoreModeError: the store is closed, or was opened before this process was forked.
        """
        if self._closed:
            raise StoreModeError(f"the store at {self._place.database.parent} is closed; open it again")
        if self._process_id != os.getpid():
            raise StoreModeError(
                f"the store at {self._place.database.parent} was opened by process {self._process_id} and cannot be "
                f"used in its fork {os.getpid()}: spawn processes, and open the store in each"
            )
        return engine(self._process_id).cursor()

    def newest(self, cursor: duckdb.DuckDBPyConnection | None = None) -> int:
        """The newest version, as a cursor sees it: within a transaction, the one it started from."""
        if cursor is not None:
            return _one(cursor, f"FROM {self._alias}.current_snapshot()")
        with closing(self.cursor()) as own:
            return self.newest(own)

    def metadata(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Rows of DuckLake's own tables, which trusted SQL names as ``METADATA.ducklake_snapshot``.

        Raises:
            StoreError: DuckDB refused the statement, or the catalog is damaged.
        """
        with closing(self.cursor()) as cursor:
            try:
                return cursor.execute(sql.replace("METADATA", self._metadata_name), parameters).fetchall()
            except duckdb.Error as error:
                raise StoreError(f"the catalog {self._place.database} failed: {error}") from error

    def change_metadata(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Executes trusted SQL on DuckLake's own tables, which makes no version; holds the commit lock.

        Raises:
            StoreError: DuckDB refused the statement; nothing was changed.
        """
        with self.locked():
            self.metadata(sql, parameters)

    def expire(self, versions: Sequence[int]) -> None:
        """Forgets versions in one step. Files that no other version has are listed for deletion, and stay.

        Raises:
            StoreError: DuckDB refused the statement; nothing was forgotten.
        """
        numbers = ", ".join(str(int(version)) for version in versions)
        with self.locked(), closing(self.cursor()) as cursor:
            self.run(
                cursor, f"CALL ducklake_expire_snapshots('{self._alias}', versions => [{numbers}])", None, None, {}
            )

    def merge_adjacent(self, cursor: duckdb.DuckDBPyConnection, table: str, target_bytes: int) -> int:
        """What ``Transaction.merge_files`` does, on its cursor."""
        set_target = (
            f"CALL {self._alias}.set_option('target_file_size', '[size]', schema => 'main', table_name => '{table}')"
        )
        # DuckLake bounds a merge by this option of the table only, which inserts heed as well: it is set back at once.
        self.run(cursor, set_target.replace("[size]", f"{target_bytes // 1000}KB"), None, None, {})
        options = "schema => 'main', max_compacted_files => 1"
        merge = f"CALL ducklake_merge_adjacent_files('{self._alias}', '{table}', {options})"
        merged = self.run(cursor, merge, None, None, {})
        self.run(cursor, set_target.replace("[size]", _TARGET_FILE_SIZE), None, None, {})
        return sum(merged["files_processed"].to_pylist())

    def files(self, tables: Sequence[str], snapshot: int) -> dict[str, TableFiles]:
        """The columns and Parquet files of tables as of a version.

        Raises:
            UnknownSnapshotError: the store has no such version.
        """
        with closing(self.cursor()) as cursor:
            if not self._metadata(cursor, _KNOWN, snapshot):
                raise UnknownSnapshotError(f"the store has no version {snapshot}; its newest is {self.newest(cursor)}")
            columns, paths = self._metadata(cursor, _COLUMNS, snapshot), self._metadata(cursor, _DATA_FILES, snapshot)
        folder = self._place.tables / "main"
        return {
            table: TableFiles(
                columns=tuple((name, _TYPES.get(kind, kind), key) for of, name, kind, key in columns if of == table),
                whole=tuple(folder / table / path for of, path, partial in paths if of == table and not partial),
                partial=tuple(folder / table / path for of, path, partial in paths if of == table and partial),
            )
            for table in tables
        }

    def transact(
        self, author: str, message: str, extra: Mapping[str, Any], body: Callable[[Transaction], Result]
    ) -> tuple[Result, int]:
        """Runs ``body`` in a transaction, and again when another program was in the way of its COMMIT.

        Other processes of ours wait for the commit lock; a shell that writes to the attached catalog does not.

        Args:
            author, message, extra: what the snapshot says of itself; ``extra`` is stored as JSON, and the Parquet
                files' checksums are put beside those it has under ``CHECKSUMS``.
            body: reads and inserts; it must not mind being run again.

        Returns:
            What ``body`` returned, and the version after it.

        Raises:
            StoreModeError: the store was opened for reading.
            StoreBusyError: others held the lock, or the catalog, for too long.
            StoreWriteError: the disk is full or failed; nothing of the transaction is visible.
            StoreError: DuckDB failed; nothing of the transaction is visible.
        """
        give_up = time.monotonic() + _BUSY_MILLISECONDS / 1000
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
        """One attempt of ``transact``: commits on leaving unless an error is raised or nothing was inserted."""
        with self.locked(), closing(self.cursor()) as cursor:
            cursor.execute("BEGIN TRANSACTION")
            transaction = Transaction(self, cursor)
            try:
                yield transaction
                if transaction.changed:
                    written = transaction.new_files()
                    # DuckLake syncs its catalog, but not the Parquet files that the catalog will name.
                    self._sync(_with_folders(written, self._place.tables))
                    # Nor does it keep checksums: without ours, a bit that flips in a reward is another reward.
                    checksums = {**extra.get(CHECKSUMS, {}), **file_checksums(written, self._place.database.parent)}
                    said = [author, message, json.dumps({**extra, CHECKSUMS: checksums})]
                    cursor.execute(f"CALL {self._alias}.set_commit_message(?, ?, extra_info => ?)", said)
                cursor.execute("COMMIT" if transaction.changed else "ROLLBACK")
            except BaseException as error:
                _roll_back(cursor)
                if isinstance(error, OSError) or any(words in str(error) for words in _DISK_FAILURES):
                    raise unwritten(self._place.database.parent, error) from error
                if isinstance(error, duckdb.Error) and _LOCKED in str(error):
                    raise StoreBusyError(f"another program has locked {self._place.database}") from error
                if isinstance(error, duckdb.Error):
                    raise StoreError(f"a transaction on {self._place.database} failed: {error}") from error
                raise
            transaction.snapshot = self.newest(cursor)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps all other writers out, threads of this process and other processes."""
        if self.read_only:
            raise StoreModeError(self._refusal)
        with self._threads:
            try:
                self._processes.acquire(poll_interval=_POLL_SECONDS)
            except Timeout as error:
                raise StoreBusyError(
                    f"{self._place.lock} was held by other processes for {self._processes.timeout:g} s; is one hanging?"
                ) from error
            except OSError as error:
                raise unwritten(self._place.database.parent, error) from error
            try:
                yield
            finally:
                self._processes.release()

    def attach_sql(self, alias: str, *, read_only: bool) -> str:
        """The statement that attaches the catalog under a name, for this process or any other DuckDB."""
        options = [
            f"DATA_PATH {quote(str(self._place.tables) + os.sep)}",
            # A moved folder's catalog names the place where it was made.
            "OVERRIDE_DATA_PATH true",
            f"META_BUSY_TIMEOUT {_BUSY_MILLISECONDS}",
            # Every row goes to a Parquet file: those are what a query connection without the catalog can read.
            "DATA_INLINING_ROW_LIMIT 0",
        ]
        # Setting the journal mode writes, which a reader on a read-only disk cannot.
        options.append("READ_ONLY" if read_only else "META_JOURNAL_MODE 'WAL'")
        return f"ATTACH {quote(f'ducklake:sqlite:{self._place.database}')} AS {alias} ({', '.join(options)})"

    def _attach(self) -> None:
        with closing(engine(self._process_id).cursor()) as cursor:
            try:
                cursor.execute(self.attach_sql(self._alias, read_only=self.read_only))
            except duckdb.Error as error:
                root = self._place.database.parent
                if self.read_only and not os.access(root, os.W_OK):
                    raise StorePlaceError(
                        f"{root} cannot be written to, and SQLite reads a catalog that is written to only where "
                        "it can make files beside it: copy the folder, or read an archive of the store"
                    ) from error
                raise StoreError(f"the catalog {self._place.database} cannot be attached: {one_line(error)}") from error

    @property
    def _metadata_name(self) -> str:
        """The database in which DuckLake keeps its own tables."""
        return f"__ducklake_metadata_{self._alias}"

    def _metadata(self, cursor: duckdb.DuckDBPyConnection, sql: str, snapshot: int) -> list[tuple[Any, ...]]:
        """Rows of DuckLake's own tables, which list what there is at a version."""
        text = sql.replace("METADATA", self._metadata_name)
        return cursor.execute(text, {"snapshot": snapshot}).fetchall()

    def parquet_files(self, table: str) -> set[str]:
        """The paths of a table's files, of whatever version; strings, as there may be thousands."""
        folder = str(self._place.tables / "main" / table)
        try:
            return {f"{folder}{os.sep}{name}" for name in os.listdir(folder)}
        except FileNotFoundError:
            # DuckLake makes the folder with the first file.
            return set()


# DuckLake's names of types, where DuckDB has no such name or takes it for another type.
_TYPES = {"int8": "TINYINT", "float32": "FLOAT", "float64": "DOUBLE"}
_KNOWN = "SELECT snapshot_id FROM METADATA.ducklake_snapshot WHERE snapshot_id = $snapshot"
_COLUMNS = """SELECT table_name, column_name, column_type, column_id
    FROM METADATA.ducklake_column AS part JOIN METADATA.ducklake_table AS whole USING (table_id)
    WHERE part.begin_snapshot <= $snapshot AND coalesce(part.end_snapshot > $snapshot, true)
    AND whole.begin_snapshot <= $snapshot AND coalesce(whole.end_snapshot > $snapshot, true)
    ORDER BY column_order"""
# Compaction makes files that hold rows of several versions, up to ``partial_max``.
_DATA_FILES = """SELECT table_name, part.path, coalesce(partial_max > $snapshot, false)
    FROM METADATA.ducklake_data_file AS part JOIN METADATA.ducklake_table AS whole USING (table_id)
    WHERE part.begin_snapshot <= $snapshot AND coalesce(part.end_snapshot > $snapshot, true)
    AND whole.begin_snapshot <= $snapshot AND coalesce(whole.end_snapshot > $snapshot, true)
    ORDER BY data_file_id"""


# DuckDB has no error classes of its own for these: what it was told by SQLite or by the system is in the text.
_LOCKED = "database is locked"
_DISK_FAILURES = ("disk is full", "No space left on device", "disk I/O error", "Read-only file system")


def unwritten(root: Path, error: BaseException) -> StoreWriteError:
    """The error for a commit that the disk refused."""
    return StoreWriteError(
        f"the disk refused to write to the store {root}, and nothing of this commit is visible; what was acknowledged "
        f"before is safe. Free some space, then try again. The disk said: {one_line(error)}"
    )


def _one(cursor: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = cursor.execute(sql).fetchone()
    if row is None:
        raise StoreError(f"DuckDB returned no row for {sql}")
    return int(row[0])


def _roll_back(cursor: duckdb.DuckDBPyConnection) -> None:
    try:
        cursor.execute("ROLLBACK")
    except duckdb.TransactionException:
        # A failed COMMIT has ended the transaction already.
        return


def _with_folders(files: Iterable[str], root: Path) -> list[Path]:
    """The files and every directory from theirs up to ``root``: a file is durable when all that name it are."""
    paths = [Path(file) for file in files]
    folders = {folder for path in paths for folder in path.parents if folder.is_relative_to(root)}
    return [*paths, *folders]
