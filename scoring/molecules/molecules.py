"""Molecules: the only place in the project that parses SMILES.

The identity of a molecule is the canonical isomeric SMILES of its standardised form. Standardisation is RDKit's
clean-up (normalise functional groups, disconnect metals, re-ionise) and, optionally, the choice of the largest
fragment. Charges are not neutralised and tautomers are not changed, since both can change the meaning of a docking
score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from rdkit import Chem, rdBase
from rdkit.Chem.MolStandardize import rdMolStandardize

from molbuffer.scoring.errors import ScoringConfigurationError
from molbuffer.scoring.workers import map_chunks

MOST_ROUNDS = 5
"""The most rounds of clean-up. One is enough for all but a few molecules in a thousand, two for nearly all of those."""


@dataclass(frozen=True)
class Standardisation:
    """The standardisation of molecules in a campaign.

    Attributes:
        cleanup: apply RDKit's ``rdMolStandardize.Cleanup``; benchmarks that score molecules as drawn switch it off.
        largest_fragment: keep only the largest fragment of a salt or mixture.
    """

    cleanup: bool = True
    largest_fragment: bool = False


def parse_smiles(smiles: str) -> Chem.Mol | None:
    """Return the sanitised molecule of a SMILES string as it is written; None if it is no molecule.

    This is stricter than RDKit in two ways. An empty string is no molecule, while RDKit returns one without atoms. A
    string with a blank or a character that SMILES does not have is no molecule, while RDKit reads the text after a
    blank as a title, so that ``CCO nonsense`` would count as a valid sample.
    """
    if not smiles or not smiles.isascii() or not smiles.isprintable() or " " in smiles:
        return None
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
    return None if molecule is None or molecule.GetNumAtoms() == 0 else molecule


def parse_canonical(smiles: str) -> Chem.Mol:
    """Parse a result of ``canonical_smiles`` in a quarter of the time, without checking or perceiving anything again.

    Rings are known and aromaticity is as written, which suffices for fingerprints and scaffolds.
    """
    molecule = Chem.MolFromSmiles(smiles, sanitize=False)
    molecule.UpdatePropertyCache(strict=False)
    Chem.FastFindRings(molecule)
    return molecule


def parse_smarts(smarts: str) -> Chem.Mol:
    """Return the query of a SMARTS pattern, which is compiled once per process.

    Raises:
        ScoringConfigurationError: the text is no SMARTS pattern.
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
    """A standardised molecule and its canonical SMILES, which parses to the same molecule."""

    smiles: str
    molecule: Chem.Mol


def standardise(smiles: str, how: Standardisation = Standardisation()) -> NamedMolecule | None:
    """Parse a SMILES string and standardise the molecule; None if RDKit cannot make a molecule of it.

    RDKit's clean-up fails on some valid molecules: it turns the mesoionic ring ``C[n+]1noc([O-])c1C`` into one whose
    SMILES cannot be parsed. Such a molecule keeps its last readable form. Clean-up is repeated while it changes the
    result, so that standardising a canonical SMILES again gives the same one.
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
                # The copy may be partly changed; the molecule as written is sound.
                result = Chem.Mol(molecule)
        return _fragment_chooser().choose(result) if how.largest_fragment else result


@cache
def _fragment_chooser() -> rdMolStandardize.LargestFragmentChooser:
    return rdMolStandardize.LargestFragmentChooser()


def canonical_smiles(molecule: Chem.Mol) -> str:
    """Return the canonical isomeric SMILES: the name under which a molecule is stored, scored and looked up."""
    return str(Chem.MolToSmiles(molecule))


def standardise_smiles(smiles: str, how: Standardisation = Standardisation()) -> str | None:
    """Return the canonical SMILES of the standardised molecule; None if the string is no molecule."""
    named = standardise(smiles, how)
    return None if named is None else named.smiles


def standardise_many(smiles: Sequence[str], how: Standardisation = Standardisation()) -> list[str | None]:
    """Standardise every string as ``standardise_smiles`` does, in the order given, on all cores when there are many."""
    return map_chunks(_standardise_chunk, smiles, how)


def _standardise_chunk(smiles: Sequence[str], how: Standardisation) -> list[str | None]:
    return [standardise_smiles(text, how) for text in smiles]


def are_other_molecules(pairs: Sequence[tuple[str, str]]) -> list[bool]:
    """Return for each pair whether the first string is a molecule other than the second one, after standardisation.

    Many pairs differ in their atoms, which takes a tenth of the time to find. All cores are used when there are many.
    """
    return map_chunks(_compare_chunk, pairs)


def _compare_chunk(pairs: Sequence[tuple[str, str]]) -> list[bool]:
    return [_is_other_molecule(one, other) for one, other in pairs]


def _is_other_molecule(one: str, other: str) -> bool:
    molecule = parse_smiles(one)
    if molecule is None:
        return False
    second = parse_smiles(other)
    # Clean-up changes only bonds, charges and hydrogens: with other heavy atoms it is another molecule.
    if second is None or _heavy_atoms(molecule) != _heavy_atoms(second):
        return True
    return standardise_smiles(one) != standardise_smiles(other)


def _heavy_atoms(molecule: Chem.Mol) -> list[int]:
    """Return the sorted atomic numbers of all atoms but hydrogens and their isotopes."""
    return sorted(number for atom in molecule.GetAtoms() if (number := atom.GetAtomicNum()) != 1)
