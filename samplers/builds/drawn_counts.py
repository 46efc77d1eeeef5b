"""The number of rows that each sampler of a run has drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from molbuffer.storage import BuildReceipt


@dataclass
class DrawCounts:
    """The number of rows that each sampler of a run has drawn so far, rejected ones included.

    At the start of an iteration, the count is the number of rows in the builds of earlier iterations. Within an
    iteration, a build of the buffer may come before or after the live draws, and is not made again when the run is
    resumed. So the code that makes the iteration adds its live draws and the rows of its receipts as they come.
    """

    _rows: Counter[str] = field(default_factory=Counter)

    @classmethod
    def before(cls, iteration: int, receipts: Iterable[BuildReceipt]) -> DrawCounts:
        """Return the counts of a run's builds from before an iteration."""
        drawn = cls()
        for receipt in receipts:
            if receipt.iteration < iteration:
                drawn.add(receipt.sampler, receipt.drawn)
        return drawn

    def of(self, sampler: str) -> int:
        """Return the number of rows that one sampler has drawn."""
        return self._rows[sampler]

    def add(self, sampler: str, rows: int) -> None:
        """Add the number of rows that a sampler has just drawn."""
        self._rows[sampler] += rows
