"""Where DuckLake keeps a store's catalog: in a SQLite file of the store's folder, or in a schema of Postgres.

Either keeps all of a version or nothing, and numbers the versions with a primary key, so that of two transactions that
began from one version only one commits (``Catalog.transact`` begins the other again). What differs is how writers
queue, so that they need not fail and begin again, and where claims on expensive scores are kept.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from molbuffer.storage.backends import postgres
from molbuffer.storage.backends.claims import ScoreClaims, SqliteClaims
from molbuffer.storage.backends.engine import quote
from molbuffer.storage.errors import StoreBusyError, StorePlaceError
from molbuffer.storage.files.places import PRIVATE_FILE, Place

BUSY_MILLISECONDS = 60_000
_POLL_SECONDS = 0.001


class Lock(Protocol):
    """Something that one holder has at a time, of all processes that use a store."""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Holds it.

        Raises:
            StoreBusyError: others had it for too long. OSError: the disk refused.
        """
        yield


class Backend(Protocol):
    """What the catalog needs to know of the database that it is kept in."""

    @property
    def extensions(self) -> tuple[str, ...]:
        """DuckDB's extensions for it, beside DuckLake."""

    def attach_sql(self, alias: str, tables: str, *, read_only: bool) -> str:
        """The statement that attaches the catalog under a name; ``tables`` is where the Parquet files are."""

    def keep_open_sql(self, alias: str) -> str | None:
        """A statement that opens the catalog in a transaction and locks nothing; None when that gains nothing."""

    def own_tables(self, alias: str) -> str:
        """What names the database in which DuckLake keeps its own tables, once the catalog is attached."""

    def writers(self, seconds: float) -> Lock:
        """The lock around commits; ``seconds`` is how long others are waited for."""

    def maintainers(self) -> Lock:
        """The lock around maintenance, for which nobody waits."""

    def archiving(self, pin: Place) -> Lock:
        """The lock that the process holds which makes the archive of a pin (``molbuffer.storage.maintenance.pins``)."""

    def claims(self, refusal: str | None) -> ScoreClaims:
        """Who is computing which expensive score."""

    def unreadable(self) -> StorePlaceError | None:
        """Why the catalog cannot be attached for reading, when the place is to blame."""


def attach_statement(source: str, alias: str, tables: str, options: list[str]) -> str:
    """The ATTACH of any backend."""
    options = [
        f"DATA_PATH {quote(tables.rstrip('/') + '/')}",
        # A moved folder's catalog names the place where it was made.
        "OVERRIDE_DATA_PATH true",
        # Every row goes to a Parquet file: those are what a query connection without the catalog can read.
        "DATA_INLINING_ROW_LIMIT 0",
        *options,
    ]
    return f"ATTACH {quote(f'ducklake:{source}')} AS {alias} ({', '.join(options)})"


@dataclass(frozen=True)
class SqliteBackend:
    """A catalog in a SQLite file, for the processes of one host.

    Attributes:
        database: the file. lock, maintenance_lock, claims_file: others beside it.
    """

    database: Path

    extensions: tuple[str, ...] = ("sqlite_scanner",)

    def __str__(self) -> str:
        return str(self.database)

    @property
    def lock(self) -> Path:
        return self.database.with_name("commit.lock")

    @property
    def maintenance_lock(self) -> Path:
        return self.database.with_name("maintenance.lock")

    @property
    def claims_file(self) -> Path:
        return self.database.with_name("claims.sqlite")

    def attach_sql(self, alias: str, tables: str, *, read_only: bool) -> str:
        # Setting the journal mode writes, which a reader on a read-only disk cannot.
        mode = "READ_ONLY" if read_only else "META_JOURNAL_MODE 'WAL'"
        options = [f"META_BUSY_TIMEOUT {BUSY_MILLISECONDS}", mode]
        return attach_statement(f"sqlite:{self.database}", alias, tables, options)

    def keep_open_sql(self, alias: str) -> str | None:
        return f"USE {self.own_tables(alias)}"

    def own_tables(self, alias: str) -> str:
        return f"__ducklake_metadata_{alias}"

    def writers(self, seconds: float) -> Lock:
        # DuckDB fails the transaction that finds a SQLite catalog busy, so writers queue here instead.
        return _FileLock(self.lock, seconds)

    def maintainers(self) -> Lock:
        return _FileLock(self.maintenance_lock, 0)

    def archiving(self, pin: Place) -> Lock:
        return _FileLock(self.database.with_name(pin.name), 0)

    def claims(self, refusal: str | None) -> ScoreClaims:
        return SqliteClaims(self.claims_file, refusal=refusal)

    def unreadable(self) -> StorePlaceError | None:
        if os.access(self.database.parent, os.W_OK):
            return None
        return StorePlaceError(
            f"{self.database.parent} cannot be written to, and SQLite reads a catalog that is written to only where "
            "it can make files beside it: copy the folder, or read an archive of the store"
        )


@dataclass(frozen=True)
class PostgresBackend:
    """A catalog in a schema of a Postgres database, for writers on any number of hosts.

    Attributes:
        uri: of the database, without a password. schema: what the store's tables are in.
    """

    uri: str
    schema: str

    extensions: tuple[str, ...] = ("postgres_scanner",)

    def __str__(self) -> str:
        return f"{self.uri} (schema {self.schema})"

    def attach_sql(self, alias: str, tables: str, *, read_only: bool) -> str:
        options = [f"META_SCHEMA {quote(self.schema)}", *(["READ_ONLY"] if read_only else [])]
        return attach_statement(f"postgres:{self.uri}", alias, tables, options)

    def keep_open_sql(self, alias: str) -> str | None:
        return None

    def own_tables(self, alias: str) -> str:
        return f"__ducklake_metadata_{alias}.{self.schema}"

    def writers(self, seconds: float) -> Lock:
        return postgres.AdvisoryLock(self.uri, self.schema, "commits", seconds)

    def maintainers(self) -> Lock:
        return postgres.AdvisoryLock(self.uri, self.schema, "maintenance", 0)

    def archiving(self, pin: Place) -> Lock:
        return postgres.AdvisoryLock(self.uri, self.schema, pin.name, 0)

    def claims(self, refusal: str | None) -> ScoreClaims:
        return postgres.PostgresClaims(self.uri, self.schema, refusal=refusal)

    def unreadable(self) -> StorePlaceError | None:
        return None


class _FileLock:
    """A lock on a file, between processes of one host.

    The file stays: removing it would let two processes lock two files of one name. A pin is removed by who holds it,
    since nobody takes a lock of its name again.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self._path = path
        self._lock = FileLock(path, timeout=seconds, mode=PRIVATE_FILE, thread_local=False)

    @contextmanager
    def held(self) -> Iterator[None]:
        try:
            self._lock.acquire(poll_interval=_POLL_SECONDS)
        except Timeout as error:
            raise StoreBusyError(
                f"{self._path} was held by other processes for {self._lock.timeout:g} s; is one hanging?"
            ) from error
        try:
            yield
        finally:
            self._lock.release()
