"""Fragments of a SMILES string: the two sides of each single bond outside of rings, ready to be joined to others.

The cuts are found in the string, in less time than it takes to parse it. A fragment is the SMILES of one side with an
open ring closure at the atom beside the cut, so that two fragments with a dot between them are the SMILES of a molecule
in which these two atoms are bonded.

The joined fragment takes the place of the one that was cut off, so that a stereocentre keeps its configuration.
Stereocentres other than carbon are not cut. A double bond beside a cut keeps its configuration if another neighbour of
its end defines the configuration, and loses it otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

_TOKEN = re.compile(r"\[[^\[\]]+\]|Br|Cl|[BCNOPSFIbcnops*]|%\(\d+\)|%\d\d|\d|[-=#$:/\\~()]")
_BONDS, _RINGS = frozenset("-=#$:/\\~"), frozenset("0123456789%")
_SINGLE = ("", "-", "/", "\\")
_OPEN = "-%99"
"""The open ring closure of a fragment. The bond is explicit, since the default between aromatic atoms is aromatic."""
_HYDROGEN = re.compile(r"\[\d*H[^a-z]")
_CARBON_CENTRE = re.compile(r"\[\d*C@@?H?\]")
CACHED = 4096
"""The number of strings whose cuts are cached."""


class Fragment(NamedTuple):
    """One side of a cut: its SMILES with an open ring closure, and the number of its heavy atoms."""

    smiles: str
    atoms: int


class _Cut(NamedTuple):
    """A bond between a near atom and a far one, by the places of their tokens in the string.

    The string of the far side is [far_start, stop); that of the near side is outside of [start, end). The open ring
    closure inverts a stereocentre if it is written before an odd number of the neighbours that preceded the cut bond.
    """

    near_start: int
    near_stop: int
    near_inverted: bool
    far_start: int
    far_stop: int
    far_inverted: bool
    stop: int
    start: int
    end: int
    far_atoms: int


@dataclass(frozen=True)
class CuttableSmiles:
    """A SMILES string, and the bonds at which it can be cut.

    Attributes:
        text: the string.
        cuts: the bonds.
        atoms: the number of heavy atoms.
    """

    text: str
    cuts: Sequence[_Cut]
    atoms: int

    def fragment(self, number: int, *, far: bool) -> Fragment:
        """Return one side of a cut: the far side is the branch after the bond, the near side the rest of the string."""
        text, cut = self.text, self.cuts[number]
        if far:
            atom = _inverted(text[cut.far_start : cut.far_stop], cut.far_inverted)
            return Fragment(f"{atom}{_OPEN}{text[cut.far_stop : cut.stop]}", cut.far_atoms)
        atom = _inverted(text[cut.near_start : cut.near_stop], cut.near_inverted)
        before, between, after = text[: cut.near_start], text[cut.near_stop : cut.start], text[cut.end :]
        return Fragment(f"{before}{atom}{_OPEN}{between}{after}", self.atoms - cut.far_atoms)


def join(one: Fragment, other: Fragment) -> str:
    """Return a SMILES, which is not canonical, of the molecule that two fragments make."""
    return f"{one.smiles}.{other.smiles}"


@lru_cache(CACHED)
def cuttable(text: str) -> CuttableSmiles | None:
    """Return a SMILES string with its cuts; None if it is no SMILES, or has several molecules.

    Only tokens, parentheses and ring closures are checked.
    """
    tokens = _TOKEN.findall(text)
    if sum(map(len, tokens)) != len(text) or "%99" in text:
        return None
    found = _read(tokens)
    if found is None:
        return None
    atoms, count = found
    return CuttableSmiles(text, [_cut(atom, text) for atom in atoms if _can_be_cut(atom, text)], count)


@dataclass(slots=True)
class _Atom:
    """An atom of the string, with what the reader notes about it.

    Attributes:
        start: the place of its token.
        stop: the place after its token.
        bond: the bond before the atom, as it is written.
        before: the preceding atom that this one is bonded to; None for the first atom.
        place: the number of neighbours of ``before`` that are written between ``before`` and this atom.
        branch: the place of the parenthesis before the atom; -1 without one.
        rings: the ring closures that are open before the atom, as bits.
        count: the number of heavy atoms before the atom.
        passed: the number of neighbours that are written after the atom so far.
        end: the place after the branch that the atom is in.
        rings_at_end: the ring closures that are open at ``end``, as bits.
        count_at_end: the number of heavy atoms before ``end``.
    """

    start: int
    stop: int
    bond: str
    before: _Atom | None
    place: int
    branch: int
    rings: int
    count: int
    passed: int = 0
    end: int = 0
    rings_at_end: int = 0
    count_at_end: int = 0


def _read(tokens: Sequence[str]) -> tuple[list[_Atom], int] | None:
    """Return the atoms of tokens, and the number of heavy atoms; None if the tokens make no molecule."""
    atoms: list[_Atom] = []
    of_branch: list[_Atom] = []
    # For each open branch, the atom that it starts from, and the atoms so far of the branch around it.
    branches: list[tuple[_Atom, list[_Atom]]] = []
    labels: dict[str, int] = {}
    last: _Atom | None = None
    bond, branch, place, rings, count = "", -1, 0, 0, 0
    for token in [*tokens, ")"]:
        first, start = token[0], place
        place += len(token)
        if first in _BONDS:
            bond = token
        elif first in _RINGS:
            if last is None:
                return None
            rings ^= 1 << labels.setdefault(token.strip("%()"), len(labels))
            last.passed, bond = last.passed + 1, ""
        elif first == "(":
            if last is None:
                return None
            branches.append((last, of_branch))
            of_branch, branch = [], start
        elif first == ")":
            for atom in of_branch:
                atom.end, atom.rings_at_end, atom.count_at_end = start, rings, count
            if not branches:
                # This is the end of the string, unless it has a closing parenthesis too many.
                return (atoms, count) if start == sum(map(len, tokens)) and atoms and not rings else None
            last, of_branch = branches.pop()
            bond, branch = "", -1
        else:
            atom = _Atom(
                start=start,
                stop=place,
                bond=bond,
                before=last,
                place=0 if last is None else last.passed,
                branch=branch,
                rings=rings,
                count=count,
            )
            if last is not None:
                last.passed += 1
            last, bond, branch = atom, "", -1
            atoms.append(atom)
            of_branch.append(atom)
            count += first != "[" or _HYDROGEN.match(token) is None
    return None


def _can_be_cut(atom: _Atom, text: str) -> bool:
    """Return whether the bond before an atom is a single bond outside of rings, without stereocentres but carbon."""
    if atom.before is None or atom.bond not in _SINGLE or atom.rings != atom.rings_at_end:
        return False
    return all(
        "@" not in token or _CARBON_CENTRE.fullmatch(token)
        for token in (text[atom.before.start : atom.before.stop], text[atom.start : atom.stop])
    )


def _cut(atom: _Atom, text: str) -> _Cut:
    near, stop = atom.before, atom.stop
    assert near is not None
    start = atom.start - len(atom.bond) if atom.branch < 0 else atom.branch
    end = atom.end if atom.branch < 0 else atom.end + 1
    # An implicit hydrogen counts as the first neighbour that is written after the atom.
    inverted = text[stop - 2] == "H"
    atoms = atom.count_at_end - atom.count
    return _Cut(
        near_start=near.start,
        near_stop=near.stop,
        near_inverted=atom.place % 2 == 1,
        far_start=atom.start,
        far_stop=stop,
        far_inverted=inverted,
        stop=atom.end,
        start=start,
        end=end,
        far_atoms=atoms,
    )


def _inverted(token: str, inverted: bool) -> str:
    """Return the token of an atom, with the other configuration if ``inverted`` and the atom is a stereocentre."""
    if not inverted or "@" not in token:
        return token
    return token.replace("@@", "@") if "@@" in token else token.replace("@", "@@")
