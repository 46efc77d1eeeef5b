"""How far each sampler of a run has come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from molbuffer.storage.stored import BuildReceipt


@dataclass
class DrawCounts:
    """How many rows each sampler of a run has drawn so far, rejected ones included, in the order of their making.

    At the beginning of an iteration that is what the builds of earlier iterations hold. Within one, a build of the
    buffer may come before or after the live draws, and is not drawn again when the run is resumed, so that whoever
    makes the iteration adds what it draws, and what receipts report, as it goes.
    """

    _rows: Counter[str] = field(default_factory=Counter)

    @classmethod
    def before(cls, iteration: int, receipts: Iterable[BuildReceipt]) -> DrawCounts:
        """Return the rows that builds of a run hold from before an iteration."""
        drawn = cls()
        for receipt in receipts:
            if receipt.iteration < iteration:
                drawn.add(receipt.sampler, receipt.drawn)
        return drawn

    def of(self, sampler: str) -> int:
        """Return the rows of one sampler."""
        return self._rows[sampler]

    def add(self, sampler: str, rows: int) -> None:
        """Add what a sampler has just drawn."""
        self._rows[sampler] += rows
