"""What surrogates and acquisitions are.

A surrogate learns the raw values of one component from molecules that have a score, and predicts those of others: a
mean, and how far off it may be. An acquisition picks, by such predictions, the molecules that are worth a score. Both
are functions of their arguments, so that a run that goes on after an interruption picks what it would have picked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from molbuffer.kinds import Family, class_with

Values = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a surrogate predicts for n molecules, in the unit of the raw value.

    Attributes:
        mean: float64 [n], the expected values.
        sd: float64 [n], the standard deviations of the function itself, above or equal to 0.
        noise_sd: the standard deviation of what is measured around the function; 0 without noise.

    Example:
        >>> prediction = mb.Prediction(np.array([1.0, 2.0]), np.array([0.1, 0.2]))
        >>> prediction.of([1]).mean.tolist()
        [2.0]
    """

    mean: Values
    sd: Values
    noise_sd: float = 0.0

    def __post_init__(self) -> None:
        if self.mean.ndim != 1 or self.mean.shape != self.sd.shape:
            raise ValueError(f"expected a mean and an sd of each molecule, got {self.mean.shape} and {self.sd.shape}")

    def __len__(self) -> int:
        return len(self.mean)

    def of(self, indices: Sequence[int] | Indices) -> Prediction:
        """Return the prediction of some of the molecules, by their indices."""
        chosen = np.asarray(indices, np.int64)
        return Prediction(self.mean[chosen], self.sd[chosen], self.noise_sd)


@dataclass(frozen=True, eq=False)
class Picks:
    """What an acquisition picked of N candidates.

    Attributes:
        indices: int64 [min(n, N)], the candidates in the order of picking, each at most once.
        values: float64 [N], the acquisition value of every candidate: of a picked one that by which it was picked, of
            the others the last one that they had.

    Example:
        >>> prediction = mb.Prediction(np.array([0.1, 0.3, 0.2]), np.zeros(3))
        >>> picks = mb.Greedy().pick(prediction, best=0.3, n=2, seed=0)
        >>> picks.indices.tolist(), picks.values.tolist()
        ([1, 2], [0.1, 0.3, 0.2])
    """

    indices: Indices
    values: Values


@runtime_checkable
class FittedSurrogate(Protocol):
    """A surrogate that has learnt.

    Example:
        >>> fitted = mb.GaussianProcess().fit(["CCO"], np.array([0.5]), seed=0)
        >>> isinstance(fitted, mb.FittedSurrogate)
        True
    """

    def predict(self, smiles: Sequence[str]) -> Prediction:
        """Return the prediction for some canonical SMILES."""


@runtime_checkable
class Surrogate(Protocol):
    """Learns to predict the raw values of a component.

    Example:
        >>> isinstance(mb.GaussianProcess(), mb.Surrogate)
        True
    """

    def fit(self, smiles: Sequence[str], values: Values, seed: int) -> FittedSurrogate:
        """Return the surrogate of some molecules with scores.

        The result is a function of the arguments: what an object keeps between calls must not change it.

        Args:
            smiles: n canonical SMILES, in the order in which their scores arrived.
            values: float64 [n], their raw values, finite; larger ones are better.
            seed: of what is random.
        """


@runtime_checkable
class Acquisition(Protocol):
    """Picks the candidates that are worth a score.

    Example:
        >>> isinstance(mb.UpperConfidenceBound(), mb.Acquisition)
        True
    """

    def pick(self, prediction: Prediction, best: float, n: int, seed: int) -> Picks:
        """Return the candidates that are picked, by a prediction in which larger values are better.

        Args:
            prediction: of N candidates.
            best: the best value that is known; -inf without one.
            n: the number of picks; all candidates are picked if there are fewer.
            seed: of what is random.
        """


SURROGATES = Family("surrogates", class_with("fit"))
"""The kinds of surrogates."""
ACQUISITIONS = Family("acquisitions", class_with("pick"))
"""The kinds of acquisitions."""
