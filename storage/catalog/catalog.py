"""The only code that talks to DuckLake: the reads and the transactions of one attached catalog.

Readers see the newest snapshot as of their statement, and are never blocked. How the catalog is attached, and how
threads share that, is in ``molbuffer.storage.backends.attachment``.
"""

from __future__ import annotations

import functools
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from pathlib import Path
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
    quote,
    quote_name,
    unwritten,
)
from molbuffer.storage.catalog.journal import Journal, JournalEntry, JournalFile, entries_of
from molbuffer.storage.catalog.parquet_files import (
    Column,
    TableFiles,
    TableSource,
    empty_tables,
    later_columns,
    select_nothing,
    table_files,
)
from molbuffer.storage.catalog.pinned import PinnedCatalog
from molbuffer.storage.catalog.readable import ReadableCatalog, Version
from molbuffer.storage.catalog.transaction import Transaction
from molbuffer.storage.errors import (
    CatalogUnavailableError,
    StoreBusyError,
    StoreError,
    StoreModeError,
    UnknownSnapshotError,
)
from molbuffer.storage.files import CHECKSUMS_KEY, Place, Sync, file_checksums, names_on_disk, sync_paths

_RETRY_SECONDS = 0.05
# Snapshots of which is remembered what has no rows.
_MOST_REMEMBERED = 100
_TARGET_FILE_SIZE = "512MB"  # DuckLake's own default.

Result = TypeVar("Result")


