"""Rows of a mapped file come out as they are in it, whether the system has their pages in memory or not."""

import os
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from molbuffer.storage.history.mapped_rows import _BATCHES_ASKED_FOR, MappedRows, read_through

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts the page faults of a thread")

ROWS, WORDS = 2000, 1030
"""Rows of a little more than a page each, so that some lie in three."""


@pytest.fixture(scope="module")
def written() -> Iterator[tuple[Path, NDArray[np.uint32]]]:
    # On a disk, and not where the other tests write: what is in memory already cannot be evicted.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        path = Path(folder) / "rows.bin"
        rows = np.random.default_rng(0).integers(0, 2**32, (ROWS, WORDS), dtype=np.uint32)
        rows.tofile(path)
        yield path, rows


def evict(path: Path) -> None:
    """Has the system forget what it has in memory of a file."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def faults() -> int:
    """Pages that this thread has waited for, one by one, until the disk was read."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_majflt


@pytest.fixture
def batch() -> Callable[[], NDArray[np.int64]]:
    rng = np.random.default_rng(1)
    return lambda: rng.integers(0, ROWS, 300)


@pytest.mark.parametrize("evicted", [True, False])
def test_rows_are_those_of_the_file(written, batch, evicted) -> None:
    path, rows = written
    mapped = MappedRows(path, ROWS, WORDS)
    for _ in range(2 * _BATCHES_ASKED_FOR):
        if evicted:
            evict(path)
        some = batch()
        np.testing.assert_array_equal(mapped.take(some), rows[some])
    assert mapped.take(np.zeros(0, np.int64)).shape == (0, WORDS)


def test_pages_that_are_not_in_memory_are_not_waited_for_one_by_one(written, batch) -> None:
    path, _ = written
    evict(path)
    alone = MappedRows(path, ROWS, WORDS)
    alone._batches_to_ask_for = 0
    before = faults()
    alone._records.take(batch(), axis=0)
    if faults() - before < 100:
        pytest.skip("the system keeps this file in memory")
    mapped = MappedRows(path, ROWS, WORDS)
    for _ in range(3):
        evict(path)
        before = faults()
        mapped.take(batch())
        assert faults() - before < 10


@pytest.mark.parametrize("missing", [True, False])
def test_rows_are_asked_for_while_some_are_missing(written, batch, monkeypatch, missing) -> None:
    path, _ = written
    mapped = MappedRows(path, ROWS, WORDS)
    asked, looked = [], []
    monkeypatch.setattr(mapped, "_ask_for", asked.append)
    monkeypatch.setattr(mapped, "_missing", lambda rows: looked.append(len(rows)) or missing)
    for _ in range(2 * _BATCHES_ASKED_FOR):
        mapped.take(batch())
    assert len(asked) == (2 * _BATCHES_ASKED_FOR if missing else 0)
    assert len(looked) == (2 if missing else 2 * _BATCHES_ASKED_FOR)
    assert max(looked) < 10


def test_a_file_that_fits_is_read_into_memory_meanwhile(written, batch, tmp_path, monkeypatch) -> None:
    path = tmp_path / "rows.bin"
    path.write_bytes(written[0].read_bytes())
    evict(path)
    mapped = MappedRows(path, ROWS, WORDS)
    with monkeypatch.context() as patch:
        patch.setattr("molbuffer.storage.history.mapped_rows._SHARE_OF_MEMORY", 0.0)
        mapped.take(batch())
        before = read_through.cache_info().misses
    mapped._batches_to_ask_for = 0
    evict(path)
    mapped.take(batch())
    read_through(path).join()
    assert read_through.cache_info().misses == before + 1
    before = faults()
    mapped._records.sum()
    assert faults() - before < 10


@pytest.mark.parametrize("rows", [0, 1, ROWS])
def test_a_file_has_as_many_rows_as_are_asked_of_it(written, rows) -> None:
    path, whole = written
    mapped = MappedRows(path, rows, WORDS)
    assert len(mapped) == rows
    np.testing.assert_array_equal(mapped.take(np.arange(rows)), whole[:rows])
    with pytest.raises((IndexError, ValueError)):
        mapped.take(np.array([rows]))


def test_a_file_that_is_shorter_or_missing_is_refused(written) -> None:
    path, _ = written
    with pytest.raises(ValueError, match="size"):
        MappedRows(path, ROWS + 1, WORDS)
    with pytest.raises(FileNotFoundError):
        MappedRows(path.with_name("absent.bin"), 1, WORDS)
