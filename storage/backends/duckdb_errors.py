"""Translation of the errors of DuckDB, SQLite, Postgres, Arrow and the system to errors of the store.

Most of these errors have no classes of their own, and DuckDB quotes the errors of other programs in its text. This is
the only module that examines texts of errors.
"""

from __future__ import annotations

import shlex
import sqlite3
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from molbuffer.storage.backends.base import Backend
from molbuffer.storage.backends.engine import one_line
from molbuffer.storage.errors import (
    CatalogDamagedError,
    CatalogLostError,
    CatalogUnavailableError,
    StoreBusyError,
    StoreError,
    StoreFileError,
    StoreFormatError,
    StoreMovedError,
    StoreWriteError,
)
from molbuffer.storage.files import system_advice, system_number

_OTHER_DUCKLAKE = "catalog version mismatch"
_NO_DUCKLAKE = "creating a new DuckLake is explicitly disabled"
_LOCKED = "database is locked"
# The texts of errors when another commit came first, since DuckLake is set not to try again by itself.
_IN_THE_WAY = (_LOCKED, "ducklake_max_retry_count", "Transaction conflict")
# The texts with which DuckDB and the clients of Postgres and object stores report a server that does not answer.
_UNREACHABLE = (
    *(
        "Unable to connect",
        "connection to server",
        "server closed the connection",
        "could not receive data from server",
    ),
    *("terminating connection", "connection timeout", "Could not establish connection", "error sending request"),
    *("Could not connect to server", "the connection is closed", "connection is lost", "Connection timed out"),
)
_DAMAGED = ("is not a database", "is malformed", "malformed database schema", "INTERNAL Error", "previous fatal error")


def advice(root: Path) -> str:
    """Return a sentence with the commands that show the damage and make the catalog anew."""
    store = shlex.quote(str(root))
    return (
        f"`molbuffer verify --store {store}` says what is damaged, `molbuffer recover {store}` makes the catalog anew"
    )


def lost(backend: Backend, root: Path, reason: str) -> CatalogLostError:
    """Return the error for a store that has its data, but not its catalog.

    Args:
        backend: the database of the catalog.
        root: the folder of the store.
        reason: "missing", "empty" or "foreign", as in ``CatalogLostError``.
    """
    how = {
        "missing": f"the catalog {backend} is missing",
        "empty": f"the catalog {backend} is empty",
        "foreign": f"the catalog {backend} is that of another store",
    }[reason]
    if backend.journal is None:
        can = "restore the schema from a backup of the database (pg_dump, or a schema that `molbuffer migrate` kept)"
    else:
        can = (
            "put the file back if it was moved, with the files of the same name that end in -wal and -shm; otherwise "
            f"`molbuffer recover {shlex.quote(str(root))}` makes it anew from the store's files, or restores a backup"
        )
    return CatalogLostError(f"{how}, but the store {root} has its data. Nothing was changed: {can}", reason)


def not_attached(error: duckdb.Error, backend: Backend, root: Path, *, read_only: bool) -> StoreError:
    """Return the error for a catalog that cannot be attached; a ``StoreBusyError`` if another program has locked it."""
    text = str(error)
    if _LOCKED in text:
        return StoreBusyError(f"another program has locked {backend}; end it if it hangs, then try again")
    if _OTHER_DUCKLAKE in text:
        return StoreFormatError(
            f"the catalog {backend} was written by another release of DuckLake, which this release of molbuffer does "
            f"not read: use the release of molbuffer that wrote it. {one_line(error)}"
        )
    if _NO_DUCKLAKE in text:
        return lost(backend, root, "empty")
    if read_only and (reason := backend.unreadable()) is not None:
        return reason
    if (why := system_advice(error)) is not None:
        return CatalogUnavailableError(f"the catalog {backend} cannot be attached: {one_line(error)}. {why}")
    if backend.journal is not None:
        return CatalogDamagedError(f"the catalog {backend} cannot be attached ({one_line(error)}): {advice(root)}")
    return CatalogUnavailableError(f"the catalog {backend} cannot be attached: {one_line(error)}")


