"""Pharmacophores of a molecule: pairs and triangles of pharmacophoric atoms at distances along bonds.

The features and the bins of distances are those of Gobbi and Poppinger, Biotechnology and Bioengineering 61:47 (1998).
The sets correspond to the bits of RDKit's ``Pharm2D``; the computation with arrays takes about a tenth of the time.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

Codes = NDArray[np.int64]

NEAREST, UNRELATED = 2, 100
"""The bounds [nearest, unrelated) of the distance of two atoms of a pharmacophore, in bonds.

RDKit's distance between atoms of two fragments is above all others.
"""
FARTHEST = 8
"""The distance in bonds from which on all distances are in one bin."""
FAMILIES, DISTANCES = 8, 8
"""The number of families of features, and of bins of distances; bin 0 stands for no pharmacophore."""
MOST_TRIANGLES = 4_000_000
"""The largest number of triangles of atoms in an array."""


def pharmacophores(molecule: Chem.Mol) -> Codes:
    """Return the sorted, distinct codes of the pairs and triangles of pharmacophoric atoms of a molecule.

    A code stands for the families of the atoms and the bins of their distances. It does not depend on the order of the
    atoms.
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
    """Return the families [n] and the atoms [n] of the features, sorted by family."""
    names = _family_numbers()
    found = sorted(
        (names[feature.GetFamily()], feature.GetAtomIds()[0]) for feature in _factory().GetFeaturesForMol(molecule)
    )
    families, atoms = np.array(found, dtype=np.int64).reshape(-1, 2).T
    return families, atoms


def _triangles(families: Codes, bins: Codes, start: int, end: int) -> Codes:
    """Return the codes of the triangles whose first feature is in [start, end); each feature has a single atom."""
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
    """Return the canonical code of each code of a triangle, which does not depend on the order of atoms of a family."""
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
    # Imported here, since only pharmacophores need it.
    from rdkit.Chem.Pharm2D import Gobbi_Pharm2D

    factory: Any = Gobbi_Pharm2D.factory
    return factory.featFactory


@cache
def _family_numbers() -> dict[str, int]:
    return {family: number for number, family in enumerate(sorted(_factory().GetFeatureFamilies()))}
