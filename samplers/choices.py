"""Which rows of the history a HistorySampler draws.

A choice is a value with one function of (rows, number, generator): the same three give the same rows. A row is drawn
at most once by one draw; with fewer rows than are asked for, all of them are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from molbuffer.scoring.molecules.scaffolds import scaffolds_of
from molbuffer.storage.history.index import HistoryIndex, Positions


class Choice(Protocol):
    """Chooses stored rows."""

    def choose(self, index: HistoryIndex, n: int, rng: np.random.Generator) -> Positions:
        """At most n different positions of an index, in random order."""
        ...


@dataclass(frozen=True)
class AnyRow:
    """Every row is as likely as any other."""

    def choose(self, index: HistoryIndex, n: int, rng: np.random.Generator) -> Positions:
        return _among(np.arange(len(index)), n, rng)


@dataclass(frozen=True)
class BestMolecules:
    """The best row of each of the k best molecules, each as likely as any other; of equal ones the earlier.

    Attributes:
        k: at least 1.
    """

    k: int = 100

    def choose(self, index: HistoryIndex, n: int, rng: np.random.Generator) -> Positions:
        return _among(index.best_of_each_molecule[: self.k], n, rng)


@dataclass(frozen=True)
class AboveQuantile:
    """The rows whose reward is at least the quantile of all rewards, each as likely as any other.

    The quantile is a reward that occurs, and rows that have it belong to it: with many rows of the highest reward, all
    of them are drawn from, however high the quantile.

    Attributes:
        quantile: in [0, 1]; 0.9 draws from about the best tenth.
    """

    quantile: float = 0.9

    def choose(self, index: HistoryIndex, n: int, rng: np.random.Generator) -> Positions:
        if not len(index):
            return np.zeros(0, np.int64)
        bound = np.quantile(index.rewards, self.quantile, method="higher")
        return _among(np.flatnonzero(index.rewards >= bound), n, rng)


@dataclass(frozen=True)
class RecentRows:
    """The rows of each run's newest iterations, each as likely as any other.

    Attributes:
        max_iterations: at least 1; 1 draws from the newest iteration of each run that has rows.
    """

    max_iterations: int = 10

    def choose(self, index: HistoryIndex, n: int, rng: np.random.Generator) -> Positions:
        if not len(index):
            return np.zeros(0, np.int64)
        runs = index.builds["run_id"].combine_chunks().dictionary_encode().indices.to_numpy()
        run_of = runs.take(index.build_numbers)
        newest = np.full(int(runs.max()) + 1, -1, np.int64)
        np.maximum.at(newest, run_of, index.iterations)
        return _among(np.flatnonzero(index.iterations > newest[run_of] - self.max_iterations), n, rng)


@dataclass
class ByScaffold:
    """Rows stratified by Bemis-Murcko scaffold: each scaffold has the same chance, however many rows it has.

    Before a scaffold is drawn a second time, every other is drawn once. Molecules without a ring are one scaffold. To
    find it takes about 0.1 ms a molecule, once for each different one.
    """

    _of_molecule: dict[int, str] = field(default_factory=dict)

    def choose(self, index: HistoryIndex, n: int, rng: np.random.Generator) -> Positions:
        if not len(index):
            return np.zeros(0, np.int64)
        scaffolds = self._numbers(index)
        order = rng.permutation(len(index))
        # Each row's place among those of its scaffold, in random order.
        by_scaffold = order[np.argsort(scaffolds[order], kind="stable")]
        sizes = np.unique(scaffolds, return_counts=True)[1]
        turns = np.arange(len(index)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        # Within a turn, too, the scaffolds come in random order.
        return by_scaffold[np.lexsort((rng.random(len(index)), turns))[:n]]

    def _numbers(self, index: HistoryIndex) -> NDArray[np.int64]:
        """A number for each row [n], equal for equal scaffolds."""
        molecules, first, of_row = np.unique(index.molecules, return_index=True, return_inverse=True)
        missing = np.flatnonzero([molecule not in self._of_molecule for molecule in molecules.tolist()])
        if len(missing):
            smiles = [text or "" for text in index.smiles(first[missing])]
            self._of_molecule |= dict(zip(molecules[missing].tolist(), scaffolds_of(smiles), strict=True))
        scaffolds = [self._of_molecule[molecule] for molecule in molecules.tolist()]
        numbers: NDArray[np.int64] = np.unique(scaffolds, return_inverse=True)[1]
        return numbers[of_row]


def _among(positions: Positions, n: int, rng: np.random.Generator) -> Positions:
    """At most n of some positions, all equally likely, in random order."""
    return positions[rng.choice(len(positions), min(n, len(positions)), replace=False)]
