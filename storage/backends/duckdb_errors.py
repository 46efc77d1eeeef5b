"""Errors of DuckDB, SQLite, Postgres, Arrow and the system as errors of the store.

Most of them have no classes, and DuckDB has what others told it in the text: only here are texts looked at.
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
# What stands in the error when another commit came first: DuckLake is told not to try again by itself.
_IN_THE_WAY = (_LOCKED, "ducklake_max_retry_count", "Transaction conflict")
# What DuckDB, the client of Postgres, or that of an object store says of a server that does not answer.
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
    """Return the commands that say what is damaged and that make a catalog anew."""
    store = shlex.quote(str(root))
    return (
        f"`molbuffer verify --store {store}` says what is damaged, `molbuffer recover {store}` makes the catalog anew"
    )


def lost(backend: Backend, root: Path, reason: str) -> CatalogLostError:
    """Return the error for a store that has its data and not its catalog."""
    how = {
        "missing": f"the catalog {backend} is missing",
        "empty": f"the catalog {backend} is empty",
        "foreign": f"the catalog {backend} is that of another store",
    }[reason]
    if backend.journal is None:
        can = "restore the schema from a backup of the database (pg_dump, or a schema that `molbuffer migrate` kept)"
    else:
        can = (
            "put the file back if it was moved, with those of its name that end in -wal and -shm; otherwise `molbuffer "
            f"recover {shlex.quote(str(root))}` makes it anew from the store's files, or restores a backup"
        )
    return CatalogLostError(f"{how}, while the data of the store {root} is there. Nothing was changed: {can}", reason)


def not_attached(error: duckdb.Error, backend: Backend, root: Path, *, read_only: bool) -> StoreError:
    """Return the error for a catalog that cannot be attached: ``StoreBusyError`` when it may be a moment later."""
    text = str(error)
    if _LOCKED in text:
        return StoreBusyError(f"another program has locked {backend}; is one hanging?")
    if _OTHER_DUCKLAKE in text:
        return StoreFormatError(
            f"the catalog {backend} was written by another release of DuckLake, which this release of molbuffer does "
            f"not read: use the one that wrote it. {one_line(error)}"
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
    """Return the error for a transaction that failed; one that is not about the store stays as it is.

    ``StoreBusyError`` when another commit was in the way, after which it can be tried again.
    """
    if isinstance(error, duckdb.Error) and any(words in str(error) for words in _IN_THE_WAY):
        return StoreBusyError(f"another program was writing to {backend}: {one_line(error)}")
    if isinstance(error, OSError):
        return unwritten(root, error)
    if isinstance(error, (duckdb.Error, StoreError)) and system_advice(error) is not None:
        return unwritten(root, error)
    return as_store_error(error, root) or error


def unwritten(root: Path, error: BaseException) -> StoreError:
    """Return the error for a commit that the disk refused, or whose store is no longer there."""
    if _gone(root):
        return moved(root)
    why = system_advice(error) or "Remedy that, then try again"
    return StoreWriteError(
        f"the system refused to write to the store {root}, and nothing of this commit is visible; what was "
        f"acknowledged before is safe. {why}. The system said: {one_line(error)}",
        system_number(error),
    )


def as_store_error(error: BaseException, root: Path | None) -> StoreError | None:
    """Return the error of the store for one of DuckDB, SQLite, Postgres, Arrow or the system.

    Args:
        error: what was raised.
        root: the folder of the store; None where there is none yet.

    Returns:
        None for any other error, also for one of the store.
    """
    if isinstance(error, StoreError) or not isinstance(error, (OSError, *_of_engines())):
        return None
    # A file of the caller that is not there: the system and the engines say more than that it is missing.
    if type(error) is FileNotFoundError and error.errno is None:
        return None
    text, store = one_line(error), "" if root is None else f" of the store {root}"
    if root is not None and _gone(root):
        return moved(root)
    if (why := system_advice(error)) is not None:
        return StoreFileError(f"the system refused to use a file{store}: {text}. {why}", system_number(error))
    # Arrow, and the client of an object store, raise theirs without a number.
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
    """Return the error for a store that is no longer where it was opened."""
    return StoreMovedError(
        f"the store {root} was moved, removed or replaced while it was open, and nothing was written there: open it "
        "again, where it is now. What was acknowledged before is in the folder that was moved"
    )


def _of_engines() -> tuple[type[Exception], ...]:
    """Return the roots of the errors of the engines; those of Postgres only when its client was imported."""
    psycopg: Any = sys.modules.get("psycopg")
    return (duckdb.Error, sqlite3.Error, pa.ArrowException, *([psycopg.Error] if psycopg is not None else []))


def _gone(root: Path) -> bool:
    """Return whether there is no store, no archive and no beginning of a store at a path."""
    return not any((root / name).exists() for name in ("store.toml", "archive.json", "catalog.sqlite", "commit.lock"))
