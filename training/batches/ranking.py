"""The order of rows by reward when a few new rows join many old ones, without sorting the old rows again."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from molbuffer.storage import HistoryIndex, Positions


class IndexRanking:
    """The order of the rows of an index by reward, which is computed once and reused whenever live rows are added.

    Attributes:
        index: the rows.
        own_rows: the number of own rows, which come first.
    """

    def __init__(self, index: HistoryIndex) -> None:
        self.index = index
        self.own_rows = int(np.count_nonzero(index.own))

    @cached_property
    def parts(self) -> tuple[Positions, Positions]:
        """The positions of own rows, and those of the rows of other runs, each by descending reward."""
        own = self.index.best_first < self.own_rows
        return self.index.best_first[own], self.index.best_first[~own]

    @cached_property
    def best_by_molecule(self) -> tuple[NDArray[np.uint64], Positions]:
        """The distinct molecules, ascending, and the best position of each."""
        best = self.index.best_of_each_molecule
        order = np.argsort(self.index.molecules[best], kind="stable")
        return self.index.molecules[best][order], best[order]


def joint_ranking(ranking: IndexRanking, rewards: NDArray[np.float64]) -> Positions:
    """Return all positions by descending reward, when new rows follow the own rows of an index.

    Of rows with equal rewards, the earlier comes first.

    Args:
        ranking: the ranking of the index.
        rewards: the rewards of all rows [n]: own rows of the index, new rows, other rows of the index.
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
    """Return the best position of each distinct molecule by descending reward, when new rows follow the own rows.

    Args:
        ranking: the ranking of the index.
        rewards: the rewards of all rows [n], as for ``joint_ranking``.
        molecules: the hashes of the molecules of the new rows.
        ranked: all positions by descending reward, as ``joint_ranking`` returns them [n].
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
