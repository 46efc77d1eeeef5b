"""Descriptors of whole molecules: size, composition and polarity, which single environments do not show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

from molbuffer.scoring.molecules import parse_canonical

ELEMENTS = (6, 7, 8, 9, 15, 16, 17, 35, 53)
"""The atomic numbers of the elements that are counted."""
NAMES = (
    *(Chem.GetPeriodicTable().GetElementSymbol(number) for number in ELEMENTS),
    "hydrogens",
    "heavy_atoms",
    "aromatic_rings",
    "aliphatic_rings",
    "rotatable_bonds",
    "hydrogen_bond_donors",
    "hydrogen_bond_acceptors",
    "logp",
    "tpsa",
    "fraction_sp3",
)
"""The names of the descriptors: all are counts except logp (Crippen), tpsa (Å²) and fraction_sp3 (in [0, 1])."""
LEAST_SPREADS = np.array([0.3] * 17 + [6.0, 0.075])
"""The least standard deviation of each descriptor [19]; a smaller one is raised to it."""

Values = NDArray[np.float64]


def descriptor_rows(smiles: Sequence[str]) -> Values:
    """Return the descriptors of canonical SMILES, float64 [n, 19], in the order of ``NAMES``.

    Raises:
        ValueError: a SMILES cannot be read.
    """
    rows = [_descriptors(text) for text in smiles]
    return np.array(rows) if rows else np.empty((0, len(NAMES)))


@lru_cache(maxsize=65_536)
def _descriptors(smiles: str) -> Values:
    molecule = parse_canonical(smiles)
    elements = Counter(atom.GetAtomicNum() for atom in molecule.GetAtoms())
    row = np.array(
        [
            *(elements[number] for number in ELEMENTS),
            sum(atom.GetTotalNumHs() for atom in molecule.GetAtoms()),
            molecule.GetNumHeavyAtoms(),
            rdMolDescriptors.CalcNumAromaticRings(molecule),
            rdMolDescriptors.CalcNumAliphaticRings(molecule),
            rdMolDescriptors.CalcNumRotatableBonds(molecule),
            rdMolDescriptors.CalcNumHBD(molecule),
            rdMolDescriptors.CalcNumHBA(molecule),
            rdMolDescriptors.CalcCrippenDescriptors(molecule)[0],
            rdMolDescriptors.CalcTPSA(molecule),
            rdMolDescriptors.CalcFractionCSP3(molecule),
        ],
        np.float64,
    )
    row.flags.writeable = False
    return row
