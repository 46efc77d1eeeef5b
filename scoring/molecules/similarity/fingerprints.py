"""Count fingerprints of molecules and their Tanimoto similarity.

The kinds are those of the GuacaMol benchmark (Brown et al., J. Chem. Inf. Model. 59:1096, 2019): counts, not bits, and
no folding, so that a similarity of 1 between different molecules is rare.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator, rdMolDescriptors

from molbuffer.scoring.molecules.parsing import parse_canonical

LONGEST_ATOM_PAIR = 10
"""The greatest number of bonds between the atoms of a pair, as in GuacaMol."""
DISTANCE_BITS = 5
"""The number of bits of the distance in RDKit's code of an atom pair."""


class Fingerprint(StrEnum):
    """The features that a fingerprint counts.

    ``morgan``: circular environments of atoms up to a radius; ECFP4 is radius 2.
    ``fcfp``: the same with atoms distinguished only by their pharmacophoric role; FCFP4 is radius 2.
    ``atom_pair``: pairs of atoms with the number of bonds between them, up to 10; it has no radius. A molecule without
    a pair, such as methane or a salt of single atoms, has its atoms as features, so that it equals itself.
    """

    MORGAN = "morgan"
    FCFP = "fcfp"
    ATOM_PAIR = "atom_pair"


def count_fingerprint(molecule: Chem.Mol, kind: Fingerprint, radius: int = 2) -> DataStructs.ULongSparseIntVect:
    """Return the unfolded count fingerprint, without chirality."""
    fingerprint: DataStructs.ULongSparseIntVect = _generator(kind, radius).GetSparseCountFingerprint(molecule)
    if kind is Fingerprint.ATOM_PAIR and not has_pairs(molecule):
        for atom in molecule.GetAtoms():
            # The lowest bits of a pair's code are its distance, at least 1: codes of distance 0 are free for atoms.
            fingerprint[rdMolDescriptors.GetAtomPairAtomCode(atom) << DISTANCE_BITS] += 1
    return fingerprint


def bit_fingerprints(smiles: Sequence[str], bits: int) -> NDArray[np.float32]:
    """Return the folded Morgan fingerprints, of radius 2, of canonical SMILES, float32 [n, bits], of 0 and 1."""
    generator = _bit_generator(bits)
    found = [generator.GetFingerprintAsNumPy(parse_canonical(text)) for text in smiles]
    return np.array(found, np.float32).reshape(len(smiles), bits)


@cache
def _bit_generator(bits: int) -> Any:
    return rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=bits)


def has_pairs(molecule: Chem.Mol) -> bool:
    """Return whether two atoms of the molecule are bonded, so that it has pairs of atoms."""
    return bool(molecule.GetNumBonds())


def tanimoto(a: DataStructs.ULongSparseIntVect, b: DataStructs.ULongSparseIntVect) -> float:
    """Return Σ min(a_i, b_i) / Σ max(a_i, b_i), in [0, 1]; 0 if both are empty."""
    return float(DataStructs.TanimotoSimilarity(a, b))


@cache
def _generator(kind: Fingerprint, radius: int) -> Any:
    if kind is Fingerprint.ATOM_PAIR:
        return rdFingerprintGenerator.GetAtomPairGenerator(maxDistance=LONGEST_ATOM_PAIR)
    if kind is Fingerprint.FCFP:
        features = rdFingerprintGenerator.GetMorganFeatureAtomInvGen()
        return rdFingerprintGenerator.GetMorganGenerator(radius=radius, atomInvariantsGenerator=features)
    return rdFingerprintGenerator.GetMorganGenerator(radius=radius)
