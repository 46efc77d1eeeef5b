"""Randomised SMILES: other SMILES of the same molecules, with the atoms in a random order."""

from __future__ import annotations

from collections.abc import Sequence

from rdkit import Chem

from molbuffer.scoring.molecules.parsing import parse_smiles


def random_smiles(smiles: Sequence[str], seeds: Sequence[int]) -> list[str | None]:
    """Return a randomised SMILES of each molecule, which is not standardised. It may be the same string.

    Args:
        smiles: SMILES [n].
        seeds: the seed [n] of the order of the atoms of each molecule, from 1 to 2^31 - 1. The same seed gives the same
            SMILES.

    Returns:
        SMILES [n]; None for a string that is no molecule.
    """
    found: list[str | None] = []
    for text, seed in zip(smiles, seeds, strict=True):
        molecule = parse_smiles(text)
        found.append(None if molecule is None else Chem.MolToRandomSmilesVect(molecule, 1, randomSeed=seed)[0])
    return found
