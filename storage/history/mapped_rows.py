"""Reading of rows of fixed width at any positions of a memory-mapped file."""

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
# Page faults are counted for this thread; macOS counts them only for the whole process.
_WHOSE = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)


class MappedRows:
    """A read-only memory map of rows, which are read from the disk when they are taken and not in memory yet.

    By default the system reads a missing page when it is accessed, together with neighbouring pages that are not
    needed, and reads one page after another. Here neighbouring pages are left out, and all pages of a batch are
    requested before the first access: 256 rows of 4 GB take 3 ms instead of up to a second (docs/design/0009). A
    request takes 0.7 us a row, longer than the access to a row in memory, and is therefore made only while pages are
    missing: if one of the first rows of a batch is missing, the pages of this batch and the next ones, 16 in all, are
    requested without a further check.
    A file that takes at most half of the machine's memory is also read as a whole, once and in the background.

    Attributes:
        path: the path of the file.
    """

    def __init__(self, path: Path, rows: int, words: int) -> None:
        """Map the first ``rows`` rows of uint32 [words] of a file.

        Raises:
            OSError: the file cannot be read.
            ValueError: the file has fewer rows.
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
        """Return a copy of the rows at positions [n], uint32 [n, words]."""
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
        """Return whether any of these rows had to be read from the disk; after the call, all of them are in memory."""
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
    """Start a thread that reads a file, so that the system keeps it in memory, and return the thread.

    A second call for one of the last 64 files returns the same thread and does not read the file again.
    """
    thread = Thread(target=_read, args=(path,), name=f"reading {path.name}", daemon=True)
    thread.start()
    return thread


def _read(path: Path) -> None:
    # Errors are ignored here, since the reader that needs the rows raises them.
    # The file is read in pieces: one large request would delay the rows that a batch waits for.
    buffer = bytearray(_READ_AT_ONCE)
    with suppress(OSError), path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
