"""Errors of DuckDB, SQLite, Postgres and the system as errors of the store.

DuckDB has no error classes for most of them, and has what others told it in the text: only here are texts looked at.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from molbuffer.storage.backends.base import Backend
from molbuffer.storage.backends.engine import one_line
from molbuffer.storage.errors import (
    CatalogUnavailableError,
    StoreBusyError,
    StoreError,
    StoreFormatError,
    StoreWriteError,
)
from molbuffer.storage.files import system_advice

_OTHER_DUCKLAKE = "catalog version mismatch"
_LOCKED = "database is locked"
# What stands in the error when another commit came first: DuckLake is told not to try again by itself.
_IN_THE_WAY = (_LOCKED, "ducklake_max_retry_count", "Transaction conflict")


def not_attached(error: duckdb.Error, backend: Backend, *, read_only: bool) -> StoreError:
    """Return the error for a catalog that cannot be attached: ``StoreBusyError`` when it may be a moment later."""
    if _LOCKED in str(error):
        return StoreBusyError(f"another program has locked {backend}; is one hanging?")
    if _OTHER_DUCKLAKE in str(error):
        return StoreFormatError(
            f"the catalog {backend} was written by another release of DuckLake, which this release of molbuffer does "
            f"not read: use the one that wrote it. {one_line(error)}"
        )
    if read_only and (reason := backend.unreadable()) is not None:
        return reason
    advice = system_advice(error)
    return CatalogUnavailableError(
        f"the catalog {backend} cannot be attached: {one_line(error)}{f'. {advice}' if advice else ''}"
    )


def not_committed(error: BaseException, backend: Backend, root: Path) -> BaseException:
    """Return the error for a transaction that failed; one that is not about the store stays as it is.

    ``StoreBusyError`` when another commit was in the way, after which it can be tried again.
    """
    text = str(error)
    if isinstance(error, OSError) or (
        isinstance(error, (duckdb.Error, StoreError)) and system_advice(error) is not None
    ):
        return unwritten(root, error)
    if not isinstance(error, duckdb.Error):
        return error
    if any(words in text for words in _IN_THE_WAY):
        return StoreBusyError(f"another program was writing to {backend}: {one_line(error)}")
    return CatalogUnavailableError(f"a transaction on {backend} failed: {error}")


def unwritten(root: Path, error: BaseException) -> StoreWriteError:
    """Return the error for a commit that the system refused."""
    advice = system_advice(error) or "Remedy that, then try again"
    return StoreWriteError(
        f"the system refused to write to the store {root}, and nothing of this commit is visible; what was "
        f"acknowledged before is safe. {advice}. The system said: {one_line(error)}"
    )
