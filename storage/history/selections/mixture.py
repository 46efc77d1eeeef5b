"""A selection that combines others, each with a share of the batch, and each from all rows or from some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Gt, MinLen
from numpy.typing import NDArray

from molbuffer.kinds import Condition, KindTable, OneOf, Table, TableOf, Text, Typed, checked
from molbuffer.storage.history.selections.base import SELECTIONS, Positions, SelectableRows, Selection
from molbuffer.storage.history.selections.candidates import ConsumeOnce, Uniform
from molbuffer.storage.history.selections.ranked import Prioritized
from molbuffer.storage.history.selections.subset import RowsSubset, draw_from_subset

INSIDE = OneOf(SELECTIONS, bare=True, without=("consume_once", "mixture"))
"""The kinds of selections that a part may have: kinds that neither count deliveries nor have parts."""


def _part_tables() -> Any:
    return tuple[Annotated[Table, TableOf(MixturePart)], ...]


@checked
@dataclass(frozen=True)
class MixturePart:
    """A part of a mixture.

    Attributes:
        share: the share of the batch, relative to the shares of the other parts.
        selection: the selection that chooses the rows.
        runs: the runs of the rows: "all"; "own", which is this run; or "others".
        where: an SQL condition on ``sample_history`` that the rows must fulfil. Rows that this run has drawn since the
            last build of the buffer fulfil no condition, since they enter that view only with the next build.

    Example:
        >>> mb.MixturePart(share=2.0, selection=mb.TopK(4), where="reward > 0.5").runs
        'all'
    """

    share: Annotated[float, Gt(0)] = 1.0
    selection: Annotated[Selection, Typed(Annotated[KindTable, INSIDE])] = Uniform()
    runs: Literal["all", "own", "others"] = "all"
    where: Annotated[str | None, Typed(Text | None), Condition()] = None

    def __post_init__(self) -> None:
        if not (np.isfinite(self.share) and self.share > 0):
            raise ValueError(f"the share of a part must be a number above 0, got {self.share}")
        if self.runs not in ("all", "own", "others"):
            raise ValueError(f'runs of a part must be "all", "own" or "others", got {self.runs!r}')
        if isinstance(self.selection, ConsumeOnce | Mixture):
            raise ValueError(
                f"a part has a selection that neither counts deliveries nor has parts, got {self.selection}"
            )
        if isinstance(self.selection, Prioritized) and (self.selection.beta or self.selection.anneal):
            raise ValueError("a row of a mixture has no weight, since several parts may draw it: leave beta out")

    def subset(self, rows: SelectableRows) -> RowsSubset:
        """Return the rows that the part chooses from."""
        there = np.ones(len(rows), bool) if self.runs == "all" else rows.own == (self.runs == "own")
        if self.where is not None:
            there = there & rows.matching(self.where)
        return RowsSubset(rows, np.flatnonzero(there))


@checked
@dataclass(frozen=True)
class Mixture:
    """Several selections at once, each with its share of the batch.

    Each part draws a whole number of rows, by the largest remainder, without the rows that an earlier part has drawn.
    If a part has too few rows, the other parts draw the missing ones, in their order. A mixture of the best and the
    worst rows keeps a policy diverse (Svensson et al. 2023, https://arxiv.org/abs/2303.17615); with ``where``, the
    parts can have the rows of different runs, archives or other conditions.

    Attributes:
        parts: the parts, at least one.

    Example:
        >>> both = mb.Mixture([mb.MixturePart(3.0, mb.TopK(4)), mb.MixturePart(1.0, mb.Uniform())])
        >>> len(lab.dataset(objective, batch_size=8, selection=both, batches=1)[0])
        8
    """

    parts: Annotated[tuple[MixturePart, ...], Typed(_part_tables), MinLen(1)]

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(self.parts))
        if not self.parts:
            raise ValueError("a mixture needs at least one part, got none")

    def available(self, rows: SelectableRows, consumed: NDArray[np.integer]) -> int:
        found = np.zeros(len(rows), bool)
        rng = np.random.default_rng(0)  # All of a part's rows are drawn, so that their order does not matter.
        for order in self._orders(rows, len(rows), rng, consumed):
            found[order] = True
        return int(np.count_nonzero(found))

    def draw(self, rows: SelectableRows, n: int, rng: np.random.Generator, consumed: NDArray[np.integer]) -> Positions:
        # Each part draws n rows, since earlier parts may have drawn all but as many as the part's quota.
        orders = self._orders(rows, n, rng, consumed)
        taken = np.zeros(len(rows), bool)
        chosen: list[Positions] = []
        for wanted, order in [*zip(self._quotas(n), orders, strict=True), *((n, order) for order in orders)]:
            missing = n - sum(map(len, chosen))
            chosen.append(order[~taken[order]][: min(wanted, missing)])
            taken[chosen[-1]] = True
        return rng.permutation(np.concatenate(chosen))

    def _orders(
        self, rows: SelectableRows, n: int, rng: np.random.Generator, consumed: NDArray[np.integer]
    ) -> list[Positions]:
        """Return, for each part, up to n positions in the order in which the part draws them."""
        subsets = [(part.selection, part.subset(rows)) for part in self.parts]
        return [draw_from_subset(selection, subset, n, rng, consumed) for selection, subset in subsets]

    def _quotas(self, n: int) -> Sequence[int]:
        """Return the number of rows of each part: n divided by the shares, by largest remainder, ties by order."""
        shares = np.array([part.share for part in self.parts])
        exact = n * shares / shares.sum()
        quotas = np.floor(exact).astype(np.int64)
        quotas[np.argsort(quotas - exact, kind="stable")[: n - quotas.sum()]] += 1
        return [int(quota) for quota in quotas]
