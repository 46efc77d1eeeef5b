"""Molecules: the only place in the project that parses SMILES.

The identity of a molecule is the canonical isomeric SMILES of its standardised form. Standardisation is RDKit's
clean-up (normalise functional groups, disconnect metals, re-ionise), and, when asked for, the choice of the largest
fragment. Charges are not neutralised and tautomers are not changed: both can change what a docking score means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from rdkit import Chem, rdBase
from rdkit.Chem.MolStandardize import rdMolStandardize

from molbuffer.scoring.errors import ScoringConfigurationError
from molbuffer.scoring.workers.pool import map_chunks

MOST_ROUNDS = 5
"""Of clean-up. One is enough for all but a few molecules in a thousand, two for nearly all of those."""


@dataclass(frozen=True)
class Standardisation:
    """How a campaign turns a drawn string into a molecule.

    Attributes:
        cleanup: apply RDKit's ``rdMolStandardize.Cleanup``. Benchmarks that score the molecule as drawn switch it off.
        largest_fragment: keep only the largest fragment of a salt or mixture.
    """

    cleanup: bool = True
    largest_fragment: bool = False


def parse_smiles(smiles: str) -> Chem.Mol | None:
    """Return the sanitised molecule of a SMILES string as it is written; None when it is no molecule.

    Stricter than RDKit in two ways. An empty string is no molecule: RDKit would return one without atoms. Neither is
    a string with a blank or a character that SMILES does not have: RDKit would take what follows a blank for a title,
    so that ``CCO nonsense`` would count as a valid sample.
    """
    if not smiles or not smiles.isascii() or not smiles.isprintable() or " " in smiles:
        return None
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
    return None if molecule is None or molecule.GetNumAtoms() == 0 else molecule


def parse_canonical(smiles: str) -> Chem.Mol:
    """Return the molecule of a name that ``canonical_smiles`` gave, in a quarter of the time: nothing is checked or
    perceived again. Rings are known, aromaticity is as written; good for fingerprints and scaffolds.
    """
    molecule = Chem.MolFromSmiles(smiles, sanitize=False)
    molecule.UpdatePropertyCache(strict=False)
    Chem.FastFindRings(molecule)
    return molecule


def parse_smarts(smarts: str) -> Chem.Mol:
    """Return the query of a SMARTS pattern; compiled once per process.

    Raises:
        ScoringConfigurationError: it is no SMARTS pattern.
    """
    return _compiled_smarts(smarts)


@cache
def _compiled_smarts(smarts: str) -> Chem.Mol:
    with rdBase.BlockLogs():
        query = Chem.MolFromSmarts(smarts) if smarts.isascii() else None
    if query is None or query.GetNumAtoms() == 0:
        raise ScoringConfigurationError(f"{smarts!r} is no SMARTS pattern that RDKit can read")
    return query


@dataclass(frozen=True)
class NamedMolecule:
    """A standardised molecule and its name, the canonical SMILES; parsing the name gives the molecule again."""

    smiles: str
    molecule: Chem.Mol


def standardise(smiles: str, how: Standardisation = Standardisation()) -> NamedMolecule | None:
    """Parse a SMILES string and standardises the molecule; None when RDKit cannot make a molecule of it.

    RDKit's clean-up fails on some good molecules: of the mesoionic ring ``C[n+]1noc([O-])c1C`` it makes one whose
    SMILES cannot be read. Such a molecule keeps the last readable form. And where a second clean-up would change the
    result of the first, it is done, so that standardising a name again gives the same name.
    """
    molecule = parse_smiles(smiles)
    if molecule is None:
        return None
    name = canonical_smiles(molecule)
    for _ in range(MOST_ROUNDS):
        result = _standardise_once(molecule, how)
        changed = canonical_smiles(result)
        if changed == name:
            return NamedMolecule(name, result)
        readable = parse_smiles(changed)
        if readable is None:
            break
        name, molecule = changed, readable
    return NamedMolecule(name, molecule)


def _standardise_once(molecule: Chem.Mol, how: Standardisation) -> Chem.Mol:
    result = Chem.Mol(molecule)
    with rdBase.BlockLogs():
        if how.cleanup:
            try:
                rdMolStandardize.CleanupInPlace(result)
            except (Chem.MolSanitizeException, RuntimeError, ValueError):
                # The copy may be half changed by now; the molecule is sound as it was written.
                result = Chem.Mol(molecule)
        return _fragment_chooser().choose(result) if how.largest_fragment else result


@cache
def _fragment_chooser() -> rdMolStandardize.LargestFragmentChooser:
    return rdMolStandardize.LargestFragmentChooser()


def canonical_smiles(molecule: Chem.Mol) -> str:
    """Return the canonical isomeric SMILES: the name under which a molecule is stored, scored and looked up."""
    return str(Chem.MolToSmiles(molecule))


def standardise_smiles(smiles: str, how: Standardisation = Standardisation()) -> str | None:
    """Return the canonical SMILES of a standardised molecule, or None when the string is no molecule."""
    named = standardise(smiles, how)
    return None if named is None else named.smiles


def standardise_many(smiles: Sequence[str], how: Standardisation = Standardisation()) -> list[str | None]:
    """``standardise_smiles`` of every string, in the order given, on all cores when there are many."""
    return map_chunks(_standardise_chunk, smiles, how)


def _standardise_chunk(smiles: Sequence[str], how: Standardisation) -> list[str | None]:
    return [standardise_smiles(text, how) for text in smiles]


def are_other_molecules(pairs: Sequence[tuple[str, str]]) -> list[bool]:
    """Return whether the first string of each pair is a molecule whose standardised name is not that of the second.

    Many pairs are told apart by their atoms, in a tenth of the time; all cores are used when there are many.
    """
    return map_chunks(_compare_chunk, pairs)


def _compare_chunk(pairs: Sequence[tuple[str, str]]) -> list[bool]:
    return [_is_other_molecule(one, other) for one, other in pairs]


def _is_other_molecule(one: str, other: str) -> bool:
    molecule = parse_smiles(one)
    if molecule is None:
        return False
    second = parse_smiles(other)
    # Clean-up moves bonds, charges and hydrogens only: other heavy atoms make another molecule.
    if second is None or _heavy_atoms(molecule) != _heavy_atoms(second):
        return True
    return standardise_smiles(one) != standardise_smiles(other)


def _heavy_atoms(molecule: Chem.Mol) -> list[int]:
    """Return the atomic numbers of all atoms but hydrogens, isotopes of it included, in order."""
    return sorted(number for atom in molecule.GetAtoms() if (number := atom.GetAtomicNum()) != 1)
