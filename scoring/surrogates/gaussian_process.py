"""Gaussian processes on count fingerprints and descriptors."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from molbuffer.kinds import Count, NotNegative, checked
from molbuffer.scoring.surrogates.base import Prediction
from molbuffer.scoring.surrogates.kernel import Features, Kernel
from molbuffer.scoring.surrogates.marginal_likelihood import PRIOR_TARGETS, most_likely
from molbuffer.scoring.surrogates.one_thread import one_thread

Values = NDArray[np.float64]
Indices = NDArray[np.int64]

FIRST_LEARNT = 32
"""The number of values from which on noise and kernel are learnt; they are learnt again at each doubling."""
MOST_LEARNT = 512
"""The largest number of values from which noise and kernel are learnt."""
ENVIRONMENTS = (0.1, 0.3, 0.6)
"""The shares of the environments in the kernel that are tried, in addition to 1."""
LENGTHS = (1.5, 2.0, 3.0, 4.5)
"""The length scales of the descriptors that are tried, in standard deviations."""
UNLEARNT = (0.6, 3.0)
"""The share of the environments and the length scale while there are too few values to learn them."""
BLOCK = 4096
"""The number of molecules that are predicted at once, which bounds the memory."""

REACH = 0.5
"""The largest distance of a value below the lower quartile, as a multiple of the maximum's distance above it."""

LARGEST = 1e100
"""The magnitude to which values are clipped, so that squares and multiples stay finite."""


