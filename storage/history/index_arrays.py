"""The arrays of the rows of an index: their places in the decoded cache, and the gathering of batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from molbuffer.storage.errors import ArraysError, CacheError
from molbuffer.storage.history.cache import CachedRows, DamagedRecordsError, DecodedCache
from molbuffer.storage.history.forward import ForwardRows
from molbuffer.storage.history.scan import ScannedRows
from molbuffer.storage.rows import Rows, trimmed

# If a new cache is damaged again at once, the disk or the memory is faulty.
_REBUILDS = 2


@dataclass(frozen=True)
class LocatedRows:
    """Rows in a map of the decoded cache.

    Attributes:
        cached: the decoded rows of every segment that has a row of the index.
        positions: the positions of the rows in the map, int64 [n].
    """

    cached: CachedRows
    positions: NDArray[np.int64]

    def moved(self, cached: CachedRows, segments: Sequence[str]) -> LocatedRows:
        """Return the same rows in another map, which has the segments at other positions."""
        old = np.array([self.cached.segments[name].position for name in segments], np.int64)
        new = np.array([cached.segments[name].position for name in segments], np.int64)
        order = np.argsort(old, kind="stable")
        # If several segments have one position, all but the last are empty.
        of = order[np.searchsorted(old[order], self.positions, side="right") - 1]
        return LocatedRows(cached, self.positions + (new - old)[of])


@dataclass(eq=False)
class IndexArrays:
    """The arrays of the rows of an index.

    Attributes:
        cache: the decoded cache.
        segments: the names of the segments that have a row of the index.
        located: the present places of the rows in the cache, which change when a damaged cache is made again.
        optional: the widths of the optional columns of the rows, from ``Rows.optional_widths``.
    """

    cache: DecodedCache
    segments: Sequence[str]
    located: LocatedRows
    optional: Mapping[str, int]

    @property
    def cached(self) -> CachedRows:
        """The map of the decoded cache."""
        return self.located.cached

    def gather(self, positions: NDArray[np.int64], rewards: NDArray[np.float64]) -> Rows:
        """Return the rows at positions [n], trimmed to the longest row, with the columns that the index has.

        Args:
            positions: the positions in the index.
            rewards: the rewards of these rows [n], which the cache does not hold.

        Raises:
            ArraysError: the cache is damaged, and so is a segment from which it was made.
            CacheError: the cache is damaged and cannot be made again.
        """
        for _ in range(_REBUILDS + 1):
            located = self.located
            try:
                records = located.cached.take(located.positions.take(positions))
            except DamagedRecordsError as error:
                damaged = error
                self.located = located.moved(self.cache.rebuild(self.segments, error.file), self.segments)
                continue
            return Rows(**trimmed(located.cached.layout.columns(records, self.optional)), rewards=rewards)
        raise CacheError(
            f"{damaged} after the cache was made again: check the disk and the memory of this machine"
        ) from damaged

    def without(self, keep: NDArray[np.bool_]) -> IndexArrays:
        """Return the arrays of the rows for which ``keep``, bool [n], is true."""
        return replace(self, located=replace(self.located, positions=self.located.positions[keep]))


def locate_arrays(rows: ScannedRows, cache: DecodedCache) -> IndexArrays:
    """Decode the segments of the rows, and return the places of the rows in the cache.

    Raises:
        ArraysError: a segment has fewer rows than its builds, or another vocabulary.
    """
    used = _used(rows)
    names = _segments_of(rows, used)
    cached = cache.pin(names)
    positions = _first_positions(rows, used, cached).take(rows.build_numbers)
    positions += rows.row_numbers
    return IndexArrays(cache, names, LocatedRows(cached, positions), _optional(cached, names))


def forward_arrays(old: IndexArrays, forward: ForwardRows) -> IndexArrays:
    """Return the arrays of the rows of an updated index, reusing the known places of old rows.

    Args:
        old: the arrays of the old rows.
        forward: the new rows.

    Raises:
        ArraysError: as for ``locate_arrays``.
    """
    rows = forward.rows
    if forward.moved:
        return locate_arrays(rows, old.cache)
    located, used = old.located, _used(rows)
    names = _segments_of(rows, used)
    cached = old.cache.pin(names)
    if cached.records.path != located.cached.records.path:
        # The new file has only segments that are still used.
        there = [name for name in old.segments if name in cached.segments]
        if len(there) < len(old.segments):
            return locate_arrays(rows, old.cache)
        located = located.moved(cached, there)
    first = _first_positions(rows, used[forward.changed[used]], cached)
    read = forward.read
    fresh = first.take(read.build_numbers) + read.row_numbers
    positions = forward.splice.column(located.positions, fresh)
    return IndexArrays(old.cache, names, LocatedRows(cached, positions), _optional(cached, names))


def _used(rows: ScannedRows) -> NDArray[np.int64]:
    """Return the numbers of the builds that have at least one row."""
    bounds = np.searchsorted(rows.build_numbers, np.arange(rows.builds.num_rows + 1))
    return np.flatnonzero(np.diff(bounds))


def _segments_of(rows: ScannedRows, builds: NDArray[np.int64]) -> list[str]:
    return list(dict.fromkeys(rows.builds["segment"].take(pa.array(builds)).to_pylist()))


def _optional(cached: CachedRows, segments: Sequence[str]) -> dict[str, int]:
    """Return the widths of the optional columns of the rows of segments, as in ``Rows.optional_widths``."""
    optional: dict[str, int] = {}
    for segment in segments:
        for name, width in cached.segments[segment].optional.items():
            optional[name] = max(width, optional.get(name, 0))
    return optional


def _first_positions(rows: ScannedRows, numbers: NDArray[np.int64], cached: CachedRows) -> NDArray[np.int64]:
    """Return the position in the cache of the first row of each numbered build, int64 [b]; 0 for other builds.

    Raises:
        ArraysError: a segment has fewer rows than its builds, or another vocabulary.
    """
    first: NDArray[np.int64] = np.zeros(rows.builds.num_rows, np.int64)
    builds = rows.builds.select(["segment", "segment_offset", "drawn", "vocabulary_sha256"]).take(pa.array(numbers))
    for number, build in zip(numbers.tolist(), builds.to_pylist(), strict=True):
        segment = cached.segments[build["segment"]]
        if build["segment_offset"] + build["drawn"] > segment.rows:
            raise ArraysError(
                f"segment {build['segment']} has {segment.rows} rows, fewer than its builds; "
                "restore the folder from a backup"
            )
        if build["vocabulary_sha256"] != segment.vocabulary_sha256:
            raise ArraysError(
                f"segment {build['segment']} names the vocabulary {segment.vocabulary_sha256}, its build "
                f"{build['vocabulary_sha256']}; restore the folder from a backup"
            )
        first[number] = segment.position + build["segment_offset"]
    return first
