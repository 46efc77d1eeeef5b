"""The attachment of a store's catalog to the DuckDB database of this process.

Every process has one in-memory DuckDB database, in which each open store attaches its catalog under an alias of its
own. A cursor is a connection: every read and every transaction takes a fresh one, so that any number of threads read
while one commits.

POSIX drops all of a process's locks on a file when any descriptor of it is closed there. Nothing but DuckDB may
therefore open ``catalog.sqlite`` in a process that may hold it: no copying, no hashing, no ``sqlite3``.
"""

from __future__ import annotations

import os
import time
from contextlib import closing, nullcontext
from uuid import uuid4

import duckdb

from molbuffer.storage.backends.base import CatalogPlace
from molbuffer.storage.backends.duckdb_errors import lost, moved, not_attached
from molbuffer.storage.backends.engine import engine, load, quote_name, reach
from molbuffer.storage.backends.second_path import second_path
from molbuffer.storage.backends.sqlite import BUSY_MILLISECONDS
from molbuffer.storage.errors import StoreBusyError, StoreModeError

_RETRY_SECONDS = 0.05


class Attachment:
    """A catalog that is attached until ``close``.

    Args:
        place: the place of the catalog.
        read_only: whether the catalog is attached for reading only.
        create: whether a missing catalog is made, which only the making of a store may do.
        guarded: whether the Parquet files are protected when the answer to a COMMIT is lost (``second_path``).

    Attributes:
        alias: the name of the catalog's database in DuckDB.
        metadata: the name of the database in which DuckLake keeps its own tables.

    Raises:
        CatalogLostError: there is no catalog.
        CatalogDamagedError: the catalog is damaged.
        CatalogUnavailableError: the catalog cannot be attached.
    """

    def __init__(self, place: CatalogPlace, *, read_only: bool, create: bool = False, guarded: bool = False) -> None:
        self.alias = f"lake_{uuid4().hex}"
        self.metadata = place.backend.own_tables(self.alias)
        self._place = place
        self._process_id = os.getpid()
        self._closed = False
        self._path = second_path(place.tables, engine(self._process_id)) if guarded else None
        self._attach(read_only, create)
        self._identity = place.backend.identity()
        self._keeper = self._keep_open()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a new connection, which the caller closes.

        Raises:
            StoreModeError: the store is closed, or was opened before this process was forked.
            StoreMovedError: the file of the catalog was moved, removed or replaced.
        """
        self.check_there()
        return engine(self._process_id).cursor()

    def commit(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Commit the transaction of a cursor.

        Raises:
            duckdb.Error: the COMMIT failed; if the answer of a server was lost, the COMMIT may be done all the same.
        """
        with nullcontext() if self._path is None else self._path.closed():
            cursor.execute("COMMIT")

    def check_there(self) -> None:
        """Refuse to use a store that is closed or was moved, since writing would make its folder again.

        Raises:
            StoreModeError: the store is closed, or was opened before this process was forked.
            StoreMovedError: the file of the catalog was moved, removed or replaced.
        """
        if self._closed:
            raise StoreModeError(f"the store at {self._place.root} is closed; open it again")
        if self._process_id != os.getpid():
            raise StoreModeError(
                f"the store at {self._place.root} was opened by process {self._process_id} and cannot be "
                f"used in its fork {os.getpid()}: spawn processes, and open the store in each"
            )
        if self._place.backend.identity() != self._identity:
            raise moved(self._place.root)

    def close(self) -> None:
        """Detach the catalog; a second call does nothing."""
        if not self._closed and self._process_id == os.getpid():
            self._keeper.close()
            with closing(engine(self._process_id).cursor()) as cursor:
                cursor.execute(f"DETACH {quote_name(self.alias)}")
            if self._path is not None:
                self._path.remove()
        self._closed = True

    def _attach(self, read_only: bool, create: bool) -> None:
        reason = None if create else self._place.backend.lost()
        if reason is not None:
            raise lost(self._place.backend, self._place.root, reason)
        database = engine(self._process_id)
        for extension in self._place.backend.extensions:
            load(database, extension)
        tables = self._place.tables if self._path is None else self._path.path
        statement = self._place.backend.attach_sql(self.alias, str(tables), read_only=read_only, create=create)
        give_up = time.monotonic() + BUSY_MILLISECONDS / 1000
        with closing(database.cursor()) as cursor:
            reach(cursor, self._place.tables)
            while True:
                try:
                    cursor.execute(statement)
                    return
                except duckdb.Error as error:
                    told = not_attached(error, self._place.backend, self._place.root, read_only=read_only)
                    # SQLite waits for locks, except when it makes the log of a catalog that was copied without one.
                    if not isinstance(told, StoreBusyError) or time.monotonic() > give_up:
                        raise told from error
                time.sleep(_RETRY_SECONDS)

    def _keep_open(self) -> duckdb.DuckDBPyConnection:
        """Begin a transaction that reads nothing and lasts until the store is closed.

        DuckDB opens the catalog anew for every transaction. The last connection to a SQLite catalog writes the log into
        it when it closes, syncs both and removes the log, while new connections wait: up to a second when a reader and
        a writer are the last in turn. With one permanent transaction, no other connection is the last.
        """
        keeper = engine(self._process_id).cursor()
        statement = self._place.backend.keep_open_sql(self.alias)
        if statement is not None:
            keeper.execute("BEGIN TRANSACTION")
            keeper.execute(statement)
        return keeper
