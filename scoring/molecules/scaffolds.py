"""Bemis-Murcko scaffolds: the rings of a molecule and their linkers (https://doi.org/10.1021/jm9602928)."""

from __future__ import annotations

from collections.abc import Sequence

from rdkit import Chem
from rdkit.Chem.Scaffolds import MurckoScaffold

from molbuffer.scoring.molecules.parsing import parse_smiles
from molbuffer.scoring.workers import map_chunks


def scaffold_of(molecule: Chem.Mol) -> str:
    """Return the scaffold as a SMILES without stereochemistry; it is empty for a molecule without a ring."""
    scaffold = MurckoScaffold.GetScaffoldForMol(molecule)  # type: ignore[no-untyped-call]
    return str(Chem.MolToSmiles(scaffold, isomericSmiles=False))


def scaffolds_of(smiles: Sequence[str]) -> list[str]:
    """Return the scaffold of each molecule, in the order given, on all cores when there are many.

    Raises:
        ValueError: a string is no molecule.
    """
    return map_chunks(_scaffolds, smiles)


def _scaffolds(smiles: Sequence[str]) -> list[str]:
    found = []
    for text in smiles:
        if (molecule := parse_smiles(text)) is None:
            raise ValueError(f"{text!r} is no molecule, expected one with a scaffold")
        found.append(scaffold_of(molecule))
    return found
