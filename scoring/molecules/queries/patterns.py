r"""SMARTS patterns: the only module that compiles them and matches molecules with them.

Hydrogens that a pattern writes as atoms, as in ``[H]N``, become counts of hydrogens, since molecules have no hydrogen
atoms. Configurations must match: ``C[C@@H](N)C(=O)O`` matches L-alanine and neither its mirror image nor alanine
without a configuration; a pattern without one matches all three.

A pattern is refused if it, or a part in ``$(...)``, can match nothing for one of these reasons:

- The primitives of an atom or bond contradict each other: ``[C;N]``, ``[c;A]``, ``[C;!C]``, ``[R;R0]``, ``C-;=C``. The
  primitives of element and aromaticity, and all with a single number as their value, are compared with each other. The
  check knows no chemistry, so that ``[CH5]`` passes.
- A hydrogen atom cannot become a count of a neighbour's hydrogens: ``[H]`` alone, or as an alternative, ``[#6,#1]N``.
  ``[2H]``, ``[H+]`` and ``[!#1]`` are allowed.

A pattern is also refused if RDKit would read its configuration wrongly: inside ``$(...)``, or with a hydrogen written
as an atom on a stereocentre or at the end of a ``/`` or ``\`` bond; ``[C@@H]`` means the same and is read correctly.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from rdkit import Chem, rdBase

from molbuffer.scoring.errors import ScoringConfigurationError
from molbuffer.scoring.molecules.queries.query_trees import ELEMENT, QueryTree


def matches(molecule: Chem.Mol, smarts: str) -> bool:
    """Return whether a molecule has the substructure of a pattern, with its configuration."""
    return bool(molecule.HasSubstructMatch(parse_smarts(smarts), useChirality=True))


@cache
def parse_smarts(smarts: str) -> Chem.Mol:
    """Return the query of a SMARTS pattern, which is compiled once per process; ``matches`` applies it.

    Raises:
        ScoringConfigurationError: the text is no SMARTS pattern, or the pattern can match nothing.
    """
    query, written = _compiled(smarts, merge=True), _compiled(smarts, merge=False)
    if query is None or written is None or query.GetNumAtoms() == 0:
        raise ScoringConfigurationError(f"{smarts!r} is no SMARTS pattern that RDKit can read")
    for problem in _problems(smarts, query, written):
        raise ScoringConfigurationError(f"the SMARTS pattern {smarts!r} {problem}")
    return query


def reads_as_before(smarts: str) -> bool:
    """Return whether a pattern matches the same molecules with and without the rules on hydrogens and configuration."""
    query, written = parse_smarts(smarts), _compiled(smarts, merge=False)
    return Chem.MolToSmarts(query) == Chem.MolToSmarts(written) and not _has_configuration(query)


def _compiled(smarts: str, *, merge: bool) -> Chem.Mol | None:
    with rdBase.BlockLogs():
        return Chem.MolFromSmarts(smarts, mergeHs=merge) if smarts.isascii() else None


def _problems(smarts: str, query: Chem.Mol, written: Chem.Mol) -> Iterator[str]:
    for part in _recursive_parts(smarts):
        inner = parse_smarts(part)
        if _has_configuration(inner):
            yield f"has a configuration inside $({part}), which RDKit reads wrongly; write it outside of $(...)"
    for atom in query.GetAtoms():
        tree = QueryTree.of(atom.DescribeQuery())
        if not tree.can_be_true():
            yield f"can match nothing: the primitives of its atom {atom.GetSmarts()} contradict each other"
        if tree.needs(ELEMENT, 1, unless=("AtomIsotope", "AtomFormalCharge")):
            yield (
                f"can match nothing by its hydrogen {atom.GetSmarts()}: molecules have no atoms of hydrogen but in "
                "[2H], [H+] and the like; write the number of hydrogens of an atom instead, as in [N;!H0]"
            )
    for bond in query.GetBonds():
        if not QueryTree.of(bond.DescribeQuery()).can_be_true():
            begin, end = bond.GetBeginAtom().GetSmarts(), bond.GetEndAtom().GetSmarts()
            yield f"can match nothing: the primitives of its bond from {begin} to {end} contradict each other"
    if _has_configuration(written) and any(map(_has_configured_hydrogen, written.GetAtoms())):
        yield (
            "has a hydrogen written as an atom at a stereocentre or double bond, whose configuration RDKit reads "
            "wrongly; write it as in [C@@H] or F/C=C/F"
        )


def _recursive_parts(smarts: str) -> Iterator[str]:
    """Yield the text of each outermost ``$(...)``."""
    depth, start = 0, -1
    for at, letter in enumerate(smarts):
        if start < 0 and smarts.startswith("$(", at):
            start, depth = at + 2, 0
        elif start >= 0:
            depth += {"(": 1, ")": -1}.get(letter, 0)
            if depth == 0 and letter == ")":
                yield smarts[start:at]
                start = -1


def _has_configuration(query: Chem.Mol) -> bool:
    return any(atom.GetChiralTag() != Chem.ChiralType.CHI_UNSPECIFIED for atom in query.GetAtoms()) or any(
        bond.GetBondDir() != Chem.BondDir.NONE or bond.GetStereo() != Chem.BondStereo.STEREONONE
        for bond in query.GetBonds()
    )


def _has_configured_hydrogen(atom: Chem.Atom) -> bool:
    """Return whether an atom is a hydrogen on a stereocentre, or on a bond with a direction."""
    if atom.GetAtomicNum() != 1 or atom.GetIsotope():
        return False
    return any(each.GetChiralTag() != Chem.ChiralType.CHI_UNSPECIFIED for each in atom.GetNeighbors()) or any(
        bond.GetBondDir() != Chem.BondDir.NONE for bond in atom.GetBonds()
    )
