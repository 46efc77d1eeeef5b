"""Where the arrays of the rows of an index are, and how a batch of them is gathered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from molbuffer.storage.errors import ArraysError
from molbuffer.storage.history.cache import CachedRows, DecodedCache
from molbuffer.storage.history.record_layout import DecodedRows
from molbuffer.storage.history.scan import ScannedRows


@dataclass(frozen=True)
class IndexArrays:
    """Where the arrays of the rows are.

    Attributes:
        cached: the decoded rows of every segment that has a row of the index.
        positions: int64 [n] of the rows in it; latent_width: the most latents a row has.
        sources, latent_log_probs: whether a row can have them.
    """

    cached: CachedRows
    positions: NDArray[np.int64]
    latent_width: int
    sources: bool
    latent_log_probs: bool

    def gather(self, positions: NDArray[np.int64]) -> DecodedRows:
        """The rows at positions [n], no wider than the longest of them; without what no row of the index has."""
        rows = self.cached.gather(self.positions.take(positions))
        width = int(rows.lengths.max(initial=1))
        source_tokens, source_lengths = rows.source_tokens, rows.source_lengths
        if not self.sources or source_tokens is None or source_lengths is None:
            source_tokens = source_lengths = None
        else:
            source_tokens = source_tokens[:, : int(source_lengths.max(initial=1))]
        return DecodedRows(
            tokens=rows.tokens[:, :width],
            lengths=rows.lengths,
            log_probs=rows.log_probs[:, :width],
            latents=rows.latents[:, : self.latent_width],
            latent_log_probs=rows.latent_log_probs if self.latent_log_probs else None,
            source_tokens=source_tokens,
            source_lengths=source_lengths,
        )


def place(rows: ScannedRows, cache: DecodedCache) -> IndexArrays:
    """Has the segments that are needed decoded, and finds each row in them.

    Raises:
        ArraysError: a segment has fewer rows than its builds, or another vocabulary.
    """
    used = np.unique(rows.build_numbers)
    builds = rows.builds.select(["segment", "segment_offset", "drawn", "vocabulary_sha256"]).take(pa.array(used))
    names = builds["segment"].to_pylist()
    cached = cache.pin(names)
    first: NDArray[np.int64] = np.zeros(rows.builds.num_rows, np.int64)
    latent_width, sources, latent_log_probs = 0, False, False
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
        latent_width = max(latent_width, segment.latent_width)
        sources, latent_log_probs = sources or segment.sources, latent_log_probs or segment.latent_log_probs
    positions = first.take(rows.build_numbers)
    positions += rows.row_numbers
    return IndexArrays(cached, positions, latent_width, sources, latent_log_probs)
