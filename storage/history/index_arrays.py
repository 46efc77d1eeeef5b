"""Find the arrays of the rows of an index in the decoded cache, and gather batches of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from molbuffer.storage.errors import ArraysError
from molbuffer.storage.history.cache import CachedRows, DecodedCache
from molbuffer.storage.history.scan import ScannedRows
from molbuffer.storage.rows import Rows, trimmed


@dataclass(frozen=True)
class IndexArrays:
    """Where the arrays of the rows of an index are.

    Attributes:
        cached: the decoded rows of every segment that has a row of the index.
        positions: int64 [n] of the rows in it.
        optional: the columns that a row can have and not all do, as of ``Rows.optional_widths``.
    """

    cached: CachedRows
    positions: NDArray[np.int64]
    optional: Mapping[str, int]

    def gather(self, positions: NDArray[np.int64], rewards: NDArray[np.float64]) -> Rows:
        """Return the rows at positions [n], no wider than the longest of them; without what no row of the index has.

        Args:
            positions: in the index.
            rewards: of these rows [n], which the cache does not hold.
        """
        records = self.cached.records.take(self.positions.take(positions))
        return Rows(**trimmed(self.cached.layout.columns(records, self.optional)), rewards=rewards)


def locate_arrays(rows: ScannedRows, cache: DecodedCache) -> IndexArrays:
    """Have the segments that are needed decoded, and find each row in them.

    Raises:
        ArraysError: a segment has fewer rows than its builds, or another vocabulary.
    """
    used = np.unique(rows.build_numbers)
    builds = rows.builds.select(["segment", "segment_offset", "drawn", "vocabulary_sha256"]).take(pa.array(used))
    names = builds["segment"].to_pylist()
    cached = cache.pin(names)
    first: NDArray[np.int64] = np.zeros(rows.builds.num_rows, np.int64)
    optional: dict[str, int] = {}
    for number, build in zip(used.tolist(), builds.to_pylist(), strict=True):
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
        for name, width in segment.optional.items():
            optional[name] = max(width, optional.get(name, 0))
    positions = first.take(rows.build_numbers)
    positions += rows.row_numbers
    return IndexArrays(cached, positions, optional)
