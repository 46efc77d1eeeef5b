"""The input features of a model for a molecule: bits or counts of a fingerprint, or descriptors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import Descriptors, rdFingerprintGenerator

from molbuffer.scoring.errors import ScoringConfigurationError, unknown_name

FeatureKind = Literal["morgan", "morgan_counts", "descriptors"]
_DESCRIPTORS: dict[str, Callable[[Chem.Mol], float]] = dict(Descriptors.descList)


@dataclass(frozen=True)
class Features:
    """The features of molecules that a model was trained on.

    Attributes:
        kind: bits or counts of a folded Morgan fingerprint, or descriptors.
        radius: the radius of the fingerprint in bonds.
        bits: the length of the fingerprint.
        chirality: whether environments distinguish stereocentres.
        descriptors: the names of RDKit's descriptors, such as MolWt, in the order of the model's inputs.
    """

    kind: FeatureKind
    radius: int = 2
    bits: int = 2048
    chirality: bool = False
    descriptors: Sequence[str] = ()

    def __post_init__(self) -> None:
        if (self.kind == "descriptors") != bool(self.descriptors):
            raise ScoringConfigurationError(
                f"a list of descriptors belongs to features 'descriptors', got features {self.kind!r} and descriptors "
                f"{list(self.descriptors)}"
            )
        for name in self.descriptors:
            if name not in _DESCRIPTORS:
                raise unknown_name("descriptor", name, _DESCRIPTORS)

    @property
    def size(self) -> int:
        """The number of features."""
        return len(self.descriptors) if self.kind == "descriptors" else self.bits

    def of(self, molecule: Chem.Mol) -> NDArray[np.float64]:
        """Return the features [size] of a molecule.

        Raises:
            ValueError: a descriptor has no finite value.
        """
        if self.kind == "morgan":
            return np.asarray(self._generator.GetFingerprintAsNumPy(molecule), np.float64)
        if self.kind == "morgan_counts":
            return np.asarray(self._generator.GetCountFingerprintAsNumPy(molecule), np.float64)
        values = np.array([_DESCRIPTORS[name](molecule) for name in self.descriptors], np.float64)
        if not np.isfinite(values).all():
            wrong = [name for name, value in zip(self.descriptors, values, strict=True) if not np.isfinite(value)]
            raise ValueError(f"the descriptor {wrong[0]} has no finite value for it")
        return values

    @cached_property
    def _generator(self) -> rdFingerprintGenerator.FingerprintGenerator64:
        return rdFingerprintGenerator.GetMorganGenerator(
            radius=self.radius, fpSize=self.bits, includeChirality=self.chirality
        )
