"""How alike two molecules are for a Gaussian process: by their environments, and as wholes.

    k(a, b) = w T(a, b) + (1 - w) exp(-|d(a) - d(b)|² / 2ℓ²)

T is the min-max similarity of the counts of Morgan environments (``count_levels``); d are descriptors
(``descriptors``), each in units of its standard deviation. Both are positive definite, and 1 for a molecule and itself.
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
    """What a kernel compares of n molecules.

    Attributes:
        bits: float32 [n, 2048], their environments.
        descriptors: float64 [n, 19].
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
        """The standard deviations of the descriptors [19], those of descriptors that hardly differ raised."""
        found: Values = np.maximum(self.descriptors.std(axis=0), LEAST_SPREADS)
        return found


@dataclass(frozen=True)
class Kernel:
    """A kernel.

    Attributes:
        environments: w, the share of the environments, in [0, 1]; 1 is without descriptors.
        length: ℓ, the distance at which two molecules are no longer alike as wholes.
        spreads: the units of the descriptors [19].
    """

    environments: float
    length: float
    spreads: tuple[float, ...]

    def between(self, a: Features, b: Features) -> Values:
        """Return the kernel of each of n molecules with each of m, float64 [n, m]."""
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
    """Return exp(-|x - y|² / 2ℓ²) of each of n points [n, k] with each of m, float64 [n, m]."""
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * (a @ b.T)
    found: Values = np.exp(np.maximum(squares, 0) / (-2 * length**2))
    return found
