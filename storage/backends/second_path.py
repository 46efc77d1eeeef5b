"""A second path to the Parquet files of a store, which is closed while a COMMIT runs.

When a COMMIT fails, DuckLake removes the Parquet files that its transaction wrote. If a server crashes, or the network
fails, the answer to a successful COMMIT can be lost: DuckLake would then remove files that the catalog names, and their
table could no longer be read. Transactions on a server therefore reach the files by a path of their own, which leads to
no files while the COMMIT runs. The files of a failed COMMIT are found by the next attempt, or removed by a vacuum.
"""

from __future__ import annotations

import os
import shutil
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Protocol

import duckdb

from molbuffer.storage.backends.engine import object_secrets
from molbuffer.storage.files import ObjectPath, Place


class SecondPath(Protocol):
    """A path to the files at a place, for the transactions of this process alone.

    Attributes:
        path: the path as a text for DuckDB.
    """

    path: str

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Make the path lead to no files for the time of the context."""
        yield

    @property
    def remove(self) -> Callable[[], object]:
        """A function that removes the path and leaves the files."""


def second_path(place: Place, database: duckdb.DuckDBPyConnection) -> SecondPath:
    """Return a second path to the files at a place, for a DuckDB database that can already reach the place.

    Raises:
        OSError: the symbolic link cannot be made.
        StorePlaceError: the place needs credentials, which the environment does not have.
    """
    return _Link(place) if isinstance(place, Path) else _Alias(place, database)


class _Link:
    """A symbolic link to a folder, which does not exist while the path is closed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        within = mkdtemp(prefix="molbuffer-")
        self._link = Path(within, "tables")
        self._link.symlink_to(self._folder)
        self.path = str(self._link)
        # The finalizer also runs at the end of a process that has not closed its store.
        self.remove = weakref.finalize(self, _remove_folder, within, os.getpid())

    @contextmanager
    def closed(self) -> Iterator[None]:
        self._link.unlink()
        try:
            yield
        finally:
            self._link.symlink_to(self._folder)


def _remove_folder(folder: str, process_id: int) -> None:
    """Remove the folder of a link, unless this process is a fork of the one that made it."""
    if os.getpid() == process_id:
        shutil.rmtree(folder, ignore_errors=True)


class _Alias:
    """The place under the scheme s3a://, with a DuckDB secret of its own that names no server while it is closed."""

    def __init__(self, place: ObjectPath, database: duckdb.DuckDBPyConnection) -> None:
        self.path = str(place).replace("s3://", "s3a://", 1)
        self._database = database
        self._open, self._shut = object_secrets(place, self.path)
        self._execute(self._open)

    @contextmanager
    def closed(self) -> Iterator[None]:
        self._execute(self._shut)
        try:
            yield
        finally:
            self._execute(self._open)

    def remove(self) -> None:
        """Do nothing: all open stores at the place share this path, and one of them commits at a time."""

    def _execute(self, statement: str) -> None:
        with closing(self._database.cursor()) as cursor:
            cursor.execute(statement)
