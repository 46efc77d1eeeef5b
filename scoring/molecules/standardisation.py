"""Standardisation of a SMILES string to one molecule and one name, by which it is stored, scored and looked up.

The name is the canonical isomeric SMILES of the standardised molecule. Standardising a name gives the same name again.

Clean-up cuts the bonds of metals, and writes functional groups and separated charges in one form: nitro groups as
``[N+](=O)[O-]``, sulfoxides as ``[S+][O-]``, recombined 1,3 and 1,5 charges, the charge of a conjugated cation in one
place. It is RDKit's clean-up without the re-ioniser, which moves protons: ``C=C[CH-]C=C`` would become ``C=[C-]CC=C``.
No atom gains or loses a hydrogen and the total charge stays; a clean-up that would change either is not used.

Atom map numbers, as in ``[CH3:1]``, are removed. Dummy atoms (``*``) and bonds of any order (``~``) stay as they are
written; the filter ``valence`` refuses them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Annotated, Literal, NamedTuple

from rdkit import Chem, rdBase
from rdkit.Chem.MolStandardize import rdMolStandardize
from rdkit.Chem.rdMolDescriptors import CalcMolFormula

from molbuffer.kinds import Count, Given, checked
from molbuffer.scoring.errors import ScoringConfigurationError
from molbuffer.scoring.molecules.parsing import canonical_smiles, parse_smiles
from molbuffer.scoring.workers import map_chunks

MAX_LENGTH = 2_000
"""The default of the largest number of characters of a SMILES. The time to standardise a molecule grows with the square
of its size: a chain of 2,000 atoms takes 0.1 s, one of 16,000 atoms 17 s."""
OUTPUT_ORDER = "_smilesAtomOutputOrder"
"""The property in which RDKit notes the order of the atoms in the SMILES that it wrote last."""
KNOWN = 1024
"""The number of molecules that ``are_other_molecules`` caches."""
MOST_ROUNDS = 100
"""The number of rounds after which a molecule without a stable name is refused; nearly all molecules need two."""


@checked
@dataclass(frozen=True)
class Standardisation:
    """The standardisation of molecules in a campaign, in the order of the steps.

    Attributes:
        cleanup: apply RDKit's clean-up: write functional groups and charges in one form, cut the bonds of metals; no
            atom gains or loses a hydrogen. Switch it off for benchmarks that score the molecule as drawn.
        largest_fragment: keep only the largest fragment of a salt or mixture.
        neutralise: neutralise charges where protons can be added or removed (RDKit's Uncharger), so that protonation
            states of a molecule count as one molecule.
        canonical_tautomer: replace each molecule by RDKit's canonical tautomer, so that tautomers count as one
            molecule. Stereochemistry that the tautomers do not share is lost, and the standardisation of a molecule
            takes 10 to 100 times as long.
        stereo: "drop": stereoisomers count as one molecule, without configurations, which saves oracle calls of an
            objective that does not distinguish them; "keep": stereoisomers count as different molecules.
        max_length: the largest number of characters of a SMILES, as drawn and as canonical; longer ones are rejected by
            `length` without being parsed.
    """

    cleanup: bool = True
    largest_fragment: Annotated[bool, Given()] = False
    neutralise: bool = False
    canonical_tautomer: bool = False
    stereo: Literal["keep", "drop"] = "keep"
    max_length: Count = MAX_LENGTH

    def __post_init__(self) -> None:
        if self.stereo not in ("keep", "drop"):
            raise ScoringConfigurationError(f"stereo must be 'keep' or 'drop', got {self.stereo!r}")
        if self.max_length < 1:
            raise ScoringConfigurationError(f"max_length must be at least 1, got {self.max_length}")


@dataclass(frozen=True)
class NamedMolecule:
    """A standardised molecule and its canonical SMILES, which parses to the same molecule."""

    smiles: str
    molecule: Chem.Mol


def standardise(smiles: str, how: Standardisation = Standardisation()) -> NamedMolecule | None:
    """Parse a SMILES string and standardise the molecule; None if the string is no molecule, or is too long.

    Standardising the name of the result gives that name again. For some molecules, RDKit's canonical form and clean-up
    have no fixed point and alternate between names; the alphabetically first name of such a cycle is then the name.
    """
    if len(smiles) > how.max_length:
        return None
    with rdBase.BlockLogs():
        named = _name_at_once(smiles, how) or _name_of_cycle(smiles, how)
    return None if named is None or len(named.smiles) > how.max_length else named


def _name_at_once(smiles: str, how: Standardisation) -> NamedMolecule | None:
    """Return the molecule if its canonical SMILES is a fixed point of parsing and of standardisation, else None.

    Nearly all molecules have such a SMILES. The canonical SMILES is standardised, and not the given one, so that all
    SMILES of a molecule give the same result.
    """
    found = _read(smiles, how)
    if found is not None and found.smiles != smiles:
        canonical, found = found.smiles, _read(found.smiles, how)
        if found is None or found.smiles != canonical:
            return None
    return found if found is not None and _standardised(found, how) == found.smiles else None


def _name_of_cycle(smiles: str, how: Standardisation) -> NamedMolecule | None:
    """Return the molecule with the name that repeated standardisation of its canonical SMILES leads to.

    The name is the least of a cycle of the outer repetition, so that standardising it gives it again, whatever RDKit
    does. A name that ``_name_at_once`` finds is a cycle of length one.
    """

    def once(text: str) -> str | None:
        found = _read(text, how)
        return None if found is None else _standardised(found, how)

    def often(text: str) -> str | None:
        found = _read(text, how)
        return None if found is None else _least_of_cycle(found.smiles, once)

    name = _least_of_cycle(smiles, often)
    molecule = None if name is None else parse_smiles(name)
    return None if name is None or molecule is None else NamedMolecule(name, molecule)


def _least_of_cycle(text: str, step: Callable[[str], str | None]) -> str | None:
    """Apply a step to a text repeatedly until a result recurs, and return the least text of the cycle.

    The result is None if a step returns None, or no text recurs within ``MOST_ROUNDS`` steps.
    """
    seen: list[str] = []
    while text not in seen:
        seen.append(text)
        result = step(text) if len(seen) <= MOST_ROUNDS else None
        if result is None:
            return None
        text = result
    return min(seen[seen.index(text) :])


def _read(smiles: str, how: Standardisation) -> NamedMolecule | None:
    """Return the molecule as written, and its canonical SMILES.

    Atom map numbers are removed, and stereochemistry is removed unless the settings keep it.
    """
    molecule = parse_smiles(smiles)
    if molecule is None:
        return None
    if ":" in smiles:
        for atom in molecule.GetAtoms():
            atom.SetAtomMapNum(0)
    if how.stereo == "drop" and any(mark in smiles for mark in "@/\\"):
        Chem.RemoveStereochemistry(molecule)
    return NamedMolecule(canonical_smiles(molecule), molecule)


def _standardised(found: NamedMolecule, how: Standardisation) -> str:
    """Return the SMILES after one round of standardisation."""
    if how.cleanup:
        found = _cleaned(found)
    for step in _steps(how, found.smiles):
        try:
            other = canonical_smiles(step(found.molecule))
        except (Chem.MolSanitizeException, RuntimeError, ValueError):
            continue
        if (molecule := parse_smiles(other)) is not None:
            found = NamedMolecule(other, molecule)
    return found.smiles


def _cleaned(found: NamedMolecule) -> NamedMolecule:
    """Return the molecule after clean-up; unchanged if RDKit's clean-up fails or gives another molecule.

    It fails, for example, on the ring ``C[n+]1noc([O-])c1C``. It gives another molecule where a cut bond of a metal
    leaves a free valence, which a hydrogen then fills. The steps are those of ``rdMolStandardize.Cleanup`` without the
    last one, the re-ioniser; parsing does the others.
    """
    disconnector, normalizer = _clean_up_steps()
    for disconnects in (True, False):
        changed = Chem.Mol(found.molecule)
        try:
            if disconnects:
                disconnector.DisconnectInPlace(changed)
            normalizer.normalizeInPlace(changed)
        except (Chem.MolSanitizeException, RuntimeError, ValueError):
            continue
        smiles = canonical_smiles(changed)
        if smiles == found.smiles:
            break
        molecule = parse_smiles(smiles)
        if molecule is not None and _is_same(found.molecule, molecule, changed.GetProp(OUTPUT_ORDER)):
            return NamedMolecule(smiles, molecule)
    return found


def _is_same(before: Chem.Mol, after: Chem.Mol, order: str) -> bool:
    """Return whether a clean-up has changed no atom's hydrogens, and neither the charge nor the unpaired electrons.

    Args:
        before: the molecule before the clean-up.
        after: the molecule after the clean-up, parsed from its SMILES.
        order: the indices in ``before`` of the atoms of ``after``, in RDKit's notation: ``[2,0,1,]``.
    """
    places = [int(place) for place in order.strip("[],").split(",")]
    return [_content(before.GetAtomWithIdx(place)) for place in places] == [
        _content(atom) for atom in after.GetAtoms()
    ] and _electrons(before) == _electrons(after)


def _content(atom: Chem.Atom) -> tuple[int, int, int]:
    return atom.GetAtomicNum(), atom.GetIsotope(), atom.GetTotalNumHs()


def _electrons(molecule: Chem.Mol) -> tuple[int, int]:
    return Chem.GetFormalCharge(molecule), sum(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms())


def _steps(how: Standardisation, name: str) -> list[Callable[[Chem.Mol], Chem.Mol]]:
    """Return the steps that follow the clean-up and may give another molecule."""
    steps: list[Callable[[Chem.Mol], Chem.Mol]] = []
    if how.largest_fragment and "." in name:
        steps.append(_fragment_chooser().choose)
    if how.neutralise:
        steps.append(_uncharger().uncharge)
    if how.canonical_tautomer:
        steps.append(_tautomers().Canonicalize)
    return steps


@cache
def _clean_up_steps() -> tuple[rdMolStandardize.MetalDisconnector, rdMolStandardize.Normalizer]:
    return rdMolStandardize.MetalDisconnector(), rdMolStandardize.Normalizer()


@cache
def _fragment_chooser() -> rdMolStandardize.LargestFragmentChooser:
    return rdMolStandardize.LargestFragmentChooser()


@cache
def _uncharger() -> rdMolStandardize.Uncharger:
    return rdMolStandardize.Uncharger()


@cache
def _tautomers() -> rdMolStandardize.TautomerEnumerator:
    return rdMolStandardize.TautomerEnumerator()


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
    """Return for each pair whether its first string is a molecule that differs from the second after standardisation.

    Pairs whose atoms differ are not standardised, which saves nine tenths of the time. All cores are used when there
    are many pairs.
    """
    return map_chunks(_compare_chunk, pairs)


def parse_small(smiles: str) -> Chem.Mol | None:
    """Return the molecule of a SMILES string of usual length, as ``parse_smiles`` does; None if it is longer.

    For the scaffold or the picture of a molecule of 20,000 atoms RDKit takes minutes and gigabytes, and what is in a
    store or an archive may be anybody's.
    """
    return parse_smiles(smiles) if len(smiles) <= MAX_LENGTH else None


def _compare_chunk(pairs: Sequence[tuple[str, str]]) -> list[bool]:
    return [_is_other_molecule(one, other) for one, other in pairs]


def _is_other_molecule(one: str, other: str) -> bool:
    molecule = parse_small(one)
    if molecule is None:
        return False
    # Clean-up changes bonds and charges, and no hydrogen: molecules with different atoms are different.
    second = _known(other)
    if second is None or CalcMolFormula(molecule) != second.formula or _composition(molecule) != second.composition:
        return True
    if canonical_smiles(molecule) == canonical_smiles(second.molecule):
        return False
    return standardise_smiles(one) != standardise_smiles(other)


class _Known(NamedTuple):
    """A cached molecule that others are compared with, and must not change; formula and composition come first."""

    molecule: Chem.Mol
    formula: str
    composition: list[tuple[int, int]]


@lru_cache(KNOWN)
def _known(smiles: str) -> _Known | None:
    molecule = parse_small(smiles)
    if molecule is None:
        return None
    return _Known(molecule, CalcMolFormula(molecule), _composition(molecule))


def _composition(molecule: Chem.Mol) -> list[tuple[int, int]]:
    """Return the sorted pairs of atomic number and number of hydrogens, of any isotope, of the heavy atoms."""
    return sorted(
        (number, atom.GetTotalNumHs(includeNeighbors=True))
        for atom in molecule.GetAtoms()
        if (number := atom.GetAtomicNum()) != 1
    )
