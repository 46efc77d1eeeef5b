"""The kernel of a Gaussian process: the similarity of two molecules by their environments and their descriptors.

    k(a, b) = w T(a, b) + (1 - w) exp(-|d(a) - d(b)|² / 2ℓ²)

T is the min-max similarity of the counts of Morgan environments (``count_levels``); d are descriptors
(``descriptors``), each in units of its standard deviation. Both parts are positive definite, and 1 for a = b.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from molbuffer.scoring.surrogates.count_levels import Bits, level_bits, similarities
from molbuffer.scoring.surrogates.descriptors import LEAST_SPREADS, descriptor_rows

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Features:
    """The features of n molecules that a kernel compares.

    Attributes:
        bits: float32 [n, 2048], the environments.
        descriptors: float64 [n, 19], the descriptors.
    """

    bits: Bits
    descriptors: Values

    @classmethod
    def of(cls, smiles: Sequence[str], radius: int) -> Features:
        """Return the features of canonical SMILES.

        Raises:
            ValueError: a SMILES cannot be read.
        """
        return cls(level_bits(smiles, radius), descriptor_rows(smiles))

    @property
    def spreads(self) -> Values:
        """The standard deviations of the descriptors [19], at least ``LEAST_SPREADS``."""
        found: Values = np.maximum(self.descriptors.std(axis=0), LEAST_SPREADS)
        return found


@dataclass(frozen=True)
class Kernel:
    """A kernel with its parameters.

    Attributes:
        environments: w, the share of the environments, in [0, 1]; with 1, descriptors have no effect.
        length: ℓ, the length scale of the descriptors.
        spreads: the standard deviations [19] by which descriptors are divided.
    """

    environments: float
    length: float
    spreads: tuple[float, ...]

    def between(self, a: Features, b: Features) -> Values:
        """Return the kernel, float64 [n, m], of each of n molecules with each of m molecules."""
        alike = similarities(a.bits, b.bits)
        if self.environments == 1:
            return alike
        alike *= self.environments
        alike += (1 - self.environments) * likeness(self._scaled(a), self._scaled(b), self.length)
        return alike

    def _scaled(self, features: Features) -> Values:
        found: Values = features.descriptors / np.array(self.spreads)
        return found


def likeness(a: Values, b: Values, length: float) -> Values:
    """Return exp(-|x - y|² / 2ℓ²), float64 [n, m], of each of n points [n, k] with each of m points [m, k]."""
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * (a @ b.T)
    found: Values = np.exp(np.maximum(squares, 0) / (-2 * length**2))
    return found
