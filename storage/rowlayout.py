"""How one decoded row lies in memory and in the cache file: a record of fixed width.

    log_probs float32 [L] | latents float32 [d] | length int32 | tokens uint8 or uint16 [L]

A record is a whole number of 32-bit words, so that rows are gathered as rows of one array of words, a single copy of
memory each, and the columns of the result are views of it: float32 columns are aligned, and the last axis of every
view is contiguous, which is what a view of another type needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.arrays import SegmentRows

# Widths are rounded up to this, so that slightly longer molecules do not call for a new layout each time; it also
# makes L tokens of one byte a whole number of words.
_WIDTH_STEP = 16
_WORD_BYTES = 4


@dataclass(frozen=True)
class DecodedRows:
    """Columns of n rows, views of one block of memory that belongs to them alone.

    Attributes:
        tokens: uint8 or uint16 [n, L]; lengths: int32 [n]; log_probs: float32 [n, L]; latents: float32 [n, d].
    """

    tokens: NDArray[np.unsignedinteger]
    lengths: NDArray[np.int32]
    log_probs: NDArray[np.float32]
    latents: NDArray[np.float32]


@dataclass(frozen=True)
class RowLayout:
    """The shape of a record.

    Attributes:
        width: L, the number of tokens a record has room for; a multiple of 16.
        latent_width: d, the number of latents it has room for.
        token_bytes: 1 or 2.
    """

    width: int = _WIDTH_STEP
    latent_width: int = 0
    token_bytes: int = 1

    def __post_init__(self) -> None:
        if self.width % _WIDTH_STEP or self.width <= 0 or self.latent_width < 0 or self.token_bytes not in (1, 2):
            raise ValueError(f"no layout of records: {self}")

    def covering(self, rows: SegmentRows) -> RowLayout:
        """The smallest layout that has room for what this one holds and for these rows too."""
        return RowLayout(
            max(self.width, -(-rows.tokens.shape[1] // _WIDTH_STEP) * _WIDTH_STEP),
            max(self.latent_width, latent_width_of(rows)),
            max(self.token_bytes, rows.tokens.dtype.itemsize),
        )

    @property
    def words(self) -> int:
        """The number of 32-bit words of a record."""
        return self.width + self.latent_width + 1 + self.width * self.token_bytes // _WORD_BYTES

    @property
    def record_bytes(self) -> int:
        return self.words * _WORD_BYTES

    def split(self, records: NDArray[np.uint32]) -> DecodedRows:
        """The columns of records [n, words], as views."""
        latents, length, tokens = self.width, self.width + self.latent_width, self.width + self.latent_width + 1
        return DecodedRows(
            tokens=records[:, tokens:].view(np.uint8 if self.token_bytes == 1 else np.uint16),
            lengths=records[:, length].view(np.int32),
            log_probs=records[:, :latents].view(np.float32),
            latents=records[:, latents:length].view(np.float32),
        )

    def pack(self, rows: SegmentRows) -> NDArray[np.uint32]:
        """Records [n, words] of rows that this layout covers; latents that rows lack are NaN."""
        records = np.zeros((len(rows), self.words), np.uint32)
        columns = self.split(records)
        width = rows.tokens.shape[1]
        columns.tokens[:, :width] = rows.tokens
        columns.log_probs[:, :width] = rows.log_probs
        columns.lengths[:] = rows.lengths
        columns.latents[:] = np.nan
        if rows.latents is not None:
            columns.latents[:, : rows.latents.shape[1]] = rows.latents
        return records

    def repack(self, records: NDArray[np.uint32], old: RowLayout) -> NDArray[np.uint32]:
        """Records of this layout from records of another one that it covers."""
        columns = old.split(records)
        return self.pack(SegmentRows(columns.tokens, columns.lengths, columns.log_probs, columns.latents, ""))


def latent_width_of(rows: SegmentRows) -> int:
    """The number of latents a row has, 0 when the rows have none."""
    return 0 if rows.latents is None else rows.latents.shape[1]
