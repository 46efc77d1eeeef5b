"""Drawing the rows of a file: which rows a draw gives, in what order, and where they are written."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from molbuffer.samplers.base import Draw, Sampler
from molbuffer.samplers.files.epochs import EpochPosition, rows_from, rows_of_draw
from molbuffer.samplers.files.packed_rows import PackedRows
from molbuffer.samplers.seeds import numpy_generator

CHECKED_ROWS = 20_000
"""Rows of a sampler's file that are looked at before a run begins: seconds."""


class FileSampler(Sampler):
    """What samplers of a file have in common.

    Without replacement, a run goes through the whole file, in random order, before a row comes again, in another order.
    How far it has come is the number of rows that its builds have drawn, rejected ones included, in the order in which
    they were made. The store has that number: builds of earlier iterations are in it when an iteration begins, or
    begins again. Within one, whoever trains adds up what was drawn live and what builds of the buffer report, and tells
    each build, so that one which is made again begins where it began before. Inside a contrastive or a mutation
    sampler it is what that one has drawn that tells how far the file was gone through.

    Attributes:
        replacement: draw each row independently of all others.
    """

    path: Path
    replacement: bool

    @property
    @abstractmethod
    def rows(self) -> PackedRows:
        """The rows of the file, of which none is held in memory."""

    @abstractmethod
    def drawn_of(self, rows: PackedRows, chosen: NDArray[np.int64]) -> Draw:
        """Return some of the rows of the file as a draw [n]."""

    @property
    def has_epochs(self) -> bool:
        """Whether a run goes through the whole file before a row comes again."""
        return not self.replacement

    def draw(self, n: int, seed: int) -> Draw:
        """Draw n rows in an order that is this draw's own; more than the file has are drawn from several epochs."""
        rows, rng = self.rows, numpy_generator(seed, "rows")
        return self._drawn(rows, rows_of_draw(len(rows), n, rng, replacement=self.replacement))

    def draw_from(self, position: EpochPosition, n: int, seed: int) -> Draw:
        """Draw the n rows that are next in the run."""
        rows = self.rows
        return self._drawn(rows, rows_from(len(rows), position.start, n, position.seed))

    def _drawn(self, rows: PackedRows, chosen: NDArray[np.int64]) -> Draw:
        drawn = self.drawn_of(rows, chosen)
        if len(rows) <= CHECKED_ROWS:
            return drawn
        lines = zip(chosen.tolist(), rows.lines(chosen), strict=True)
        return replace(
            drawn, written_at=[f"{self.path}, line {line}" if row >= CHECKED_ROWS else None for row, line in lines]
        )
