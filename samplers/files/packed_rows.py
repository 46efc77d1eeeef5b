"""Random access to the rows of a file of any format and size.

The file is read once, in blocks, into an unpacked copy in the user's cache folder (``MOLBUFFER_CACHE`` names another).
The copy is memory-mapped and has no name, so that it disappears with the process. Rows take disk space and no memory;
the operating system caches rows that are drawn often.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from molbuffer.samplers.errors import SmilesFileError
from molbuffer.samplers.files.text_files import read_columns
from molbuffer.storage import LOCATION_VARIABLE, default_folder

FILES_KEPT_OPEN = 8
"""The number of unpacked files that a process keeps, since samplers are made anew for each chunk of a build."""


@dataclass(frozen=True)
class PackedRows:
    """The rows of some columns of a file, as of the time when it was read.

    Attributes:
        n_columns: the number of columns.
        has_ids: whether there is an id column after them.
    """

    n_columns: int
    has_ids: bool
    _text: mmap.mmap
    _bounds: NDArray[np.int64]
    _lines: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self._lines)

    def take(self, rows: NDArray[np.integer]) -> tuple[list[str], ...]:
        """Return the texts of the given rows for each column."""
        return self._texts(rows, range(self.n_columns))

    def ids(self, rows: NDArray[np.integer]) -> list[str | None]:
        """Return the texts of the given rows in the id column; None where it is blank, or without an id column."""
        if not self.has_ids:
            return [None] * len(rows)
        (ids,) = self._texts(rows, [self.n_columns])
        return [text or None for text in ids]

    def _texts(self, rows: NDArray[np.integer], columns: Sequence[int]) -> tuple[list[str], ...]:
        width = self.n_columns + self.has_ids
        bounds = [self._bounds[at : at + width + 1].tolist() for at in (rows * width).tolist()]
        return tuple([self._text[ends[column] : ends[column + 1]].decode() for ends in bounds] for column in columns)

    def lines(self, rows: NDArray[np.integer]) -> list[int]:
        """Return the lines of the file in which the given rows begin, counted from 1."""
        return [int(line) for line in self._lines[rows]]


def open_rows(path: Path, columns: Sequence[str | None], id_column: str | None = None) -> PackedRows:
    """Return the rows of columns of a file, and of an id column, which are those of ``read_columns``.

    A process reads a file only once, unless the file changes.

    Raises:
        SmilesFileError: the file cannot be read or has no molecule, or there is no room for its unpacked copy.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise SmilesFileError(path, f"it cannot be read: {error}") from error
    return _open(path, tuple(columns), id_column, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=FILES_KEPT_OPEN)
def _open(path: Path, columns: tuple[str | None, ...], id_column: str | None, _modified: int, _size: int) -> PackedRows:
    folder = default_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryFile(dir=folder) as text,
            tempfile.TemporaryFile(dir=folder) as bounds,
            tempfile.TemporaryFile(dir=folder) as lines,
        ):
            packing = _Packing(text, bounds, lines)
            for block in read_columns(path, columns, id_column):
                ids = () if block.ids is None else ([text or "" for text in block.ids],)
                packing.add(block.lines, (*block.columns, *ids))
            return packing.finish(len(columns), has_ids=id_column is not None)
    except OSError as error:
        raise SmilesFileError(
            path, f"it cannot be unpacked in {folder}: {error}; {LOCATION_VARIABLE} may name a folder with more room"
        ) from error


@dataclass
class _Packing:
    text: IO[bytes]
    bounds: IO[bytes]
    lines: IO[bytes]
    rows: int = 0
    _end: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))

    def add(self, lines: Sequence[int], columns: tuple[Sequence[str], ...]) -> None:
        texts = [text.encode() for row in zip(*columns, strict=True) for text in row]
        ends = self._end + np.cumsum([len(text) for text in texts])
        if not self.rows:
            self.bounds.write(self._end.tobytes())
        self.text.write(b"".join(texts))
        self.bounds.write(ends.tobytes())
        self.lines.write(np.asarray(lines, np.int64).tobytes())
        self.rows, self._end = self.rows + len(lines), ends[-1:]

    def finish(self, n_columns: int, *, has_ids: bool) -> PackedRows:
        maps = []
        for file in (self.text, self.bounds, self.lines):
            file.flush()
            # The map outlives the descriptor, which the caller closes.
            maps.append(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        text, bounds, lines = maps
        return PackedRows(n_columns, has_ids, text, np.frombuffer(bounds, np.int64), np.frombuffer(lines, np.int64))