class Catalog(ReadableCatalog):
    """An attached DuckLake catalog.

    Args:
        place: the place of the catalog; a schema of Postgres must be there.
        read_only: whether it is attached for reading.
        create: whether it is made when it is missing.
        sync: makes files and directories durable; called with a transaction's Parquet files before its COMMIT.
        lock_seconds: how long a commit waits for other processes' commits.

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
        self._sync = sync
        # A thread may hold it over several transactions, as a migration does.
        self._threads = threading.RLock()
        self._held = False
        self._writers = place.backend.writers(lock_seconds)
        self._attachment: Attachment | None = None
        # Before the lock is taken, which would make a file, and its folder.
        if not create and (reason := place.backend.lost()) is not None:
            raise lost(place.backend, place.root, reason)
        # Where an object store has the Parquet files, nobody knows their names before the COMMIT.
        path = place.backend.journal if isinstance(place.tables, Path) else None
        self._journal = None if path is None or read_only else Journal(path, sync)
        self._journal_settled = False
        with nullcontext() if read_only else self.locked():
            self._attachment = Attachment(place, read_only=read_only, create=create)
        self._empty: dict[int, Mapping[str, Sequence[Column]]] = {}

    @property
    def tables(self) -> Place:
        """The place of the Parquet files."""
        return self._place.tables

    def close(self) -> None:
        """Detach the catalog; nothing can be read afterwards. Closing twice is no error."""
        self._attached.close()

    @property
    def alias(self) -> str:
        """The name of the catalog in the DuckDB database of this process."""
        return self._attached.alias

    @property
    def _attached(self) -> Attachment:
        if self._attachment is None:
            raise StoreModeError(f"the store at {self._place.root} is not open yet")
        return self._attachment

    def table(self, name: str, snapshot: int | None = None, *, with_version: bool = False) -> str:
        """Return the SQL that stands for a table, or for a table as of a snapshot.

        Tables and columns that a migration added after the snapshot are there, with what it gave to older rows.
        """
        named = f"{quote_name(self.alias)}.main.{quote_name(name)}"
        if snapshot is None:
            return named
        later, as_new = later_columns(self.metadata, name, snapshot) if snapshot < self._last_change else ([], False)
        if as_new:
            return f"({select_nothing(later)})"
        if (empty := self._without_rows(snapshot).get(name)) is not None:
            return f"({select_nothing([*empty, *([_VERSION_COLUMN] if with_version else [])])})"
        # Within the brackets, only what is selected is there: a column of DuckLake's own has to be named.
        columns = ["*", *(["snapshot_id"] if with_version else []), *(column.default_sql for column in later)]
        # AT takes no alias, which the SQL around it may give.
        return f"(SELECT {', '.join(columns)} FROM {named} AT (VERSION => {int(snapshot)}))"

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
        with closing(self.cursor()) as cursor:
            try:
                return cursor.execute(sql.replace("METADATA", self._attached.metadata), parameters).fetchall()
            except duckdb.Error as error:
                raise self.told(error) from error

    def told(self, error: Exception) -> StoreError:
        """Return the error of the store for one of DuckDB, Arrow or the system, with what to do."""
        return as_store_error(error, self._place.root) or super().told(error)

    def change_all_metadata(self, statements: Sequence[tuple[str, pa.Table | None]]) -> None:
        """Execute statements of trusted SQL on DuckLake's own tables in one transaction, under the commit lock.

        Args:
            statements: each with the rows that it names as ``given``, if it names any.

        Raises:
            CatalogUnavailableError: DuckDB refused one; nothing was changed.
        """
        with self.locked(), closing(self.cursor()) as cursor:
            try:
                cursor.execute("BEGIN TRANSACTION")
                for sql, given in statements:
                    if given is not None:
                        cursor.register("given", given)
                    cursor.execute(sql.replace("METADATA", self._attached.metadata))
                cursor.execute("COMMIT")
            except BaseException as error:
                _roll_back(cursor)
                told = not_committed(error, self._place.backend, self._place.root)
                if told is error:
                    raise
                raise told from error

    @functools.cached_property
    def table_ids(self) -> Mapping[str, int]:
        """The number of each table by its name."""
        return dict(self.metadata("SELECT table_name, table_id FROM METADATA.ducklake_table"))

    def change_metadata(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Execute trusted SQL on DuckLake's own tables under the commit lock, which makes no snapshot.

        Raises:
            CatalogUnavailableError: DuckDB refused the statement; nothing was changed.
        """
        with self.locked():
            self.metadata(sql, parameters)

    def expire(self, versions: Sequence[int]) -> None:
        """Forget snapshots in one step. Files that no other snapshot has are listed for deletion, and stay.

        Raises:
            CatalogUnavailableError: DuckDB refused the statement; nothing was forgotten.
        """
        numbers = ", ".join(str(int(version)) for version in versions)
        with self.locked(), closing(self.cursor()) as cursor:
            expire = f"CALL ducklake_expire_snapshots({quote(self.alias)}, versions => [{numbers}])"
            self.run(cursor, expire)

    def set_compression(self, codec: str) -> None:
        """Set how every process compresses Parquet files from now on.

        Raises:
            CatalogUnavailableError: DuckDB refused it.
        """
        with self.locked(), closing(self.cursor()) as cursor:
            set_codec = f"CALL {quote_name(self.alias)}.set_option('parquet_compression', ?)"
            self.run(cursor, set_codec, parameters=[codec])

    def merge_adjacent(self, cursor: duckdb.DuckDBPyConnection, table: str, target_bytes: int) -> int:
        """Merge files as ``Transaction.merge_files`` does, on the cursor of the transaction."""
        of_table = f"schema => 'main', table_name => {quote(table)}"
        set_target = f"CALL {quote_name(self.alias)}.set_option('target_file_size', ?, {of_table})"
        # DuckLake bounds a merge by this option of the table only, which inserts heed as well: it is set back at once.
        self.run(cursor, set_target, parameters=[f"{target_bytes // 1000}KB"])
        options = "schema => 'main', max_compacted_files => 1"
        merge = f"CALL ducklake_merge_adjacent_files({quote(self.alias)}, {quote(table)}, {options})"
        merged = self.run(cursor, merge)
        self.run(cursor, set_target, parameters=[_TARGET_FILE_SIZE])
        return sum(merged["files_processed"].to_pylist())

    def versions(self) -> list[Version]:
        """Return all snapshots that can be read, the oldest first."""
        return [Version(*row) for row in self.metadata(_VERSIONS)]

    def has_version(self, snapshot: int) -> bool:
        """Return whether a snapshot can be read; an expiry may have removed it."""
        return bool(self.metadata(_KNOWN, {"snapshot": snapshot}))

    def has_table(self, name: str) -> bool:
        """Return whether there is a table of a name at the newest snapshot."""
        return bool(self.metadata(_HAS_TABLE, {"name": name}))

    def at(self, snapshot: int) -> PinnedCatalog:
        """Return the catalog as of a snapshot, for reading.

        Raises:
            UnknownSnapshotError: the store has no such snapshot.
        """
        return PinnedCatalog(self, snapshot)

    def files(self, tables: Sequence[str], snapshot: int) -> dict[str, TableFiles]:
        """Return the columns and Parquet files of tables as of a snapshot.

        Raises:
            UnknownSnapshotError: the store has no such snapshot.
        """
        if not self.has_version(snapshot):
            raise UnknownSnapshotError(f"no version {snapshot} in {self.name}; the newest is {self.newest()}")
        return table_files(self.metadata, self._place.tables / "main", tables, snapshot)

    def sources(self, tables: Sequence[str], snapshot: int) -> Mapping[str, TableSource]:
        """Return what a database without this catalog reads tables from, as of a snapshot.

        Raises:
            UnknownSnapshotError: the store has no such snapshot.
        """
        return self.files(tables, snapshot)

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
        with self.locked(), closing(self.cursor()) as cursor:
            try:
                self._settle_journal()
                cursor.execute("BEGIN TRANSACTION")
                transaction = Transaction(self, cursor)
                yield transaction
                if transaction.changed:
                    said = self._make_durable(transaction, author, message, extra)
                    cursor.execute(f"CALL {quote_name(self.alias)}.set_commit_message(?, ?, extra_info => ?)", said)
                cursor.execute("COMMIT" if transaction.changed else "ROLLBACK")
            except BaseException as error:
                _roll_back(cursor)
                told = not_committed(error, self._place.backend, self._place.root)
                if told is error:
                    raise
                raise told from error
            transaction.snapshot = self.newest(cursor)

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

    def _make_durable(self, transaction: Transaction, author: str, message: str, extra: Mapping[str, Any]) -> list[str]:
        """Make all that a transaction wrote durable, and what the journal says of it.

        Returns:
            What DuckLake records with the snapshot: author, message, and the provenance with the checksums as JSON.
        """
        recorded, tables, new = dict(extra), self._place.tables, transaction.new_files()
        if isinstance(tables, Path):
            files = [file for of_table in new.values() for file in of_table]
            # Without them, a bit that flips in a reward is another reward.
            recorded[CHECKSUMS_KEY] = {**extra.get(CHECKSUMS_KEY, {}), **file_checksums(files, tables.parent)}
            # DuckLake syncs its catalog, but not the Parquet files that the catalog will name.
            durable = _with_folders(files, tables)
            if self._journal is not None:
                added = {
                    table: [JournalFile(Path(file).name) for file in sorted(of_table)]
                    for table, of_table in new.items()
                    if of_table and table not in transaction.merged
                }
                created = time.time_ns() // 1000
                self._journal.append(JournalEntry(transaction.snapshot + 1, created, author, message, recorded, added))
                durable.append(self._journal.path)
            self._sync(durable)
        return [author, message, json.dumps({CHECKSUMS_KEY: {}, **recorded})]

    def _settle_journal(self) -> None:
        """See once that the journal continues the catalog; the caller holds the lock.

        An older release, or another program, may have written without it: then it is written anew. What a catalog that
        was set back to a backup does not know is kept. It is not done by opening: a catalog in whose place another was
        put may need the journal yet.
        """
        if self._journal is None or self._journal_settled:
            return
        newest, recorded = self.newest(), self._journal.newest()
        if recorded is not None and recorded > newest + 1:
            self._journal.keep_aside(self._place.root / "backups", recorded)
        # A COMMIT that was cut off leaves one line more than there are snapshots.
        if recorded is None or not newest <= recorded <= newest + 1:
            self._rewrite(self._journal)
        self._journal_settled = True

    def rewrite_journal(self) -> None:
        """Write the journal anew from the catalog, so that it names no file which the catalog does not name.

        Raises:
            StoreError: the catalog cannot be read, or the disk refused.
        """
        if self._journal is not None:
            with self.locked():
                self._settle_journal()
                self._rewrite(self._journal)

    def _rewrite(self, journal: Journal) -> None:
        journal.rewrite(entries_of(self.versions(), self.metadata(_JOURNALLED)))

    def _without_rows(self, snapshot: int) -> Mapping[str, Sequence[Column]]:
        """Return the columns of each table that has no row at a snapshot.

        DuckLake has no statistics of such a table, and looks for them in its catalog once for each column: to read
        nothing takes it several times as long as to read a table of rows.
        """
        if (known := self._empty.get(snapshot)) is None:
            if len(self._empty) >= _MOST_REMEMBERED:
                self._empty.clear()
            known = self._empty[snapshot] = empty_tables(self.metadata, snapshot)
        return known

    @functools.cached_property
    def _last_change(self) -> int:
        """The snapshot at which a table last got columns: at later ones, every table has all of its columns."""
        return int(self.metadata("SELECT max(begin_snapshot) FROM METADATA.ducklake_column")[0][0] or 0)

    def parquet_files(self, table: str) -> set[str]:
        """Return the paths of a table's files, of whatever snapshot, as strings, since there may be thousands.

        There are none in an object store, which makes files durable itself and keeps their checksums.
        """
        folder = self._place.tables / "main" / table
        # DuckLake makes the folder with the first file.
        return {f"{folder}{os.sep}{name}" for name in names_on_disk(folder)}

    def identity(self) -> str | None:
        """Return the uuid of the store whose catalog this is; None of a store of an older release."""
        found = self.metadata(_IDENTITY)
        return str(found[0][0]) if found else None

    def set_identity(self, uuid: str) -> None:
        """Record whose catalog this is, unless it says so already."""
        with self.locked():
            if self.identity() is None:
                self.metadata(_SET_IDENTITY, {"uuid": uuid})


