"""Selections: which stored rows a training batch is made of.

A selection is a value; what it draws is a function of the rows, how often each was delivered to this run, the number
asked for, and the generator. The same four give the same positions, on any machine, in any process. A batch never has
a row twice. A selection that cannot fill a batch gives what it has: ``available`` says beforehand how many that is, so
that the caller builds more, ends, or reports, as its kind of training demands.

Positions are int64 indices into the rows, which are in the history's order (iteration, event, sampler, chunk, row), so
that ties are decided by it: of two rows with one reward the earlier one is the better.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Protocol

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from molbuffer.kinds import Count, Family, Share, checked, class_with

Positions = NDArray[np.int64]

_DRAWING_ROUNDS = 8


class SelectableRows(Protocol):
    """What a selection looks at; an index of the history is one.

    Attributes:
        iterations: int [n], those of the builds that drew the rows.
        run_numbers: int [n], equal for rows of one run.
        rewards: float64 [n] under the objective of the reader.
        molecules: uint64 [n], equal for rows of one molecule.
        own: bool [n], whether the run in training drew the row; all true when the reader is no run.
        best_first: int64 [n], all positions by descending reward, ties by position.
        best_of_each_molecule: int64 [m], of ``best_first`` the first position of each distinct molecule.
    """

    def __len__(self) -> int: ...
    @property
    def iterations(self) -> NDArray[np.integer]: ...
    @property
    def run_numbers(self) -> NDArray[np.integer]: ...
    @property
    def rewards(self) -> NDArray[np.float64]: ...
    @property
    def molecules(self) -> NDArray[np.uint64]: ...
    @property
    def own(self) -> NDArray[np.bool_]: ...
    @property
    def best_first(self) -> Positions: ...
    @property
    def best_of_each_molecule(self) -> Positions: ...
    def smiles(self, positions: Positions) -> Sequence[str | None]:
        """Return the canonical SMILES of some rows."""


class Selection(Protocol):
    """A choice of rows for a batch. ``consumed`` is int [rows]: how often each was delivered to this run."""

    def available(self, rows: SelectableRows, consumed: NDArray[np.integer]) -> int:
        """Return the size of the largest batch that can be drawn now."""

    def draw(self, rows: SelectableRows, n: int, rng: np.random.Generator, consumed: NDArray[np.integer]) -> Positions:
        """Draw the positions [m] of a batch in random order, m = min(n, available)."""


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
        return _choose(len(rows), n, rng)


@checked
@dataclass(frozen=True)
class ConsumeOnce:
    """Each row once in each pass over the history, in random order; a training run makes ``epochs`` passes.

    The rows delivered least often come first, so that a pass ends before the next begins and rows that arrive during
    a later pass catch up before it goes on. A batch may span the border of two passes.

    Attributes:
        epochs: how often each stored row is used, at least once.

    Example:
        >>> len(lab.dataset(objective, batch_size=8, selection=mb.ConsumeOnce(epochs=2)))
        6
    """

    epochs: Count = 1

    def __post_init__(self) -> None:
        _require_positive("epochs", self.epochs)

    def available(self, rows: SelectableRows, consumed: NDArray[np.integer]) -> int:
        return int(np.count_nonzero(consumed < self.epochs))

    def draw(self, rows: SelectableRows, n: int, rng: np.random.Generator, consumed: NDArray[np.integer]) -> Positions:
        chosen: list[Positions] = []
        times = int(consumed.min(initial=self.epochs))
        while n > 0 and times < self.epochs:
            least_delivered = np.flatnonzero(consumed == times)
            chosen.append(least_delivered[_choose(len(least_delivered), n, rng)])
            n -= len(chosen[-1])
            times += 1
        return np.concatenate(chosen) if chosen else np.zeros(0, np.int64)


class _AmongCandidates(ABC):
    """Selections that draw from some of the rows, each as likely as any other."""

    @abstractmethod
    def candidates(self, rows: SelectableRows) -> Positions:
        """Return the positions of the rows that can be drawn."""

    def available(self, rows: SelectableRows, consumed: NDArray[np.integer]) -> int:
        return len(self.candidates(rows))

    def draw(self, rows: SelectableRows, n: int, rng: np.random.Generator, consumed: NDArray[np.integer]) -> Positions:
        candidates = self.candidates(rows)
        return candidates[_choose(len(candidates), n, rng)]


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
        _require_positive("k", self.k)

    def candidates(self, rows: SelectableRows) -> Positions:
        return rows.best_of_each_molecule[: self.k]


@checked
@dataclass(frozen=True)
class Prioritized:
    """Better rows more often: a row is drawn with probability proportional to rank^-alpha.

    The rank-based variant of prioritised experience replay (Schaul et al. 2016, section 3.3,
    https://arxiv.org/abs/1511.05952) with the reward as priority: rank 1 is the best row. Unlike a power of the reward
    it does not depend on the reward's scale or sign. Rows of a batch are drawn one after another without replacement.

    Attributes:
        alpha: at least 0; 0 is uniform, 1 draws the best row n times as often as the n-th.

    Example:
        >>> len(lab.dataset(objective, batch_size=8, selection=mb.Prioritized(alpha=1.0), batches=1)[0])
        8
    """

    alpha: Annotated[float, Ge(0)] = 0.7

    def __post_init__(self) -> None:
        if not (np.isfinite(self.alpha) and self.alpha >= 0):
            raise ValueError(f"alpha of a prioritized selection must be a number of at least 0, got {self.alpha}")

    def available(self, rows: SelectableRows, consumed: NDArray[np.integer]) -> int:
        return len(rows)

    def draw(self, rows: SelectableRows, n: int, rng: np.random.Generator, consumed: NDArray[np.integer]) -> Positions:
        if len(rows) == 0:
            return np.zeros(0, np.int64)
        return rows.best_first[_draw_ranks(len(rows), self.alpha, min(n, len(rows)), rng)]


@checked
@dataclass(frozen=True)
class Recent(_AmongCandidates):
    """The rows of the newest iterations, each as likely as any other: bounds how old their policy is.

    Attributes:
        max_iterations: the number of newest iterations, at least 1; 1 admits the newest iteration that has rows only.
        each_run: false: of the run that draws alone, for the iterations of other runs say nothing about its policy;
            true: of each run.
    """

    max_iterations: Count = 10
    each_run: bool = False

    def __post_init__(self) -> None:
        _require_positive("max_iterations", self.max_iterations)

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


@checked
@dataclass(frozen=True)
class AboveQuantile(_AmongCandidates):
    """The rows whose reward is at least the quantile of all rewards, each as likely as any other.

    The quantile is a reward that occurs, and rows that have it belong to it: with many rows of the highest reward, all
    of them are drawn from, however high the quantile.

    Attributes:
        quantile: the quantile of the rewards, in [0, 1], inclusive; 0.9 draws from about the best tenth.
    """

    quantile: Share = 0.9

    def __post_init__(self) -> None:
        if not 0 <= self.quantile <= 1:
            raise ValueError(f"quantile of a selection must be in [0, 1], got {self.quantile}")

    def candidates(self, rows: SelectableRows) -> Positions:
        if not len(rows):
            return np.zeros(0, np.int64)
        return np.flatnonzero(rows.rewards >= np.quantile(rows.rewards, self.quantile, method="higher"))


def _require_positive(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} of a selection must be at least 1, got {value}")


def _choose(size: int, n: int, rng: np.random.Generator) -> Positions:
    """Draw at most n distinct indices below ``size``, all equally likely, in random order."""
    return rng.choice(size, min(n, size), replace=False)


def _draw_ranks(size: int, alpha: float, n: int, rng: np.random.Generator) -> Positions:
    """Draw n distinct indices below ``size`` in sequence, with probability proportional to (1 + index)^-alpha."""
    cumulative = _cumulative_weights(size, alpha)
    drawn = np.zeros(0, np.int64)
    # To draw with replacement and drop repeats is to draw in sequence without replacement, at the cost of n draws and
    # not of one for each row of the history.
    for _ in range(_DRAWING_ROUNDS):
        more = np.searchsorted(cumulative, rng.random(n - len(drawn)) * cumulative[-1], side="right")
        drawn = np.concatenate([drawn, more])
        drawn = drawn[np.sort(np.unique(drawn, return_index=True)[1])]
        if len(drawn) == n:
            return drawn
    # When nearly all rows are asked for, or few hold nearly all the weight, new ones are hardly met. An exponential
    # race goes on in the same distribution: the order of arrivals is a draw without replacement (Efraimidis and
    # Spirakis 2006, https://doi.org/10.1016/j.ipl.2005.11.003).
    left = np.setdiff1d(np.arange(size), drawn)
    # In logarithms, since rank^alpha may be beyond any float.
    arrivals = np.log(rng.standard_exponential(len(left))) + alpha * np.log1p(left)
    return np.concatenate([drawn, left[np.argsort(arrivals, kind="stable")[: n - len(drawn)]]])


@lru_cache(maxsize=4)
def _cumulative_weights(size: int, alpha: float) -> NDArray[np.float64]:
    cumulative = np.cumsum(np.arange(1, size + 1, dtype=np.float64) ** -alpha)
    cumulative.setflags(write=False)
    return cumulative


SELECTIONS = Family("selections", class_with("available", "draw"))
"""The kinds of selections."""
