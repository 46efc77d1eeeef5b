"""Read rows of fixed width from a memory-mapped file, a few at a time, from anywhere in it."""

from __future__ import annotations

import mmap
import os
import resource
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from threading import Thread

import numpy as np
from numpy.typing import NDArray

_PROBED_ROWS = 8
_BATCHES_ASKED_FOR = 16
_SHARE_OF_MEMORY = 0.5
_READ_AT_ONCE = 2**23
# Faults of this thread; macOS counts only those of a process.
_WHOSE = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)


class MappedRows:
    """A read-only map of rows; those that are not in memory are read from the disk when they are taken.

    Left to itself, the system reads a missing page when it is touched, so that one waits for the other, and each with a
    neighbourhood that nobody wants. Here neighbours are left out, and all pages of a batch are asked for before the
    first is touched: 256 rows of 4 GB take 3 ms instead of up to a second (docs/design/0009). Asking costs 0.7 us a
    row, more than the row itself when it is in memory, and so it is done only while pages are missing: a few rows tell,
    and then the next batches are asked for without another look. A file that takes at most half of the machine's memory
    is also read as a whole, meanwhile and once.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path, rows: int, words: int) -> None:
        """Map the first ``rows`` rows of uint32 [words] of a file.

        Raises:
            OSError: the file cannot be read.
            ValueError: it has fewer rows.
        """
        self._row_bytes = words * np.dtype(np.uint32).itemsize
        self.path = path
        self._batches_to_ask_for = 0
        if not rows:  # An empty file cannot be mapped.
            self._records: NDArray[np.uint32] = np.zeros((0, words), np.uint32)
            return
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), rows * self._row_bytes, access=mmap.ACCESS_READ)
        self._map.madvise(mmap.MADV_RANDOM)
        self._records = np.frombuffer(self._map, np.uint32).reshape(rows, words)

    def __len__(self) -> int:
        return len(self._records)

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.uint32]:
        """Return a copy of some rows [n, words]."""
        if not self._batches_to_ask_for and self._missing(rows[:_PROBED_ROWS]):
            self._batches_to_ask_for = _BATCHES_ASKED_FOR
            if self._records.nbytes <= _SHARE_OF_MEMORY * os.sysconf("SC_PHYS_PAGES") * mmap.PAGESIZE:
                read_through(self.path)
        if self._batches_to_ask_for:
            self._batches_to_ask_for -= 1
            self._ask_for(rows)
        # take is twice as fast as indexing by an array: it copies each row with one memcpy.
        return self._records.take(rows, axis=0)

    def _missing(self, rows: NDArray[np.int64]) -> bool:
        """Return whether the disk had to be read for any of these rows; it has been, then."""
        before = resource.getrusage(_WHOSE).ru_majflt
        self._records[rows, 0]
        return resource.getrusage(_WHOSE).ru_majflt > before

    def _ask_for(self, rows: NDArray[np.int64]) -> None:
        first = rows * self._row_bytes
        pages = first - first % mmap.PAGESIZE
        for page, length in zip(pages.tolist(), (first - pages + self._row_bytes).tolist(), strict=True):
            self._map.madvise(mmap.MADV_WILLNEED, page, length)


@lru_cache(maxsize=64)
def read_through(path: Path) -> Thread:
    """Start a thread that has the system read a file into memory, and return it; it is not read again soon."""
    thread = Thread(target=_read, args=(path,), name=f"reading {path.name}", daemon=True)
    thread.start()
    return thread


def _read(path: Path) -> None:
    # What is gone, or on a disk that fails, is told by whoever needs it.
    # One piece at a time: asked for all at once, it would keep the disk from the rows that a batch waits for.
    buffer = bytearray(_READ_AT_ONCE)
    with suppress(OSError), path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
