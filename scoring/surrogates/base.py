"""The protocols of surrogates and acquisitions.

A surrogate learns the raw values of one component from scored molecules, and predicts a mean and a standard deviation
for other molecules. An acquisition picks the molecules to score by these predictions. Both are functions of their
arguments, so that a run that is resumed after an interruption picks the same molecules.
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
    """The prediction of a surrogate for n molecules, in the unit of the raw value.

    Attributes:
        mean: float64 [n], the expected values.
        sd: float64 [n], the standard deviations of the function without noise, at least 0.
        noise_sd: the standard deviation of the noise of measured values; 0 without noise.

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
    """The n picks of an acquisition from N candidates.

    Attributes:
        indices: int64 [min(n, N)], the picked candidates in the order of picking, each at most once.
        values: float64 [N], the acquisition value of every candidate: the value at which a candidate was picked, and
            the last value of the others.

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
    """A surrogate after it was fitted.

    Example:
        >>> fitted = mb.GaussianProcess().fit(["CCO"], np.array([0.5]), seed=0)
        >>> isinstance(fitted, mb.FittedSurrogate)
        True
    """

    def predict(self, smiles: Sequence[str]) -> Prediction:
        """Return the prediction for n canonical SMILES."""


@runtime_checkable
class Surrogate(Protocol):
    """A model that learns to predict the raw values of a component.

    Example:
        >>> isinstance(mb.GaussianProcess(), mb.Surrogate)
        True
    """

    def fit(self, smiles: Sequence[str], values: Values, seed: int) -> FittedSurrogate:
        """Return the surrogate fitted on scored molecules.

        The result must depend only on the arguments, and not on earlier calls.

        Args:
            smiles: n canonical SMILES, in the order in which their scores arrived.
            values: float64 [n], the finite raw values of the molecules; larger values are better.
            seed: the seed of random numbers.
        """


@runtime_checkable
class Acquisition(Protocol):
    """A rule that picks the candidates to score.

    Example:
        >>> isinstance(mb.UpperConfidenceBound(), mb.Acquisition)
        True
    """

    def pick(self, prediction: Prediction, best: float, n: int, seed: int) -> Picks:
        """Return the picked candidates.

        Args:
            prediction: the prediction for N candidates; larger values are better.
            best: the best known value; -inf without one.
            n: the number of picks; all candidates are picked if there are fewer.
            seed: the seed of random numbers.
        """


SURROGATES = Family("surrogates", class_with("fit"))
"""The kinds of surrogates."""
ACQUISITIONS = Family("acquisitions", class_with("pick"))
"""The kinds of acquisitions."""
