"""Subsets of rows as the rows of a selection, and the limit on the policy lag of rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from molbuffer.storage.history.selections.base import Positions, SelectableRows, Selection, weights_of


@dataclass(frozen=True, eq=False)
class RowsSubset:
    """A subset of rows, with positions of its own from 0 to n - 1.

    Attributes:
        rows: all rows.
        positions: the positions of the subset among all rows, int64 [n], ascending.
    """

    rows: SelectableRows
    positions: Positions

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def iteration(self) -> int:
        """The iteration for which rows are selected."""
        return self.rows.iteration

    @property
    def iterations(self) -> NDArray[np.integer]:
        """The iterations of the rows' builds [n]."""
        return self.rows.iterations[self.positions]

    @property
    def run_numbers(self) -> NDArray[np.integer]:
        """A number [n] that is equal for rows of one run."""
        return self.rows.run_numbers[self.positions]

    @cached_property
    def rewards(self) -> NDArray[np.float64]:
        """The rewards [n]."""
        return self.rows.rewards[self.positions]

    @property
    def molecules(self) -> NDArray[np.uint64]:
        """A number [n] that is equal for rows of one molecule."""
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
        """Return the canonical SMILES of the rows at positions."""
        return self.rows.smiles(self.positions[positions])

    def matching(self, where: str) -> NDArray[np.bool_]:
        """Return whether each row fulfils a predicate, bool [n]."""
        return self.rows.matching(where)[self.positions]

    def _here(self, positions: Positions) -> Positions:
        """Return the positions in the subset of rows at positions among all rows; rows outside it are left out."""
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
    """Return the positions, among all rows, of at most n rows that a selection draws from a subset."""
    return subset.positions[selection.draw(subset, n, rng, consumed[subset.positions])]


def weights_in_subset(selection: Selection, subset: RowsSubset, positions: Positions) -> NDArray[np.float64] | None:
    """Return the weights of rows, given by positions among all rows, that a selection has drawn from a subset."""
    return weights_of(selection, subset, np.searchsorted(subset.positions, positions))


class _FromSubset:
    """The base class of selections that apply another selection to a subset of the rows."""

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
    """Another selection, applied to the run's own rows with a limited policy lag.

    Attributes:
        selection: the other selection.
        max_policy_lag: the largest number of iterations since a row was drawn, at least 0. Rows of other runs are left
            out, since their iterations say nothing about the policy of this run.
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
    """Another selection, applied to the rows that are not excluded.

    Attributes:
        selection: the other selection.
        gone: a function that returns whether each row is excluded, bool [n].
    """

    selection: Selection
    gone: Callable[[SelectableRows], NDArray[np.bool_]]

    def _subset(self, rows: SelectableRows) -> RowsSubset:
        return RowsSubset(rows, np.flatnonzero(~self.gone(rows)))
