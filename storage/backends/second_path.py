"""A second path to the Parquet files of a store, which leads nowhere while a COMMIT runs.

When a COMMIT fails, DuckLake removes the Parquet files that its transaction wrote. A server that crashes, or a cable
that is pulled, can take the answer of a COMMIT that is done: the catalog then refers to files that are gone, and nobody
can read their table. So transactions on a server reach the files by a path of their own, and nothing is there while
the COMMIT runs. What it leaves is found by the next attempt, or removed by a vacuum.
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
    """A path to the files at a place, beside the one that everybody uses.

    Attributes:
        path: as DuckDB takes it.
    """

    path: str

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Have nothing there for the time of a block."""
        yield

    @property
    def remove(self) -> Callable[[], object]:
        """Removes the path; the files stay."""


def second_path(place: Place, database: duckdb.DuckDBPyConnection) -> SecondPath:
    """Return a second path to the files at a place, for a DuckDB database that reaches the place already.

    Raises:
        OSError: no link can be made.
        StorePlaceError: the place needs credentials, which the environment does not have.
    """
    return _Link(place) if isinstance(place, Path) else _Alias(place, database)


class _Link:
    """A symbolic link to a folder, which is not there while it is closed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        within = mkdtemp(prefix="molbuffer-")
        self._link = Path(within, "tables")
        self._link.symlink_to(self._folder)
        self.path = str(self._link)
        # Also at the end of a process that has not closed its store.
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
    """The other scheme of the S3 protocol, with a secret of its own, which while it is closed is one for no server."""

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
        """Do nothing: all stores at the place have this path, of which one commits at a time."""

    def _execute(self, statement: str) -> None:
        with closing(self._database.cursor()) as cursor:
            cursor.execute(statement)
