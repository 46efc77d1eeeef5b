"""A catalog in a SQLite file, for the processes of one host: its locks, its claims, and unsafe file systems."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from molbuffer.storage.backends.base import (
    LONGEST_CLAIM_SECONDS,
    ClaimHolder,
    Lock,
    ScoreClaims,
    attach_statement,
    check_claim,
)
from molbuffer.storage.backends.duckdb_errors import moved
from molbuffer.storage.backends.waiting import file_holder, wait_for
from molbuffer.storage.errors import CatalogUnavailableError, StoreModeError, StorePlaceError
from molbuffer.storage.files import PRIVATE_FILE, Place

BUSY_MILLISECONDS = 60_000


_POLL_SECONDS = 0.001


@dataclass(frozen=True)
class SqliteBackend:
    """A catalog in a SQLite file, for the processes of one host.

    Attributes:
        database: the path of the file.
        extensions: the DuckDB extensions that the database needs.
        loses_answers: whether a COMMIT can succeed and seem to fail; false for a file.
    """

    database: Path

    extensions: tuple[str, ...] = ("sqlite_scanner",)
    loses_answers: bool = False

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

    @property
    def journal(self) -> Path | None:
        return self.database.with_name("journal.jsonl")

    def lost(self) -> str | None:
        # The file is not opened: closing it would drop the locks that this process has on it.
        try:
            return None if self.database.stat().st_size else "empty"
        except (FileNotFoundError, NotADirectoryError):
            return "missing"

    def identity(self) -> tuple[int, ...] | None:
        try:
            found = self.database.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return found.st_dev, found.st_ino

    def attach_sql(self, alias: str, tables: str, *, read_only: bool, create: bool = False) -> str:
        # A reader does not set the journal mode, since that writes, which fails on a read-only disk.
        mode = "READ_ONLY" if read_only else "META_JOURNAL_MODE 'WAL'"
        options = [f"META_BUSY_TIMEOUT {BUSY_MILLISECONDS}", mode]
        return attach_statement(f"sqlite:{self.database}", alias, tables, options, create=create)

    def keep_open_sql(self, alias: str) -> str | None:
        return f"USE {self.own_tables(alias)}"

    def own_tables(self, alias: str) -> str:
        return f"__ducklake_metadata_{alias}"

    def writers(self, seconds: float) -> Lock:
        # In DuckDB, a transaction that finds a SQLite catalog busy fails, so that writers queue here instead.
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
            f"{self.database.parent} cannot be written to, but SQLite must make files beside a catalog in order to "
            "read it: copy the folder, or read an archive of the store"
        )


class _FileLock:
    """A lock on a file, between processes of one host.

    The file is kept: after its removal, two processes could lock two files of one name. The file of a pin is an
    exception: its holder removes it, since no process takes a lock of that name again.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self._path = path
        self._seconds = seconds
        self._lock = FileLock(path, mode=PRIVATE_FILE, thread_local=False)

    @contextmanager
    def held(self) -> Iterator[None]:
        # Taking the lock would make the folder of a moved store again.
        if not self._path.parent.is_dir():
            raise moved(self._path.parent)
        wait_for(str(self._path), self._take, self._seconds, lambda: file_holder(self._path))
        try:
            yield
        finally:
            self._lock.release()

    def _take(self, seconds: float) -> bool:
        try:
            self._lock.acquire(timeout=seconds, poll_interval=_POLL_SECONDS)
        except Timeout:
            return False
        return True


_BUSY_SECONDS = 60.0
_TABLE = """CREATE TABLE IF NOT EXISTS claims (
    component TEXT, version TEXT, smiles TEXT, owner TEXT NOT NULL, expires REAL NOT NULL,
    PRIMARY KEY (component, version, smiles)
) WITHOUT ROWID"""


