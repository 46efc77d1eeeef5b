"""The base class of the samplers of a file: the rows of a draw, their order, and the lines they are written in."""

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
from molbuffer.storage import FileOrigin

CHECKED_ROWS = 20_000
"""The largest number of rows of a file that are checked before a run begins, which takes seconds."""


class FileSampler(Sampler):
    """A sampler that draws the rows of a file.

    Without replacement, a run draws all rows of the file in random order before it draws any row again, in another
    order. The position of the run is the number of rows that its builds have drawn, rejected ones included, in the
    order of the builds. At the start of an iteration, also of a resumed one, the store has this number for all earlier
    iterations. Within an iteration, the trainer adds the live draws and the rows of builds of the buffer, and passes
    each build its position, so that a repeated build begins at the same row. The position in the file of a contrastive
    or mutation sampler's base sampler follows from the rows of that sampler.

    Attributes:
        path: the file.
        replacement: whether each row is drawn independently of all others.
        id_column: the column with the ids of the rows, for ``read_columns``; None without one.
    """

    path: Path
    replacement: bool
    id_column: str | None

    def __post_init__(self) -> None:
        # The path may be given as a text; samplers are frozen.
        object.__setattr__(self, "path", Path(self.path))

    @property
    @abstractmethod
    def rows(self) -> PackedRows:
        """The rows of the file, which stay on disk."""

    @abstractmethod
    def drawn_of(self, rows: PackedRows, chosen: NDArray[np.int64]) -> Draw:
        """Return a draw of n chosen rows of the file."""

    @property
    def has_epochs(self) -> bool:
        """Whether a run draws every row of the file before any is drawn again."""
        return not self.replacement

    def draw(self, n: int, seed: int) -> Draw:
        """Draw n rows in an order of their own; more rows than the file has are drawn in several epochs."""
        rows, rng = self.rows, numpy_generator(seed, "rows")
        return self._drawn(rows, rows_of_draw(len(rows), n, rng, replacement=self.replacement))

    def draw_from(self, position: EpochPosition, n: int, seed: int) -> Draw:
        """Draw the n rows at a position of the run."""
        rows = self.rows
        return self._drawn(rows, rows_from(len(rows), position.start, n, position.seed))

    def _drawn(self, rows: PackedRows, chosen: NDArray[np.int64]) -> Draw:
        file, places = str(self.path), zip(rows.lines(chosen), rows.ids(chosen), strict=True)
        return replace(
            self.drawn_of(rows, chosen),
            origins=[FileOrigin(file, line, name) for line, name in places],
            unchecked=(chosen >= CHECKED_ROWS).tolist() if len(rows) > CHECKED_ROWS else None,
        )
