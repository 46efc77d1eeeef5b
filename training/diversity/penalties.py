"""Penalties: the factor on the reward of a molecule in a bucket of N molecules that is full at m molecules.

Each function takes ``counts``, float64 [n], the N of each row, at least 1, and ``size``, the m, and returns factors
[n] in [0, 1] that do not grow with N. ``step`` is from Blaschke et al. 2020
(https://doi.org/10.1186/s13321-020-00473-0); the others are from Svensson et al. 2024, section 3
(https://arxiv.org/abs/2410.10431), bounded from below by 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from molbuffer.training.diversity.settings import PenaltyName

Factors = NDArray[np.float64]
Penalty = Callable[[Factors, int], Factors]

SIGMOID_SCALE = 0.15
"""The scale of the sigmoid, as published."""
TANH_STEEPNESS = 3.0
"""The steepness of the hyperbolic tangent, as published."""


def step(counts: Factors, size: int) -> Factors:
    """Return 1 up to a full bucket, N <= m, and 0 beyond."""
    return (counts <= size).astype(np.float64)


def linear(counts: Factors, size: int) -> Factors:
    """Return 1 - N / m."""
    return _bounded(1 - counts / size)


def sigmoid(counts: Factors, size: int) -> Factors:
    """Return 1 - 1 / (1 + exp(-(2N / m - 1) / 0.15)): 0.5 for a half-full bucket."""
    from scipy.special import expit  # the import takes 0.2 s, which other penalties need not spend

    return _bounded(expit(-(2 * counts / size - 1) / SIGMOID_SCALE))


def tanh(counts: Factors, size: int) -> Factors:
    """Return 1 - the hyperbolic tangent of 3 (N - 1) / m: 1 for the first molecule."""
    return _bounded(1 - np.tanh(TANH_STEEPNESS * (counts - 1) / size))


def error_function(counts: Factors, size: int) -> Factors:
    """Return 1 + erf(√π / m) - erf(√π N / m): 1 for the first molecule."""
    from scipy.special import erf  # the import takes 0.2 s, which other penalties need not spend

    return _bounded(1 + erf(np.sqrt(np.pi) / size) - erf(np.sqrt(np.pi) * counts / size))


def no_penalty(counts: Factors, size: int) -> Factors:
    """Return 1 for every N."""
    return np.ones(len(counts))


def _bounded(factors: Factors) -> Factors:
    return np.clip(factors, 0.0, 1.0)


PENALTIES: Mapping[PenaltyName, Penalty] = {
    "step": step,
    "linear": linear,
    "sigmoid": sigmoid,
    "tanh": tanh,
    "erf": error_function,
    "none": no_penalty,
}
"""The penalties by the name in a configuration."""
