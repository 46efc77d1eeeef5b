"""Rows in the order of their rewards, when some come to many: what is sorted already is not sorted again."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from molbuffer.storage import HistoryIndex, Positions


class IndexRanking:
    """The order of the rows of an index by reward, found once for all rows that come between them.

    Attributes:
        index: the rows.
        own_rows: the number of own rows, which come first.
    """

    def __init__(self, index: HistoryIndex) -> None:
        self.index = index
        self.own_rows = int(np.count_nonzero(index.own))

    @cached_property
    def parts(self) -> tuple[Positions, Positions]:
        """The positions of own rows and of others, each by descending reward."""
        own = self.index.best_first < self.own_rows
        return self.index.best_first[own], self.index.best_first[~own]

    @cached_property
    def best_by_molecule(self) -> tuple[NDArray[np.uint64], Positions]:
        """The distinct molecules, ascending, and the best position of each."""
        best = self.index.best_of_each_molecule
        order = np.argsort(self.index.molecules[best], kind="stable")
        return self.index.molecules[best][order], best[order]


def joint_ranking(ranking: IndexRanking, rewards: NDArray[np.float64]) -> Positions:
    """Return all positions by descending reward, of equal ones the earlier first, when rows came after the own ones.

    Args:
        ranking: that of the rows before.
        rewards: of all rows [n], the new ones after the own rows of the index.
    """
    own, more = ranking.own_rows, len(rewards) - len(ranking.index)
    new = own + np.argsort(-rewards[own : own + more], kind="stable")
    mine, others = ranking.parts
    # Three ranked parts in the order of their positions: the sort merges them, and leaves equal rewards as they are.
    joined = np.concatenate([mine, new, others + more])
    ranked: Positions = joined[np.argsort(-rewards[joined], kind="stable")]
    return ranked


def best_of_each(
    ranking: IndexRanking, rewards: NDArray[np.float64], molecules: NDArray[np.uint64], ranked: Positions
) -> Positions:
    """Return the best position of each distinct molecule by descending reward, when rows came after the own ones.

    Args:
        ranking: that of the rows before.
        rewards: of all rows [n].
        molecules: of the new rows.
        ranked: what ``joint_ranking`` returns.
    """
    own, more = ranking.own_rows, len(molecules)
    best = np.zeros(len(rewards), bool)
    known, positions = ranking.best_by_molecule
    positions = np.where(positions < own, positions, positions + more)
    best[positions] = True
    # The best new row of each molecule.
    new = own + np.argsort(-rewards[own : own + more], kind="stable")
    new = new[np.sort(np.unique(molecules[new - own], return_index=True)[1])]
    if len(known):
        places = np.searchsorted(known, molecules[new - own])
        there = known.take(places, mode="clip") == molecules[new - own]
        old = positions.take(places, mode="clip")
        # Of equal rewards the earlier row is the better.
        better = (rewards[new] > rewards[old]) | ((rewards[new] == rewards[old]) & (new < old))
        best[old[there & better]] = False
        new = new[~there | better]
    best[new] = True
    return ranked[best[ranked]]
