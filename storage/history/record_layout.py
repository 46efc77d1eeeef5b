"""How one decoded row lies in memory and in the cache file: a record of fixed width.

    log_probs float32 [L] | latents float32 [d] | latent log-prob float32 | length int32 | tokens uint8 or uint16 [L]
        | source length int32 | source tokens uint8 or uint16 [S]

What no row has takes no room: the latents' log-prob and the source are there only when a layout says so.

A record is a whole number of 32-bit words, so that rows are gathered as rows of one array of words, a single copy of
memory each, and the columns of the result are views of it: float32 columns are aligned, and the last axis of every
view is contiguous, which is what a view of another type needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from molbuffer.storage.segments.segment import SegmentRows

# Widths are rounded up to this, so that slightly longer molecules do not call for a new layout each time; it also
# makes L tokens of one byte a whole number of words.
_WIDTH_STEP = 16
_WORD_BYTES = 4


@dataclass(frozen=True)
class DecodedRows:
    """Columns of n rows, views of one block of memory that belongs to them alone.

    Attributes:
        tokens: uint8 or uint16 [n, L]; lengths: int32 [n]; log_probs: float32 [n, L]; latents: float32 [n, d].
        latent_log_probs: float32 [n], NaN for rows without; source_tokens: as tokens [n, S]; source_lengths: int32
            [n], 0 for rows without. None when the layout has no room for them.
    """

    tokens: NDArray[np.unsignedinteger]
    lengths: NDArray[np.int32]
    log_probs: NDArray[np.float32]
    latents: NDArray[np.float32]
    latent_log_probs: NDArray[np.float32] | None = None
    source_tokens: NDArray[np.unsignedinteger] | None = None
    source_lengths: NDArray[np.int32] | None = None


@dataclass(frozen=True)
class RowLayout:
    """The shape of a record.

    Attributes:
        width: L, the number of tokens a record has room for; a multiple of 16.
        latent_width: d, the number of latents it has room for.
        token_bytes: 1 or 2.
        source_width: S, the number of tokens it has room for of a source; a multiple of 16, 0 for no source.
        latent_log_probs: whether it has room for the log-density of the latents.
    """

    width: int = _WIDTH_STEP
    latent_width: int = 0
    token_bytes: int = 1
    source_width: int = 0
    latent_log_probs: bool = False

    def __post_init__(self) -> None:
        widths = (self.width, self.source_width)
        if any(width % _WIDTH_STEP for width in widths) or self.width <= 0 or self.source_width < 0:
            raise ValueError(f"no layout of records: {self}")
        if self.latent_width < 0 or self.token_bytes not in (1, 2):
            raise ValueError(f"no layout of records: {self}")

    def covering(self, rows: SegmentRows) -> RowLayout:
        """The smallest layout that has room for what this one holds and for these rows too."""
        tokens = [rows.tokens] if rows.source_tokens is None else [rows.tokens, rows.source_tokens]
        return RowLayout(
            max(self.width, _rounded_up(rows.tokens.shape[1])),
            max(self.latent_width, latent_width_of(rows)),
            max(self.token_bytes, *(array.dtype.itemsize for array in tokens)),
            max(self.source_width, source_width_of(rows)),
            self.latent_log_probs or rows.latent_log_probs is not None,
        )

    @property
    def words(self) -> int:
        """The number of 32-bit words of a record."""
        return self._source + (1 + self.source_width * self.token_bytes // _WORD_BYTES if self.source_width else 0)

    @property
    def record_bytes(self) -> int:
        return self.words * _WORD_BYTES

    def split(self, records: NDArray[np.uint32]) -> DecodedRows:
        """The columns of records [n, words], as views."""
        latents, density = self.width, self.width + self.latent_width
        length, source = density + self.latent_log_probs, self._source
        token = np.uint8 if self.token_bytes == 1 else np.uint16
        return DecodedRows(
            tokens=records[:, length + 1 : source].view(token),
            lengths=records[:, length].view(np.int32),
            log_probs=records[:, :latents].view(np.float32),
            latents=records[:, latents:density].view(np.float32),
            latent_log_probs=records[:, density].view(np.float32) if self.latent_log_probs else None,
            source_tokens=records[:, source + 1 :].view(token) if self.source_width else None,
            source_lengths=records[:, source].view(np.int32) if self.source_width else None,
        )

    @property
    def _source(self) -> int:
        """The word at which the source begins, where there is one."""
        tokens = self.width * self.token_bytes // _WORD_BYTES
        return self.width + self.latent_width + self.latent_log_probs + 1 + tokens

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
        if columns.latent_log_probs is not None:
            columns.latent_log_probs[:] = np.nan if rows.latent_log_probs is None else rows.latent_log_probs
        if columns.source_lengths is not None and rows.source_lengths is not None:
            columns.source_lengths[:] = rows.source_lengths
        if columns.source_tokens is not None and rows.source_tokens is not None:
            columns.source_tokens[:, : rows.source_tokens.shape[1]] = rows.source_tokens
        return records

    def repack(self, records: NDArray[np.uint32], old: RowLayout) -> NDArray[np.uint32]:
        """Records of this layout from records of another one that it covers."""
        return self.pack(SegmentRows(**vars(old.split(records)), vocabulary_sha256=""))


def latent_width_of(rows: SegmentRows) -> int:
    """The number of latents a row has, 0 when the rows have none."""
    return 0 if rows.latents is None else rows.latents.shape[1]


def source_width_of(rows: SegmentRows) -> int:
    """The room that the rows' sources need, 0 when no row has one."""
    return 0 if rows.source_tokens is None else _rounded_up(max(1, rows.source_tokens.shape[1]))


def _rounded_up(width: int) -> int:
    return -(-width // _WIDTH_STEP) * _WIDTH_STEP