def not_committed(error: BaseException, backend: Backend, root: Path) -> BaseException:
    """Return the error for a failed transaction; an error that does not concern the store is returned unchanged.

    The error is a ``StoreBusyError`` if another commit came first; the transaction can then be repeated.
    """
    if isinstance(error, duckdb.Error) and any(words in str(error) for words in _IN_THE_WAY):
        return StoreBusyError(f"another program was writing to {backend}: {one_line(error)}")
    if isinstance(error, OSError):
        return unwritten(root, error)
    if isinstance(error, (duckdb.Error, StoreError)) and system_advice(error) is not None:
        return unwritten(root, error)
    return as_store_error(error, root) or error


def unwritten(root: Path, error: BaseException) -> StoreError:
    """Return the error for a commit that the disk refused, or whose store was moved or removed."""
    if _gone(root):
        return moved(root)
    why = system_advice(error) or "Remedy that, then try again"
    return StoreWriteError(
        f"the system refused to write to the store {root}, and nothing of this commit is visible; what was "
        f"acknowledged before is safe. {why}. The system said: {one_line(error)}",
        system_number(error),
    )


def as_store_error(error: BaseException, root: Path | None) -> StoreError | None:
    """Return the error of the store for an error of DuckDB, SQLite, Postgres, Arrow or the system.

    Args:
        error: the error that was raised.
        root: the folder of the store; None if there is no store yet.

    Returns:
        The error of the store; None for any other error, including errors of the store.
    """
    if isinstance(error, StoreError) or not isinstance(error, (OSError, *_of_engines())):
        return None
    # A FileNotFoundError without a number comes from Python code, for a missing file of the caller: it stays unchanged.
    if type(error) is FileNotFoundError and error.errno is None:
        return None
    text, store = one_line(error), "" if root is None else f" of the store {root}"
    if root is not None and _gone(root):
        return moved(root)
    if (why := system_advice(error)) is not None:
        return StoreFileError(f"the system refused to use a file{store}: {text}. {why}", system_number(error))
    # Arrow and the client of an object store raise an OSError without a number.
    if isinstance(error, OSError) and error.errno is not None:
        what = f"the file {error.filename}" if error.filename else f"a file{store}"
        return StoreFileError(f"{what} cannot be used: {error.strerror or text}", error.errno)
    if _LOCKED in text:
        return StoreBusyError(f"another program has locked the catalog{store}: {text}")
    told = "" if root is None else f". {advice(root)}"
    if any(words in text for words in _DAMAGED):
        return CatalogDamagedError(f"the catalog{store} is damaged: {text}{told}")
    if any(words in text for words in _UNREACHABLE):
        return CatalogUnavailableError(
            f"a server{store} cannot be reached: {text}. What was acknowledged is safe; try again once it answers"
        )
    return CatalogUnavailableError(f"the catalog or the files{store} cannot be used: {text}{told}")


def moved(root: Path) -> StoreMovedError:
    """Return the error for a store that was moved, removed or replaced while it was open."""
    return StoreMovedError(
        f"the store {root} was moved, removed or replaced while it was open, and nothing was written there: open it "
        "again at its new path. Acknowledged commits are in the folder that was moved"
    )


def _of_engines() -> tuple[type[Exception], ...]:
    """Return the base classes of the errors of the engines; that of Postgres only if its client was imported."""
    psycopg: Any = sys.modules.get("psycopg")
    return (duckdb.Error, sqlite3.Error, pa.ArrowException, *([psycopg.Error] if psycopg is not None else []))


def _gone(root: Path) -> bool:
    """Return whether a path has no store, no archive and no partly created store."""
    return not any((root / name).exists() for name in ("store.toml", "archive.json", "catalog.sqlite", "commit.lock"))