# Times as numbers: SQLite keeps them as text with a zone, which DuckDB hands to Python only with the help of pytz.
_VERSIONS = """SELECT snapshot_id, epoch_us(snapshot_time::TIMESTAMPTZ), author, commit_message, commit_extra_info
    FROM METADATA.ducklake_snapshot LEFT JOIN METADATA.ducklake_snapshot_changes USING (snapshot_id)
    ORDER BY snapshot_id"""
_JOURNALLED = """SELECT table_name, part.path, part.begin_snapshot, part.partial_max
    FROM METADATA.ducklake_data_file AS part JOIN METADATA.ducklake_table AS whole USING (table_id)
    WHERE part.end_snapshot IS NULL AND whole.end_snapshot IS NULL ORDER BY data_file_id"""
_IDENTITY = "SELECT value FROM METADATA.ducklake_metadata WHERE key = 'molbuffer_store' AND scope IS NULL"
_SET_IDENTITY = "INSERT INTO METADATA.ducklake_metadata (key, value) VALUES ('molbuffer_store', $uuid)"
_HAS_TABLE = "SELECT table_id FROM METADATA.ducklake_table WHERE table_name = $name AND end_snapshot IS NULL"
_KNOWN = "SELECT snapshot_id FROM METADATA.ducklake_snapshot WHERE snapshot_id = $snapshot"


# What DuckLake calls the snapshot that added a row.
_VERSION_COLUMN = Column("snapshot_id", "BIGINT")


def _one(cursor: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = cursor.execute(sql).fetchone()
    if row is None:
        raise CatalogUnavailableError(f"DuckDB returned no row for {sql}")
    return int(row[0])


def _roll_back(cursor: duckdb.DuckDBPyConnection) -> None:
    try:
        cursor.execute("ROLLBACK")
    except duckdb.TransactionException:
        # A failed COMMIT has ended the transaction already.
        return


def _with_folders(files: Iterable[str], root: Path) -> list[Path]:
    """Return the files and every folder from theirs up to ``root``: a file is durable when all that name it are."""
    paths = [Path(file) for file in files]
    folders = {folder for path in paths for folder in path.parents if folder.is_relative_to(root)}
    return [*paths, *folders]
