"""Bemis-Murcko scaffolds: the rings of a molecule and their linkers (https://doi.org/10.1021/jm9602928)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rdkit import Chem
from rdkit.Chem.Scaffolds import MurckoScaffold

from molbuffer.scoring.molecules.parsing import parse_smiles
from molbuffer.scoring.workers import map_chunks


def scaffold_of(molecule: Chem.Mol) -> str:
    """Return the scaffold as a SMILES without stereochemistry; it is empty for a molecule without a ring."""
    scaffold = MurckoScaffold.GetScaffoldForMol(molecule)  # type: ignore[no-untyped-call]
    return str(Chem.MolToSmiles(scaffold, isomericSmiles=False))


def generic_scaffold_of(molecule: Chem.Mol) -> str:
    """Return the scaffold with all atoms as carbon and all bonds as single ones; empty for a molecule without a ring.

    Atoms that are double-bonded to a ring, such as the oxygen of a ketone, are removed.
    """
    scaffold = MurckoScaffold.GetScaffoldForMol(molecule)  # type: ignore[no-untyped-call]
    generic = MurckoScaffold.MakeScaffoldGeneric(scaffold)  # type: ignore[no-untyped-call]
    return scaffold_of(generic)


def scaffolds_of(smiles: Sequence[str]) -> list[str]:
    """Return the scaffold of each molecule, in the order given, on all cores when there are many.

    Raises:
        ValueError: a string is no molecule.
    """
    return map_chunks(_scaffolds, smiles, scaffold_of)


def generic_scaffolds_of(smiles: Sequence[str]) -> list[str]:
    """Return the generic scaffold of each molecule, in the order given, on all cores when there are many.

    Raises:
        ValueError: a string is no molecule.
    """
    return map_chunks(_scaffolds, smiles, generic_scaffold_of)


def _scaffolds(smiles: Sequence[str], scaffold: Callable[[Chem.Mol], str]) -> list[str]:
    found = []
    for text in smiles:
        if (molecule := parse_smiles(text)) is None:
            raise ValueError(f"{text!r} is no molecule, expected one with a scaffold")
        found.append(scaffold(molecule))
    return found
