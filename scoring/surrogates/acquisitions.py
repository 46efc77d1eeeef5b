"""Acquisitions: functions of predictions that rank candidates.

Larger values are better. Of candidates with equal values, the first is picked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from molbuffer.kinds import checked
from molbuffer.scoring.errors import ScoringConfigurationError
from molbuffer.scoring.surrogates.base import Picks, Prediction

Values = NDArray[np.float64]


@checked
@dataclass(frozen=True)
class UpperConfidenceBound:
    """The mean plus κ standard deviations, with a random strength κ = 10^U(lowest, highest) for each pick.

    A batch with a single strength has similar candidates; random strengths mix safe candidates with uncertain ones.

    Attributes:
        lowest: the lower bound of the exponent.
        highest: the upper bound of the exponent; the same as ``lowest`` for a fixed strength.

    Example:
        >>> prediction = mb.Prediction(np.array([0.0, 0.5]), np.array([1.0, 0.0]))
        >>> mb.UpperConfidenceBound(0, 0).pick(prediction, best=0.5, n=1, seed=0).indices.tolist()
        [0]
    """

    lowest: float = -1.0
    highest: float = 0.0

    def __post_init__(self) -> None:
        if self.highest < self.lowest:
            raise ScoringConfigurationError(
                f"expected exponents with lowest <= highest, got lowest = {self.lowest} and highest = {self.highest}"
            )

    def pick(self, prediction: Prediction, best: float, n: int, seed: int) -> Picks:
        rng = np.random.default_rng(seed)

        def draw() -> Values:
            return prediction.mean + 10 ** rng.uniform(self.lowest, self.highest) * prediction.sd

        return _one_by_one(draw, prediction, n)


@checked
@dataclass(frozen=True)
class ThompsonSampling:
    """A value drawn from the predicted distribution, anew for each pick.

    The values of candidates are drawn independently, although those of similar molecules are correlated: a prediction
    has no covariances.

    Example:
        >>> prediction = mb.Prediction(np.array([0.0, 0.5]), np.array([0.1, 0.1]))
        >>> mb.ThompsonSampling().pick(prediction, best=0.5, n=1, seed=0).indices.tolist()
        [1]
    """

    def pick(self, prediction: Prediction, best: float, n: int, seed: int) -> Picks:
        rng = np.random.default_rng(seed)

        def draw() -> Values:
            return prediction.mean + prediction.sd * rng.standard_normal(len(prediction))

        return _one_by_one(draw, prediction, n)


@checked
@dataclass(frozen=True)
class ExpectedImprovement:
    """The expected improvement over the best value: E[max(f - best, 0)] (Jones et al. 1998,
    https://doi.org/10.1023/A:1008306431147).

    Without a best value, the mean is used instead. Candidates whose expected improvement is 0 in double precision are
    ordered by (mean - best) / sd.

    Example:
        >>> prediction = mb.Prediction(np.array([0.4, 0.5]), np.array([0.5, 0.01]))
        >>> mb.ExpectedImprovement().pick(prediction, best=0.5, n=1, seed=0).values.round(3).tolist()
        [0.153, 0.004]
    """

    def pick(self, prediction: Prediction, best: float, n: int, seed: int) -> Picks:
        if not np.isfinite(best):
            return Greedy().pick(prediction, best, n, seed)
        from scipy.special import ndtr  # which takes 0.2 s, and only those pay who predict

        ahead, sd = prediction.mean - best, prediction.sd
        certain = sd <= 0
        with np.errstate(over="ignore"):  # of a tiny sd
            ratio = np.where(certain, np.where(ahead > 0, np.inf, -np.inf), ahead / np.where(certain, 1, sd))
            density = np.exp(-(ratio**2) / 2) / np.sqrt(2 * np.pi)
        values = np.maximum(ahead * ndtr(ratio) + sd * density, 0)
        return Picks(np.lexsort((-ratio, -values))[: max(0, n)], values)


@checked
@dataclass(frozen=True)
class Greedy:
    """The mean alone, which ignores the uncertainty of a prediction.

    Example:
        >>> prediction = mb.Prediction(np.array([0.4, 0.5]), np.array([0.5, 0.01]))
        >>> mb.Greedy().pick(prediction, best=0.5, n=1, seed=0).indices.tolist()
        [1]
    """

    def pick(self, prediction: Prediction, best: float, n: int, seed: int) -> Picks:
        order = np.argsort(-prediction.mean, kind="stable")
        return Picks(order[: max(0, n)], prediction.mean.copy())


def _one_by_one(draw: Callable[[], Values], prediction: Prediction, n: int) -> Picks:
    """Return n picks: for each, draw values of all candidates and take the largest one among those not yet picked."""
    picked: list[int] = []
    left = np.ones(len(prediction), bool)
    values = prediction.mean.copy()
    for _ in range(min(n, len(prediction))):
        drawn = draw()
        values[left] = drawn[left]
        best = int(np.argmax(np.where(left, drawn, -np.inf)))
        left[best] = False
        picked.append(best)
    return Picks(np.array(picked, np.int64), values)
