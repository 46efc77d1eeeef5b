"""Choices: a choice picks diverse molecules to score from more candidates than are needed.

The other candidates are stored as rejected by ``choice``. A choice does not use rewards: it spreads the scored
molecules of a batch over those that the policy draws. It is a function of the molecules, the number and the seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol, runtime_checkable

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray
from rdkit import DataStructs
from rdkit.Chem import rdFingerprintGenerator
from rdkit.SimDivFilters.rdSimDivPickers import MaxMinPicker

from molbuffer.kinds import Family, checked, class_with
from molbuffer.scoring.molecules import parse_canonical

CHOICE = "choice"
"""The reason that rejects a molecule which was not chosen to be scored."""

Candidates = Annotated[float, Ge(1)]
Indices = NDArray[np.int64]

_FINGERPRINT_BITS, _RADIUS = 2048, 2


@runtime_checkable
class Choice(Protocol):
    """A rule that chooses the molecules to score.

    Attributes:
        candidates: the number of molecules drawn for each one that is chosen, at least 1.
    """

    @property
    def candidates(self) -> float: ...

    def choose(self, smiles: Sequence[str], n: int, seed: int) -> Indices:
        """Return the indices [min(n, len(smiles))] of the molecules chosen from distinct canonical SMILES."""


@checked
@dataclass(frozen=True)
class MaxMin:
    """The choice of distant molecules: after a random one, always add the one farthest from its nearest chosen one.

    The distance is 1 - the Tanimoto similarity of Morgan fingerprints (2,048 bits, radius 2), as in RDKit's MaxMin
    picker (Ashton et al. 2002, https://doi.org/10.1002/qsar.200290002).

    Attributes:
        candidates: the number of molecules that are drawn for each that is scored.

    Example:
        >>> sorted(mb.MaxMin().choose(["CCO", "CCCO", "c1ccccc1"], 2, seed=0).tolist())[-1]
        2
    """

    candidates: Candidates = 4.0

    def choose(self, smiles: Sequence[str], n: int, seed: int) -> Indices:
        if not 0 < n < len(smiles):
            return np.arange(len(smiles))[: max(0, n)]
        first = _random_one(smiles, seed)
        picked = MaxMinPicker().LazyBitVectorPick(_fingerprints(smiles), len(smiles), n, firstPicks=[first])
        return np.array(picked, np.int64)


@checked
@dataclass(frozen=True)
class Determinantal:
    """The choice of molecules whose similarity matrix has a large determinant: diverse, but not outliers by design.

    It approximates the most likely set of a determinantal point process with the matrix of Tanimoto similarities. The
    search is greedy and starts from a random molecule (Chen et al. 2018, algorithm 1,
    https://arxiv.org/abs/1709.05135). Svensson et al. 2025 (https://arxiv.org/abs/2506.21158) learn from such batches.

    Attributes:
        candidates: the number of molecules that are drawn for each that is scored.

    Example:
        >>> sorted(mb.Determinantal().choose(["CCO", "CCCO", "c1ccccc1"], 2, seed=0).tolist())[-1]
        2
    """

    candidates: Candidates = 4.0

    def choose(self, smiles: Sequence[str], n: int, seed: int) -> Indices:
        if not 0 < n < len(smiles):
            return np.arange(len(smiles))[: max(0, n)]
        kernel = _similarities(smiles)
        left = kernel.diagonal().copy()  # the factor by which each would enlarge the determinant
        factors = np.zeros((n, len(smiles)))
        chosen = [_random_one(smiles, seed)]
        for step in range(n - 1):
            newest = chosen[-1]
            row = (kernel[newest] - factors[:step, newest] @ factors[:step]) / np.sqrt(left[newest])
            factors[step] = row
            left = np.maximum(left - row**2, 1e-12)
            left[chosen] = -1.0
            chosen.append(int(np.argmax(left)))
        return np.array(chosen, np.int64)


def _random_one(smiles: Sequence[str], seed: int) -> int:
    return int(np.random.default_rng(seed).integers(len(smiles)))


def _fingerprints(smiles: Sequence[str]) -> list[DataStructs.ExplicitBitVect]:
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=_RADIUS, fpSize=_FINGERPRINT_BITS)
    return [generator.GetFingerprint(parse_canonical(text)) for text in smiles]


def _similarities(smiles: Sequence[str]) -> NDArray[np.float64]:
    fingerprints = _fingerprints(smiles)
    return np.array([DataStructs.BulkTanimotoSimilarity(each, fingerprints) for each in fingerprints], np.float64)


CHOICES = Family("choices", class_with("candidates", "choose"))
"""The kinds of choices."""
