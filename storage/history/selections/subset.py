"""Some of the rows, as the rows of a selection, and the bound on how old their policy is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from molbuffer.storage.history.selections.base import Positions, SelectableRows, Selection, weights_of


@dataclass(frozen=True, eq=False)
class RowsSubset:
    """Rows at some positions of others; its own positions count these.

    Attributes:
        rows: the rows.
        positions: int64 [n], ascending.
    """

    rows: SelectableRows
    positions: Positions

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def iteration(self) -> int:
        """That of the rows."""
        return self.rows.iteration

    @property
    def iterations(self) -> NDArray[np.integer]:
        """The iterations of the rows' builds [n]."""
        return self.rows.iterations[self.positions]

    @property
    def run_numbers(self) -> NDArray[np.integer]:
        """Numbers [n] that are equal for rows of one run."""
        return self.rows.run_numbers[self.positions]

    @cached_property
    def rewards(self) -> NDArray[np.float64]:
        """The rewards [n]."""
        return self.rows.rewards[self.positions]

    @property
    def molecules(self) -> NDArray[np.uint64]:
        """Numbers [n] that are equal for rows of one molecule."""
        return self.rows.molecules[self.positions]

    @property
    def own(self) -> NDArray[np.bool_]:
        """Whether the run in training drew the row [n]."""
        return self.rows.own[self.positions]

    @cached_property
    def best_first(self) -> Positions:
        """All positions by descending reward, int64 [n]."""
        return self._here(self.rows.best_first)

    @cached_property
    def best_of_each_molecule(self) -> Positions:
        """The best position of each distinct molecule, int64 [m], by descending reward."""
        if len(self) == len(self.rows):
            return self.rows.best_of_each_molecule
        first = np.unique(self.molecules[self.best_first], return_index=True)[1]
        return self.best_first[np.sort(first)]

    def smiles(self, positions: Positions) -> Sequence[str | None]:
        """Return the canonical SMILES of some rows."""
        return self.rows.smiles(self.positions[positions])

    def matching(self, where: str) -> NDArray[np.bool_]:
        """Return which rows fulfil a predicate [n]."""
        return self.rows.matching(where)[self.positions]

    def _here(self, positions: Positions) -> Positions:
        """Return positions of the rows as own ones, without those that are not here."""
        place = np.full(len(self.rows), -1, np.int64)
        place[self.positions] = np.arange(len(self))
        here = place[positions]
        return here[here >= 0]


def draw_from_subset(
    selection: Selection,
    subset: RowsSubset,
    n: int,
    rng: np.random.Generator,
    consumed: NDArray[np.integer],
) -> Positions:
    """Draw from some of the rows; return positions among all of them."""
    return subset.positions[selection.draw(subset, n, rng, consumed[subset.positions])]


def weights_in_subset(selection: Selection, subset: RowsSubset, positions: Positions) -> NDArray[np.float64] | None:
    """Return the weights of rows, by their positions among all, that a selection has drawn from a subset."""
    return weights_of(selection, subset, np.searchsorted(subset.positions, positions))


class _FromSubset:
    """Another selection, from some of the rows."""

    selection: Selection

    def available(self, rows: SelectableRows, consumed: NDArray[np.integer]) -> int:
        subset = self._subset(rows)
        return self.selection.available(subset, consumed[subset.positions])

    def draw(self, rows: SelectableRows, n: int, rng: np.random.Generator, consumed: NDArray[np.integer]) -> Positions:
        return draw_from_subset(self.selection, self._subset(rows), n, rng, consumed)

    def weights(self, rows: SelectableRows, positions: Positions) -> NDArray[np.float64] | None:
        return weights_in_subset(self.selection, self._subset(rows), positions)

    def _subset(self, rows: SelectableRows) -> RowsSubset:
        raise NotImplementedError


@dataclass(frozen=True)
class WithinLag(_FromSubset):
    """Another selection from the run's own rows whose policy is not too old.

    Attributes:
        selection: the other selection.
        max_policy_lag: the most iterations since a row was drawn, at least 0. Rows of other runs are left out, since
            their iterations say nothing about the policy of this one.
    """

    selection: Selection
    max_policy_lag: int

    def __post_init__(self) -> None:
        if self.max_policy_lag < 0:
            raise ValueError(f"max_policy_lag must be at least 0, got {self.max_policy_lag}")

    def _subset(self, rows: SelectableRows) -> RowsSubset:
        oldest = rows.iteration - self.max_policy_lag
        return RowsSubset(rows, np.flatnonzero(rows.own & (rows.iterations >= oldest)))


@dataclass(frozen=True, eq=False)
class WithoutRows(_FromSubset):
    """Another selection from the rows that do not have to go.

    Attributes:
        selection: the other selection.
        gone: returns which of some rows have to go, bool [n].
    """

    selection: Selection
    gone: Callable[[SelectableRows], NDArray[np.bool_]]

    def _subset(self, rows: SelectableRows) -> RowsSubset:
        return RowsSubset(rows, np.flatnonzero(~self.gone(rows)))
