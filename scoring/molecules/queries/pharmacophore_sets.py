"""Pharmacophores of a molecule: pairs and triangles of pharmacophoric atoms at distances along bonds.

The features and the bins of distances are those of Gobbi and Poppinger, Biotechnology and Bioengineering 61:47 (1998).
The set is that of the bits of RDKit's ``Pharm2D``, found with arrays in about a tenth of the time.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

Codes = NDArray[np.int64]

NEAREST, UNRELATED = 2, 100
"""Atoms nearer than the one, in bonds, or as far as the other, as those of two fragments, make no pharmacophore."""
FARTHEST = 8
"""The distance from which on all are one."""
FAMILIES, DISTANCES = 8, 8
"""The kinds of features, and the bins of distances, of which 0 is none."""
MOST_TRIANGLES = 4_000_000
"""The most triangles of atoms that are looked at together."""


def pharmacophores(molecule: Chem.Mol) -> Codes:
    """Return the codes of the pairs and triangles that a molecule has, each once and sorted.

    A code stands for the kinds of the atoms and the bins of their distances, in whatever order they come.
    """
    families, atoms = _features(molecule)
    distances = Chem.GetDistanceMatrix(molecule)[np.ix_(atoms, atoms)]
    related = (distances >= NEAREST) & (distances < UNRELATED)
    bins = np.where(related, np.minimum(distances, FARTHEST) - 1, 0).astype(np.int64)
    found = np.zeros(len(_canonical_triangles()) + FAMILIES**2 * DISTANCES, dtype=bool)
    first, second = np.nonzero(np.triu(related, 1))
    pairs = (families[first] * FAMILIES + families[second]) * DISTANCES + bins[first, second]
    found[len(_canonical_triangles()) + pairs] = True
    step = max(1, MOST_TRIANGLES // max(1, len(atoms) ** 2))
    for start in range(0, len(atoms), step):
        found[_triangles(families, bins, start, start + step)] = True
    codes: Codes = np.flatnonzero(found)
    return codes


def common_share(a: Codes, b: Codes) -> float:
    """Return the Tanimoto similarity of two sets of codes, in [0, 1]; 0 if both are empty."""
    common = len(np.intersect1d(a, b, assume_unique=True))
    either = len(a) + len(b) - common
    return common / either if either else 0.0


def _features(molecule: Chem.Mol) -> tuple[Codes, Codes]:
    """Return the families and the atoms of the features, those of a family together."""
    names = _family_numbers()
    found = sorted(
        (names[feature.GetFamily()], feature.GetAtomIds()[0]) for feature in _factory().GetFeaturesForMol(molecule)
    )
    families, atoms = np.array(found, dtype=np.int64).reshape(-1, 2).T
    return families, atoms


def _triangles(families: Codes, bins: Codes, start: int, end: int) -> Codes:
    """Return the codes of the triangles whose first feature is one of a range; each feature has but one atom."""
    related = np.triu(bins, 1) > 0
    of_first = related[start:end]
    first, second, third = np.nonzero(of_first[:, :, None] & of_first[:, None, :] & related[None, :, :])
    first = first + start
    kinds = (families[first] * FAMILIES + families[second]) * FAMILIES + families[third]
    sides = (bins[first, second] * DISTANCES + bins[first, third]) * DISTANCES + bins[second, third]
    codes: Codes = _canonical_triangles()[kinds * DISTANCES**3 + sides]
    return codes


@cache
def _canonical_triangles() -> Codes:
    """Return for each code of a triangle the one of all that differ from it in the order of atoms of a kind only."""
    kinds, sides = np.divmod(np.arange((FAMILIES * DISTANCES) ** 3), DISTANCES**3)
    a, b, c = kinds // FAMILIES**2, kinds // FAMILIES % FAMILIES, kinds % FAMILIES
    lengths = np.stack([sides // DISTANCES**2, sides // DISTANCES % DISTANCES, sides % DISTANCES])
    ab, ac, bc = np.where((a == b) & (b == c), np.sort(lengths, axis=0), lengths)
    # Exchanging the first two atoms exchanges their distances from the third, and so on.
    low, high = np.minimum(ac, bc), np.maximum(ac, bc)
    ac, bc = np.where((a == b) & (b != c), (low, high), (ac, bc))
    low, high = np.minimum(ab, ac), np.maximum(ab, ac)
    ab, ac = np.where((b == c) & (a != b), (low, high), (ab, ac))
    codes: Codes = kinds * DISTANCES**3 + (ab * DISTANCES + ac) * DISTANCES + bc
    return codes


@cache
def _factory() -> Any:
    # Only molecules that are scored by pharmacophores pay for this import.
    from rdkit.Chem.Pharm2D import Gobbi_Pharm2D

    factory: Any = Gobbi_Pharm2D.factory
    return factory.featFactory


@cache
def _family_numbers() -> dict[str, int]:
    return {family: number for number, family in enumerate(sorted(_factory().GetFeatureFamilies()))}
