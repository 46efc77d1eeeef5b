"""Copies of the arrays of chosen rows in a few large segments, for archives and merges.

A row is identified by (build_id, row), so that a build keeps its row numbers in the copy. Rows that were not chosen are
blank there: they have length 0 and compress to almost nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from molbuffer.storage.errors import ArraysError
from molbuffer.storage.files import Place
from molbuffer.storage.rows import Rows
from molbuffer.storage.segments.segment import read_segment, write_segment

# Bounds the memory (86 MB at 80 tokens, twice while a segment is put together).
_SEGMENT_ROWS = 200_000


@dataclass(frozen=True)
class ArraySource:
    """The place of the arrays of a build, in this store or another.

    Attributes:
        arrays: the folder of segments.
        segment: the name of the segment.
        offset: the first row of the build in the segment.
        rows: the rows of the build that are copied from there, int32; None means all rows.
    """

    arrays: Place
    segment: str
    offset: int
    rows: NDArray[np.int32] | None = None


@dataclass(frozen=True)
class BuildCopy:
    """A build whose arrays are to be copied.

    Attributes:
        build_id: the identity of the build.
        drawn: the number of rows of the build, chosen or not.
        vocabulary_sha256: the vocabulary of its tokens.
        sources: the places of the chosen rows.
    """

    build_id: str
    drawn: int
    vocabulary_sha256: str
    sources: tuple[ArraySource, ...]


def copy_arrays(builds: Iterable[BuildCopy], arrays: Place) -> pa.Table:
    """Write the arrays of builds into new, synced segments of at most 200,000 rows, or of one larger build.

    Args:
        builds: the builds. Consecutive builds of one vocabulary share segments, and consecutive builds from one segment
            are read at once.
        arrays: the folder for the new segments.

    Returns:
        A table with the columns build_id, segment and segment_offset, one row for each build.

    Raises:
        ArraysError: a segment is missing, damaged, or of another vocabulary than its build says.
        OSError: the disk is full or failed.
    """
    reader, writer = _Reader(), _Writer(arrays)
    for build in builds:
        writer.add(build.build_id, _assemble(build, reader))
    return writer.finish()


class _Reader:
    """A reader of builds that keeps the segment it read last, since a compacted segment has many builds."""

    def __init__(self) -> None:
        self._folder: Place | None = None
        self._rows: Rows | None = None

    def read(self, source: ArraySource, build: BuildCopy) -> Rows:
        folder = source.arrays / source.segment
        if self._rows is None or folder != self._folder:
            self._rows = None
            self._folder, self._rows = folder, read_segment(folder)
        held, stop = self._rows, source.offset + build.drawn
        if stop > len(held) or held.vocabulary_sha256 != build.vocabulary_sha256:
            raise ArraysError(
                f"segment {folder} has {len(held)} rows of vocabulary {held.vocabulary_sha256}; build {build.build_id} "
                f"expects {stop} of {build.vocabulary_sha256}: restore the folder from a backup"
            )
        return held.take(slice(source.offset, stop))


class _Writer:
    """A writer that collects builds until they fill a segment."""

    def __init__(self, arrays: Place) -> None:
        self._arrays = arrays
        self._ids: list[str] = []
        self._blocks: list[Rows] = []
        self._places: list[dict[str, str | int]] = []

    def add(self, build_id: str, block: Rows) -> None:
        if self._blocks and (
            self._blocks[0].vocabulary_sha256 != block.vocabulary_sha256
            or sum(map(len, self._blocks)) + len(block) > _SEGMENT_ROWS
        ):
            self._write()
        self._ids.append(build_id)
        self._blocks.append(block)

    def finish(self) -> pa.Table:
        self._write()
        columns = {"build_id": pa.string(), "segment": pa.string(), "segment_offset": pa.int64()}
        return pa.Table.from_pylist(self._places, schema=pa.schema(columns))

    def _write(self) -> None:
        if not self._blocks:
            return
        segment = uuid4().hex
        offsets = write_segment(self._arrays / segment, self._blocks)
        for build_id, offset in zip(self._ids, offsets, strict=True):
            self._places.append({"build_id": build_id, "segment": segment, "segment_offset": offset})
        self._ids, self._blocks = [], []


def _assemble(build: BuildCopy, reader: _Reader) -> Rows:
    """Return the rows of a build from all its sources, trimmed to the longest row; rows without a source are blank."""
    # Copies: a view would keep the old segment in memory until the new one is written.
    every = np.arange(build.drawn, dtype=np.int32)
    parts = []
    for source in build.sources:
        rows = every if source.rows is None else source.rows
        parts.append((rows, reader.read(source, build).take(rows).trimmed()))
    return replace(Rows.placed(build.drawn, parts), vocabulary_sha256=build.vocabulary_sha256)


def rows_by_build(chosen: pa.Table) -> dict[str, NDArray[np.int32]]:
    """Return the row numbers of each build by build_id, from a table (build_id, row) that is ordered by build_id."""
    if not chosen.num_rows:
        return {}
    ids = chosen["build_id"].combine_chunks().dictionary_encode()
    numbers = np.asarray(ids.indices)
    starts = np.flatnonzero(np.r_[True, np.diff(numbers) != 0])
    parts: Sequence[NDArray[np.int32]] = np.split(np.asarray(chosen["row"].to_numpy(), np.int32), starts[1:])
    return dict(zip(ids.dictionary.to_pylist(), parts, strict=True))