@checked
@dataclass(frozen=True)
class GaussianProcess:
    """An exact Gaussian process whose kernel compares Morgan counts and descriptors (``kernel``).

    Values are scaled to mean 0 and variance 1. The function has a constant mean and an amplitude, which follow from the
    training set in closed form. The share of the noise, the weights of environments and descriptors, and the length
    scale of the descriptors maximise the marginal likelihood (``marginal_likelihood``) of the first m values, where m
    is the largest of 32, 64, 128, ... up to the number of values. Without any value, the prediction is 0 with an sd
    of 1.

    The training set has the best values and a random part of the others; low outliers are raised
    (``without_outliers``). If lower values are better, pass their negatives.

    Attributes:
        best: the number of molecules with the largest values in the training set.
        others: the number of molecules of the training set that are drawn at random from the others.
        noise: the ratio of the variance of the noise to that of the function, while there are fewer than 32 values.
        radius: the largest radius of the circular environments; 2 is ECFP4.
        descriptors: whether the kernel also compares descriptors of whole molecules: numbers of atoms, rings, donors
            and acceptors, logP and polar surface; False compares environments alone.

    Example:
        >>> fitted = mb.GaussianProcess().fit(["CCO", "CCCO"], np.array([1.0, 2.0]), seed=0)
        >>> fitted.predict(["CCCO"]).mean.round(1).tolist()
        [2.0]
    """

    best: Count = 400
    others: NotNegative = 400
    noise: Annotated[float, Ge(1e-6), Le(1)] = 1e-3
    radius: Annotated[int, Ge(0), Le(4)] = 2
    descriptors: bool = True

    def fit(self, smiles: Sequence[str], values: Values, seed: int) -> FittedGaussianProcess | NothingKnown:
        """Return the process fitted on scored molecules; see ``Surrogate``.

        Raises:
            ValueError: a value is not finite, a SMILES cannot be read, or the numbers of SMILES and values differ.
        """
        values = np.asarray(values, np.float64)
        _check(smiles, values)
        if not len(values):
            return NothingKnown()
        values = np.clip(values, -LARGEST, LARGEST)
        chosen = self._training_set(values, seed)
        targets = without_outliers(values[chosen])
        scale = Scale.of(targets)
        features = Features.of([smiles[index] for index in chosen], self.radius)
        kernel, noise = self._learnt(smiles, values, features)
        with one_thread():
            posterior = Posterior.of(kernel.between(features, features), scale.scaled(targets), noise)
        return FittedGaussianProcess(self.radius, features, kernel, scale, posterior)

    def _training_set(self, values: Values, seed: int) -> Indices:
        """Return the indices of the training set, in the order of arrival."""
        order = np.argsort(-values, kind="stable")
        best, rest = order[: self.best], order[self.best :]
        if len(rest) > self.others:
            rest = np.random.default_rng(seed).choice(rest, self.others, replace=False)
        return np.sort(np.concatenate([best, rest]))

    def _learnt(self, smiles: Sequence[str], values: Values, features: Features) -> tuple[Kernel, float]:
        """Return the kernel, and the ratio of the variance of the noise to that of the function."""
        if len(values) < FIRST_LEARNT:
            environments, length = UNLEARNT if self.descriptors else (1.0, 1.0)
            return Kernel(environments, length, tuple(features.spreads.tolist())), self.noise
        first = FIRST_LEARNT << ((len(values) // FIRST_LEARNT).bit_length() - 1)
        spread = slice(0, first, -(-first // MOST_LEARNT))
        return _most_likely(tuple(smiles[spread]), tuple(values[spread].tolist()), self.radius, self.descriptors)


def without_outliers(values: Values) -> Values:
    """Return values [n] with low outliers raised, such as the energies of clashes in docking.

    A value is an outlier if its distance below the lower quartile is more than ``REACH`` times the distance of the
    maximum above the quartile.
    """
    quartile, top = float(np.quantile(values, 0.25)), float(values.max())
    return np.maximum(values, quartile - REACH * (top - quartile)) if top > quartile else values


@dataclass(frozen=True)
class Scale:
    """The mean and the standard deviation of values; the latter is 1 if all values are equal."""

    mean: float
    sd: float

    @staticmethod
    def of(values: Values) -> Scale:
        largest = float(np.abs(values).max())
        if not largest:
            return Scale(0.0, 1.0)
        shares = values / largest  # whose squares do not overflow
        sd = float(shares.std()) * largest
        return Scale(float(shares.mean()) * largest, sd if sd > 1e-12 * largest else 1.0)

    def scaled(self, values: Values) -> Values:
        return (values - self.mean) / self.sd


@dataclass(frozen=True, eq=False)
class Posterior:
    """The posterior of a Gaussian process given n targets, by the Cholesky factor L of K + λ I.

    Attributes:
        factor: L.
        ones: L⁻¹ 1.
        weights: (K + λ I)⁻¹ (y - β 1).
        mean: β, the mean of the function.
        variance: s², the variance of the function.
        noise: λ, the ratio of the variance of the noise to that of the function.
    """

    factor: Values
    ones: Values
    weights: Values
    mean: float
    variance: float
    noise: float

    @staticmethod
    def of(kernel: Values, targets: Values, noise: float) -> Posterior:
        """Return the posterior given targets [n] with the kernel [n, n], which is overwritten."""
        from scipy.linalg import cholesky  # which takes 0.2 s, and only those pay who predict

        kernel[np.diag_indices_from(kernel)] += noise
        factor = cholesky(kernel, lower=True, overwrite_a=True, check_finite=False)
        ones = _solved(factor, np.ones(len(targets)))
        whitened = _solved(factor, targets)
        mean = float(ones @ whitened / (ones @ ones))
        whitened = whitened - mean * ones
        variance = (whitened @ whitened + PRIOR_TARGETS) / (len(targets) - 1 + PRIOR_TARGETS)
        return Posterior(
            factor=factor,
            ones=ones,
            weights=_solved(factor, whitened, transposed=True),
            mean=mean,
            variance=float(variance),
            noise=noise,
        )

    def at(self, kernel: Values) -> tuple[Values, Values]:
        """Return the means [m] and standard deviations [m] of m points, by their kernel with the targets [n, m]."""
        mean = self.mean + self.weights @ kernel
        whitened = _solved(self.factor, kernel)
        of_function = 1 - np.einsum("nm,nm->m", whitened, whitened)
        of_mean = (1 - self.ones @ whitened) ** 2 / (self.ones @ self.ones)
        return mean, np.sqrt(self.variance * np.maximum(of_function + of_mean, 0))


@dataclass(frozen=True, eq=False)
class FittedGaussianProcess:
    """A Gaussian process that was fitted on a training set.

    Attributes:
        radius: the radius of the environments.
        features: the features of the training set.
        kernel: the kernel.
        scale: the scale of the values of the training set.
        posterior: the posterior given the scaled values.
    """

    radius: int
    features: Features
    kernel: Kernel
    scale: Scale
    posterior: Posterior

    def predict(self, smiles: Sequence[str]) -> Prediction:
        """Return the prediction for n canonical SMILES.

        Raises:
            ValueError: a SMILES cannot be read.
        """
        blocks = [smiles[start : start + BLOCK] for start in range(0, len(smiles), BLOCK)] or [[]]
        parts = [self._predicted(Features.of(block, self.radius)) for block in blocks]
        mean, sd = (np.concatenate(each) for each in zip(*parts, strict=True))
        noise_sd = float(np.sqrt(self.posterior.variance * self.posterior.noise))
        return Prediction(self.scale.mean + self.scale.sd * mean, self.scale.sd * sd, self.scale.sd * noise_sd)

    def _predicted(self, features: Features) -> tuple[Values, Values]:
        with one_thread():
            return self.posterior.at(self.kernel.between(self.features, features))


@dataclass(frozen=True)
class NothingKnown:
    """The prediction without any known value: 0, with an sd of 1."""

    def predict(self, smiles: Sequence[str]) -> Prediction:
        return Prediction(np.zeros(len(smiles)), np.ones(len(smiles)))


def _solved(factor: Values, right: Values, transposed: bool = False) -> Values:
    from scipy.linalg import solve_triangular  # which takes 0.2 s, and only those pay who predict

    found: Values = solve_triangular(factor, right, lower=True, trans=int(transposed), check_finite=False)
    return found


@lru_cache(maxsize=64)
def _most_likely(
    smiles: tuple[str, ...], values: tuple[float, ...], radius: int, descriptors: bool
) -> tuple[Kernel, float]:
    features = Features.of(smiles, radius)
    spreads = tuple(features.spreads.tolist())
    shapes = [(1.0, 1.0), *(itertools.product(ENVIRONMENTS, LENGTHS) if descriptors else ())]
    kernels = [Kernel(environments, length, spreads) for environments, length in shapes]
    targets = without_outliers(np.array(values))
    with one_thread():
        compared = (kernel.between(features, features) for kernel in kernels)
        which, noise = most_likely(compared, Scale.of(targets).scaled(targets))
    return kernels[which], noise


def _check(smiles: Sequence[str], values: Values) -> None:
    if values.shape != (len(smiles),):
        raise ValueError(f"expected a value of each of {len(smiles)} molecules, got values of shape {values.shape}")
    if len(wrong := np.flatnonzero(~np.isfinite(values))):
        where = wrong[0]
        raise ValueError(f"{len(wrong)} values are not finite, as {values[where]} of {smiles[where]}: leave them out")
