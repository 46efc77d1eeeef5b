"""Selections that draw better rows more often."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from molbuffer.kinds import Count, checked
from molbuffer.storage.history.selections.base import (
    Positions,
    SelectableRows,
    cumulative_weights,
    draw_in_sequence,
    require_positive,
)

SMALLEST_PRIORITY = 0.01
"""The number that is added to a reward to give its priority, so that rows of reward 0 can be drawn."""

NotNegative = Annotated[float, Ge(0)]
ShareOfOne = Annotated[float, Ge(0), Le(1)]


@checked
@dataclass(frozen=True)
class Prioritized:
    """Better rows more often: a row is drawn with probability proportional to priority^alpha.

    These are both variants of prioritised experience replay (Schaul et al. 2016, section 3.3,
    https://arxiv.org/abs/1511.05952), with the reward in the place of the error. By rank, the priority is 1/rank, where
    the best row has rank 1; unlike a power of the reward, this does not depend on the scale of the reward. By reward,
    the priority is max(reward, 0) + 0.01. The rows of a batch are drawn one after another without replacement.

    With ``beta``, each row has the weight (n · P(row))^-beta in the loss, scaled to mean 1 in each batch, where P is
    the probability that the row is drawn first, and n the number of rows. With beta = 1 the weights cancel the
    preference in expectation, so that a batch represents all rows, with less noise from the better ones.

    Attributes:
        alpha: the exponent of the priority, at least 0; 0 is uniform; by rank, 1 draws the best row n times as often as
            the n-th.
        by: the priority of a row, by "rank" or by "reward".
        beta: the exponent of the weights, in [0, 1]; 0 gives every row the same weight.
        anneal: the number of iterations in which beta rises linearly to 1; None keeps beta constant.

    Example:
        >>> len(lab.dataset(objective, batch_size=8, selection=mb.Prioritized(alpha=1.0), batches=1)[0])
        8
    """

    alpha: NotNegative = 0.7
    by: Literal["rank", "reward"] = "rank"
    beta: ShareOfOne = 0.0
    anneal: Count | None = None

    def __post_init__(self) -> None:
        if not (np.isfinite(self.alpha) and self.alpha >= 0):
            raise ValueError(f"alpha of a prioritized selection must be a number of at least 0, got {self.alpha}")
        if self.by not in ("rank", "reward"):
            raise ValueError(f'by of a prioritized selection must be "rank" or "reward", got {self.by!r}')
        if not 0 <= self.beta <= 1:
            raise ValueError(f"beta of a prioritized selection must be in [0, 1], got {self.beta}")
        if self.anneal is not None:
            require_positive("anneal", self.anneal)

    def available(self, rows: SelectableRows, consumed: NDArray[np.integer]) -> int:
        return len(rows)

    def draw(self, rows: SelectableRows, n: int, rng: np.random.Generator, consumed: NDArray[np.integer]) -> Positions:
        if not len(rows):
            return np.zeros(0, np.int64)
        if self.by == "reward":
            return draw_in_sequence(self._log_weights(rows), min(n, len(rows)), rng)
        log_weights, cumulative = _rank_weights(len(rows), self.alpha)
        return rows.best_first[draw_in_sequence(log_weights, min(n, len(rows)), rng, cumulative)]

    def weights(self, rows: SelectableRows, positions: Positions) -> NDArray[np.float64] | None:
        beta = self.beta if self.anneal is None else self.beta + (1 - self.beta) * min(1, rows.iteration / self.anneal)
        if not beta:
            return None
        log_weights = -beta * self._log_weights(rows)[positions]
        weights: NDArray[np.float64] = np.exp(log_weights - log_weights.max())
        weights /= weights.mean()
        return weights

    def _log_weights(self, rows: SelectableRows) -> NDArray[np.float64]:
        """Return the logarithms of the rows' probabilities [n], up to a constant."""
        if self.by == "reward":
            return self.alpha * np.log(np.maximum(rows.rewards, 0) + SMALLEST_PRIORITY)
        by_position = np.empty(len(rows))
        by_position[rows.best_first] = _rank_weights(len(rows), self.alpha)[0]
        return by_position


@checked
@dataclass(frozen=True)
class RankWindow:
    """The best molecules, better ones more often: rank r of the best n has probability proportional to 1 / (k·n + r).

    Ranks begin at 0, and each molecule counts once, with its best row. The window and the weights are those of Genetic
    GFN (Kim et al. 2024, https://arxiv.org/abs/2402.05961), after the weighted retraining of Tripp et al. 2020,
    https://arxiv.org/abs/2006.09191, section 3. With the defaults the best molecule is about 100 times as likely as the
    last one. Rows of a batch are drawn one after another without replacement.

    Attributes:
        window: the number of best molecules to draw from.
        k: the evenness of the probabilities, above 0: near 0 the best molecules dominate, and with a large k all
            molecules of the window are about equally likely.

    Example:
        >>> len(lab.dataset(objective, batch_size=8, selection=mb.RankWindow(window=16), batches=1)[0])
        8
    """

    window: Count = 1024
    k: Annotated[float, Gt(0)] = 0.01

    def __post_init__(self) -> None:
        require_positive("window", self.window)
        if not (np.isfinite(self.k) and self.k > 0):
            raise ValueError(f"k of a rank window must be a number above 0, got {self.k}")

    def available(self, rows: SelectableRows, consumed: NDArray[np.integer]) -> int:
        return min(self.window, len(rows.best_of_each_molecule))

    def draw(self, rows: SelectableRows, n: int, rng: np.random.Generator, consumed: NDArray[np.integer]) -> Positions:
        best = rows.best_of_each_molecule[: self.window]
        if not len(best):
            return np.zeros(0, np.int64)
        return best[draw_in_sequence(-np.log(self.k * len(best) + np.arange(len(best))), min(n, len(best)), rng)]


@lru_cache(maxsize=4)
def _rank_weights(size: int, alpha: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the logarithms of rank^-alpha [size], rank 1 first, and the cumulative sums of these weights."""
    log_weights = -alpha * np.log(np.arange(1, size + 1, dtype=np.float64))
    cumulative = cumulative_weights(log_weights)
    log_weights.setflags(write=False)
    cumulative.setflags(write=False)
    return log_weights, cumulative
