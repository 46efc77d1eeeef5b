"""The preparation of a molecule for docking: protonation, a three-dimensional embedding, and PDBQT by meeko."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rdkit import Chem, rdBase
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers, rdMolDescriptors

from molbuffer.scoring.components.docking.protonation import at_ph7, canonical_tautomer
from molbuffer.scoring.errors import ScoringError
from molbuffer.scoring.molecules import parse_smiles

ELEMENTS = frozenset({"H", "C", "N", "O", "F", "P", "S", "Cl", "Br", "I"})
"""The elements of ligands that Vina's scoring functions have radii for."""
Protonation = Literal["as_is", "ph7"]
Tautomer = Literal["as_is", "canonical"]
Macrocycles = Literal["flexible", "rigid"]

_PROTONATIONS: Mapping[str, Callable[[Chem.Mol], Chem.Mol]] = {"as_is": lambda molecule: molecule, "ph7": at_ph7}
_TAUTOMERS: Mapping[str, Callable[[Chem.Mol], Chem.Mol]] = {
    "as_is": lambda molecule: molecule,
    "canonical": canonical_tautomer,
}


class LigandError(ScoringError):
    """A molecule cannot be prepared for docking."""


@dataclass(frozen=True)
class Preparation:
    """The settings by which molecules are prepared for docking.

    Attributes:
        protonation: as_is: the charges of the SMILES; ph7: those of ``at_ph7``.
        tautomer: as_is: the tautomer of the SMILES; canonical: RDKit's canonical tautomer.
        macrocycles: whether rings of seven and more atoms are flexible or rigid while they are docked.
        conformers: the number of embedded conformers, each of which is docked.
        max_torsions: the largest number of rotatable bonds.
        seed: the seed of the embedding.
    """

    protonation: Protonation
    tautomer: Tautomer
    macrocycles: Macrocycles
    conformers: int
    max_torsions: int
    seed: int


def prepared(smiles: str, how: Preparation) -> Iterator[str]:
    """Yield a PDBQT text for each embedded conformer of a molecule; the same SMILES and settings give the same texts.

    Raises:
        LigandError: the molecule cannot be prepared; the message has the reason.
    """
    molecule = parse_smiles(smiles)
    if molecule is None:
        raise LigandError(f"{smiles!r} is no molecule")
    _check(molecule, how.max_torsions)
    with rdBase.BlockLogs():
        molecule = _PROTONATIONS[how.protonation](_TAUTOMERS[how.tautomer](molecule))
        embedded = _embedded(molecule, how)
        for conformer in embedded.GetConformers():
            yield _pdbqt(Chem.Mol(embedded, confId=conformer.GetId()), how)


def _check(molecule: Chem.Mol, max_torsions: int) -> None:
    fragments = len(Chem.GetMolFrags(molecule))
    if fragments > 1:
        raise LigandError(f"it has {fragments} parts that no bond joins, expected one: dock the parent of a salt")
    elements = {atom.GetSymbol() for atom in molecule.GetAtoms()} - ELEMENTS
    if elements:
        allowed = ", ".join(sorted(ELEMENTS))
        raise LigandError(f"it has atoms of {', '.join(sorted(elements))}; the scoring function knows {allowed}")
    if molecule.GetNumHeavyAtoms() == 0:
        raise LigandError("it has no atom but hydrogen")
    # Checked before the embedding, which may take minutes, and again in the PDBQT text: meeko counts more bonds.
    _check_torsions(rdMolDescriptors.CalcNumRotatableBonds(molecule), max_torsions)


def _check_torsions(torsions: int, most: int) -> None:
    if torsions > most:
        raise LigandError(f"it has {torsions} rotatable bonds, expected at most {most} (max_torsions)")


def _embedded(molecule: Chem.Mol, how: Preparation) -> Chem.Mol:
    """Return the molecule with hydrogens and embedded conformers, relaxed by MMFF94 or UFF if it has parameters."""
    whole = Chem.AddHs(molecule)
    parameters: Any = rdDistGeom.ETKDGv3()
    parameters.randomSeed = how.seed
    parameters.numThreads = 1
    found = rdDistGeom.EmbedMultipleConfs(whole, how.conformers, parameters)
    if not len(found):
        parameters.useRandomCoords = True
        found = rdDistGeom.EmbedMultipleConfs(whole, how.conformers, parameters)
    if not len(found):
        raise LigandError("RDKit finds no three-dimensional shape for it")
    if rdForceFieldHelpers.MMFFHasAllMoleculeParams(whole):
        rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(whole, numThreads=1)
    elif rdForceFieldHelpers.UFFHasAllMoleculeParams(whole):
        rdForceFieldHelpers.UFFOptimizeMoleculeConfs(whole, numThreads=1)
    return whole


def _pdbqt(molecule: Chem.Mol, how: Preparation) -> str:
    from meeko import MoleculePreparation, PDBQTWriterLegacy

    preparation = MoleculePreparation(rigid_macrocycles=how.macrocycles == "rigid")
    try:
        setups = preparation.prepare(molecule)
        text, written, error = PDBQTWriterLegacy.write_string(setups[0])
    except (RuntimeError, ValueError, KeyError) as problem:
        raise LigandError(f"meeko cannot prepare it: {problem}") from problem
    if not written:
        raise LigandError(f"meeko cannot prepare it: {error.strip()}")
    _check_torsions(sum(line.startswith("BRANCH") for line in text.splitlines()), how.max_torsions)
    return str(text)