class SqliteClaims:
    """Claims in a SQLite file, for the processes of one host.

    The file stays open, since opening it for each claim would wait for the disk each time.

    Args:
        path: the path of the file, which the first claim makes.
        clock: a function that returns the seconds since the epoch; all processes that share claims must use one clock.
        refusal: the text of the error for each use of the claims of a read-only store; None for a writable store.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time, refusal: str | None = None) -> None:
        self._path = path
        self._refusal = refusal
        self._clock = clock
        self._threads = threading.Lock()
        self._opened: sqlite3.Connection | None = None
        self._opened_as: tuple[int, int, int] | None = None

    def close(self) -> None:
        with self._threads:
            self._close()

    def claim(self, component: str, version: str, smiles: Sequence[str], owner: str, seconds: float) -> set[str]:
        check_claim(seconds)
        with self._transaction() as connection:
            instant = self._clock()
            connection.execute(
                "DELETE FROM claims WHERE expires <= ? OR expires > ?", [instant, instant + LONGEST_CLAIM_SECONDS]
            )
            connection.executemany(
                "INSERT INTO claims VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET expires = excluded.expires "
                "WHERE owner = excluded.owner",
                [(component, version, text, owner, instant + seconds) for text in set(smiles)],
            )
            mine = connection.execute(
                "SELECT smiles FROM claims WHERE component = ? AND version = ? AND owner = ?",
                [component, version, owner],
            )
            return set(smiles) & {text for (text,) in mine}

    def holders(self, component: str, version: str, smiles: Sequence[str]) -> dict[str, ClaimHolder]:
        with self._transaction() as connection:
            instant = self._clock()
            found = connection.execute(
                "SELECT smiles, owner, expires FROM claims WHERE component = ? AND version = ? "
                "AND expires > ? AND expires <= ?",
                [component, version, instant, instant + LONGEST_CLAIM_SECONDS],
            )
            held = {text: ClaimHolder(owner, expires - instant) for text, owner, expires in found}
        return {text: held[text] for text in smiles if text in held}

    def release(self, component: str, version: str, smiles: Sequence[str], owner: str) -> None:
        with self._transaction() as connection:
            connection.executemany(
                "DELETE FROM claims WHERE component = ? AND version = ? AND smiles = ? AND owner = ?",
                [(component, version, text, owner) for text in set(smiles)],
            )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if self._refusal is not None:
            raise StoreModeError(self._refusal)
        if not self._path.parent.is_dir():
            raise moved(self._path.parent)
        with self._threads:
            try:
                connection = self._connection()
                # IMMEDIATE takes the write lock first: two transactions that read before they write would block.
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException as error:
                self._close()
                if isinstance(error, sqlite3.Error | OSError):
                    raise CatalogUnavailableError(f"the claims {self._path} cannot be used: {error}") from error
                raise

    def _connection(self) -> sqlite3.Connection:
        """Return the connection of this process to the file that now has the path."""
        if self._opened is None or self._opened_as != self._identity():
            self._close()
            self._opened = sqlite3.connect(
                self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            if self._path.stat().st_size == 0:
                self._path.chmod(PRIVATE_FILE)
            # Claims need not survive a power cut, which also ends their scorers: with a write-ahead log, no claim waits
            # for the disk. If other processes use the file, the mode cannot be changed now, which is no error.
            with suppress(sqlite3.OperationalError):
                self._opened.execute("PRAGMA journal_mode = WAL")
            self._opened.execute("PRAGMA synchronous = NORMAL")
            self._opened.execute(_TABLE)
            self._opened_as = self._identity()
        return self._opened

    def _identity(self) -> tuple[int, int, int] | None:
        """Return the process number and the file's identity in the file system; None if there is no file."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        return os.getpid(), status.st_dev, status.st_ino

    def _close(self) -> None:
        if self._opened is not None:
            self._opened.close()
        self._opened = self._opened_as = None


# SQLite's write-ahead log needs memory that all readers and writers share: these file systems lose a catalog silently.
_NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "gpfs", "beegfs", "9p"}
    | {"fuse.sshfs", "fuse.glusterfs", "fuse.s3fs"}
)


_MOUNTS = Path("/proc/self/mountinfo")


def refuse_network_file_system(path: Path) -> None:
    """Refuse a place in which SQLite's write-ahead log would lose data.

    Raises:
        StorePlaceError: the path is on a network file system.
    """
    kind = file_system_of(path)
    if kind in _NETWORK_FILE_SYSTEMS:
        raise StorePlaceError(
            f"{path} is on a network file system ({kind}), on which SQLite catalogs are lost when two hosts write: "
            "put the store on a local disk (a Postgres catalog serves several hosts)"
        )


def file_system_of(path: Path, mounts: Path = _MOUNTS) -> str | None:
    """Return the type of the file system that holds a path; None if it is not known, as on systems other than Linux."""
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return None
    best, kind, resolved = -1, None, path.resolve()
    for line in lines:
        # mountinfo(5): the mount point is the fifth field, the type is the first one after a lone hyphen.
        before, _, after = line.partition(" - ")
        mount = Path(before.split()[4].replace("\\040", " "))
        if resolved.is_relative_to(mount) and len(mount.parts) >= best:
            best, kind = len(mount.parts), after.split()[0]
    return kind
