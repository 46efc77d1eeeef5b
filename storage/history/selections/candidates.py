"""Selections that draw uniformly, from all rows or from some of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from molbuffer.kinds import Count, Share, checked
from molbuffer.storage.history.selections.base import Positions, SelectableRows, choose, require_positive


@checked
@dataclass(frozen=True)
class Uniform:
    """Every row is as likely as any other.

    Example:
        >>> len(lab.dataset(objective, batch_size=8, selection=mb.Uniform(), batches=2)[1])
        8
    """

    def available(self, rows: SelectableRows, consumed: NDArray[np.integer]) -> int:
        return len(rows)

    def draw(self, rows: SelectableRows, n: int, rng: np.random.Generator, consumed: NDArray[np.integer]) -> Positions:
        return choose(len(rows), n, rng)


@checked
@dataclass(frozen=True)
class ConsumeOnce:
    """Each row once in each pass over the history, in random order; a training run makes ``epochs`` passes.

    The rows delivered least often come first, so that a pass ends before the next one begins, and rows that are added
    during a later pass are delivered as often as the others before it continues. A batch may span two passes.

    Attributes:
        epochs: how often each stored row is used, at least 1.

    Example:
        >>> len(lab.dataset(objective, batch_size=8, selection=mb.ConsumeOnce(epochs=2)))
        6
    """

    epochs: Count = 1

    def __post_init__(self) -> None:
        require_positive("epochs", self.epochs)

    def available(self, rows: SelectableRows, consumed: NDArray[np.integer]) -> int:
        return int(np.count_nonzero(consumed < self.epochs))

    def draw(self, rows: SelectableRows, n: int, rng: np.random.Generator, consumed: NDArray[np.integer]) -> Positions:
        chosen: list[Positions] = []
        times = int(consumed.min(initial=self.epochs))
        while n > 0 and times < self.epochs:
            least_delivered = np.flatnonzero(consumed == times)
            chosen.append(least_delivered[choose(len(least_delivered), n, rng)])
            n -= len(chosen[-1])
            times += 1
        return np.concatenate(chosen) if chosen else np.zeros(0, np.int64)


class _AmongCandidates(ABC):
    """The base class of selections that draw uniformly from some of the rows."""

    @abstractmethod
    def candidates(self, rows: SelectableRows) -> Positions:
        """Return the positions of the rows that can be drawn."""

    def available(self, rows: SelectableRows, consumed: NDArray[np.integer]) -> int:
        return len(self.candidates(rows))

    def draw(self, rows: SelectableRows, n: int, rng: np.random.Generator, consumed: NDArray[np.integer]) -> Positions:
        candidates = self.candidates(rows)
        return candidates[choose(len(candidates), n, rng)]


@checked
@dataclass(frozen=True)
class EachMolecule(_AmongCandidates):
    """The best row of each distinct molecule, each as likely as any other: a molecule with many rows counts once.

    Example:
        >>> len(lab.dataset(objective, batch_size=8, selection=mb.EachMolecule(), batches=2)[1])
        8
    """

    def candidates(self, rows: SelectableRows) -> Positions:
        return rows.best_of_each_molecule


@checked
@dataclass(frozen=True)
class TopK(_AmongCandidates):
    """The best rows of the ``k`` best distinct molecules, each as likely as any other.

    Attributes:
        k: the number of best molecules, at least 1.

    Example:
        >>> best = lab.dataset(objective, batch_size=4, selection=mb.TopK(4))[0]
        >>> round(float(best.rewards.max()), 3) == round(lab.query("SELECT max(reward) FROM sample_history").item(), 3)
        True
    """

    k: Count = 100

    def __post_init__(self) -> None:
        require_positive("k", self.k)

    def candidates(self, rows: SelectableRows) -> Positions:
        return rows.best_of_each_molecule[: self.k]


@checked
@dataclass(frozen=True)
class Recent(_AmongCandidates):
    """The rows of the newest iterations, each as likely as any other, which limits the age of their policy.

    Attributes:
        max_iterations: the number of newest iterations, at least 1; 1 admits only the newest iteration that has rows.
        each_run: whether to take the newest iterations of each run. False: only those of the run that draws, since the
            iterations of other runs say nothing about its policy.
    """

    max_iterations: Count = 10
    each_run: bool = False

    def __post_init__(self) -> None:
        require_positive("max_iterations", self.max_iterations)

    def candidates(self, rows: SelectableRows) -> Positions:
        if not len(rows):
            return np.zeros(0, np.int64)
        if not self.each_run:
            newest = rows.iterations.max(initial=0, where=rows.own)
            return np.flatnonzero(rows.own & (rows.iterations > newest - self.max_iterations))
        run_of = rows.run_numbers
        newest_of = np.full(int(run_of.max()) + 1, -1, np.int64)
        np.maximum.at(newest_of, run_of, rows.iterations)
        return np.flatnonzero(rows.iterations > newest_of[run_of] - self.max_iterations)


def _check_quantile(quantile: float) -> None:
    if not 0 <= quantile <= 1:
        raise ValueError(f"quantile of a selection must be in [0, 1], got {quantile}")


@checked
@dataclass(frozen=True)
class AboveQuantile(_AmongCandidates):
    """The rows whose reward is at least the quantile of all rewards, each as likely as any other.

    The quantile is the reward of some row, and rows with this reward are included: if many rows have the highest
    reward, all of them are included, however high the quantile.

    Attributes:
        quantile: the quantile of the rewards, in [0, 1], inclusive; 0.9 draws from about the best tenth.
    """

    quantile: Share = 0.9

    def __post_init__(self) -> None:
        _check_quantile(self.quantile)

    def candidates(self, rows: SelectableRows) -> Positions:
        if not len(rows):
            return np.zeros(0, np.int64)
        return np.flatnonzero(rows.rewards >= np.quantile(rows.rewards, self.quantile, method="higher"))


@checked
@dataclass(frozen=True)
class BelowQuantile(_AmongCandidates):
    """The rows whose reward is at most the quantile of all rewards, each as likely as any other.

    In a mixture with better rows, these rows are negative examples for a loss, which keeps the draws of the policy
    diverse (Svensson et al. 2023, https://arxiv.org/abs/2303.17615). The quantile is the reward of some row, and rows
    with this reward are included.

    Attributes:
        quantile: the quantile of the rewards, in [0, 1], inclusive; 0.1 draws from about the worst tenth.
    """

    quantile: Share = 0.1

    def __post_init__(self) -> None:
        _check_quantile(self.quantile)

    def candidates(self, rows: SelectableRows) -> Positions:
        if not len(rows):
            return np.zeros(0, np.int64)
        return np.flatnonzero(rows.rewards <= np.quantile(rows.rewards, self.quantile, method="lower"))
