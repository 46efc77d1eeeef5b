"""Random changes of single tokens of a molecule: replace, insert, delete, swap."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from molbuffer.samplers.errors import UnknownTokenError
from molbuffer.samplers.tokens.grammars import SMILES
from molbuffer.samplers.tokens.vocabulary import RESERVED, Vocabulary

TRIES = 20
"""The largest number of attempts to change tokens until they may be SMILES."""

_KINDS = ("insert", "replace", "delete", "swap")
_PAIRED = frozenset("()0123456789%")
_ORDERS = {"-": 1, "/": 1, "\\": 1, ":": 1, "~": 1, "=": 2, "#": 3, "$": 4}
_MOST_BONDS = {"C": 4, "N": 3, "O": 2, "F": 1, "Cl": 1, "Br": 1, "S": 6, "c": 3, "n": 3, "o": 2}
_BRACKET = re.compile(r"\[(?P<element>[A-Z][a-z]?|[cnosp])@?@?(?P<hydrogens>H\d?)?(?P<charge>[+-]?)\]")
_SEVERAL = {"S": 98, "P": 99}
"""The bound on the number of bonds of elements with several valences: large, and even or odd like their valences."""
_LOWER = re.compile(r"\[?\d*[a-z]")
_SINGLE = frozenset("-/\\")
_ANY = 99
_DOUBLES = {"c": 1, "cH": 1, "n": 2, "nH": 0, "n+": 1, "nH+": 1, "n-": 0, "o": 0, "o+": 1, "s": 0}
"""Whether an aromatic atom has a double bond in its ring in the Kekulé form: always (1), never (0), or only if it has
two neighbours (2).
"""


@dataclass(frozen=True)
class TokenChanges:
    """Random changes of the tokens of molecules.

    Attributes:
        vocabulary: the vocabulary from which new tokens are drawn.
        changes: the number of changes of each molecule.
        plausible_only: whether the changes are repeated until the tokens differ and, for SMILES, may be a molecule by
            ``may_be_smiles``. This check takes a fifth of the time of parsing; nine tenths of the strings that pass it
            are molecules.
    """

    vocabulary: Vocabulary
    changes: int = 1
    plausible_only: bool = True
    _choices: Sequence[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_choices", self.vocabulary.tokens[len(RESERVED) :])

    def __call__(self, smiles: str, rng: np.random.Generator) -> str | None:
        """Return a string after the changes, which may be no molecule.

        The result is None if the grammar of the vocabulary cannot express the string, or no plausible change is found.
        """
        grammar = self.vocabulary.grammar
        try:
            tokens = grammar.split(smiles)
        except UnknownTokenError:
            return None
        checked = self.plausible_only and grammar is SMILES
        for _ in range(TRIES if checked else 1):
            changed = list(tokens)
            alone = [_change(changed, self._choices, rng) for _ in range(self.changes)]
            # A single added or removed parenthesis or ring closure leaves another one without its partner.
            if not checked or (alone != [True] and changed != tokens and may_be_smiles(changed)):
                return grammar.join(changed)
        return None


def _change(tokens: list[str], choices: Sequence[str], rng: np.random.Generator) -> bool:
    """Make one change that leaves at least one token.

    Returns:
        Whether a parenthesis or ring closure of SMILES was added, removed or replaced.
    """
    of_kind, of_place, of_choice = rng.random(3).tolist()
    kind = _KINDS[int(of_kind * (len(_KINDS) if len(tokens) > 1 else 2))]
    place = int(of_place * (len(tokens) + (kind == "insert")))
    if kind == "swap":
        other = int(of_choice * len(tokens))
        tokens[place], tokens[other] = tokens[other], tokens[place]
        return False
    new = choices[int(of_choice * len(choices))]
    match kind:
        case "insert":
            tokens.insert(place, new)
            return new[0] in _PAIRED
        case "delete":
            return tokens.pop(place)[0] in _PAIRED
        case _:
            old = tokens[place] if tokens else new
            tokens[place : place + 1] = [new]
            return old != new and (old[0] in _PAIRED or new[0] in _PAIRED)


class _Role(NamedTuple):
    """The role of a token in a SMILES string.

    Attributes:
        kind: the kind of token, one of ``_ATOM`` to ``_DOT``.
        value: the order of a bond, or the largest number of bonds of an atom; a bond of an aromatic atom counts once,
            whatever its order.
        doubles: whether an aromatic atom has a double bond in its ring in the Kekulé form: always (1), never (0), only
            if it has two neighbours (2), or not known (3).
        step: the number of bonds that a bracket atom without unpaired electrons may lack is a multiple of it: 2 for
            sulfur and phosphorus, which have several valences, ``_ANY`` for other bracket atoms; 1 for all other
            tokens.
    """

    kind: int
    value: int
    doubles: int = 3
    step: int = 1


_ATOM, _AROMATIC, _BOND, _RING, _OPEN, _CLOSE, _DOT = range(7)
_MARKS = {"(": _Role(_OPEN, 0), ")": _Role(_CLOSE, 0), ".": _Role(_DOT, 0)}


def may_be_smiles(tokens: Sequence[str]) -> bool:
    """Return whether SMILES tokens may be a molecule without radicals.

    Parentheses and ring closures must match, no atom may have too many bonds, no bracket atom too few, and the number
    of atoms in aromatic rings must allow alternating bonds. Except for a few unusual spellings, the conditions are
    necessary; they are not sufficient.
    """
    # free: the number of bonds that each atom has left; atoms: the role of each; bonds: the bonds between aromatic
    # atoms; outer: the atoms of double bonds between an aromatic atom and another one.
    free: list[int] = []
    atoms: list[_Role] = []
    bonds: list[tuple[int, int]] = []
    outer: set[int] = set()
    bracketed: list[int] = []
    branches: list[int] = []
    rings: dict[str, tuple[int, int]] = {}
    atom, order, before = -1, 0, _DOT
    single = False

    for token in tokens:
        role = _role(token)
        kind = role.kind
        if kind == _BOND:
            if order or before == _DOT:
                return False
            order, single, before = role.value, token in _SINGLE, kind
            continue
        other, opened = -1, 0
        if kind <= _AROMATIC:
            other, atom = atom, len(free)
            free.append(role.value)
            atoms.append(role)
            if role.step > 1:
                bracketed.append(atom)
        elif atom < 0 or (order and kind != _RING):
            return False
        elif kind == _RING:
            label = token.strip("%()")
            if label not in rings:
                rings[label] = atom, order
            else:
                other, opened = rings.pop(label)
                if other == atom:
                    return False
        elif kind == _OPEN:
            if before == _OPEN:
                return False
            branches.append(atom)
        elif kind == _CLOSE:
            if before == _OPEN or not branches:
                return False
            atom = branches.pop()
        else:
            atom = -1
        if other >= 0:
            times = order or opened or 1
            one_is, other_is = atoms[atom].kind, atoms[other].kind
            free[atom] -= 1 if one_is else times
            free[other] -= 1 if other_is else times
            if one_is and other_is:
                # The other ring closure may have a single bond. A bond too many refuses no molecule, and lets a few
                # strings pass that are none.
                if not single or kind == _RING:
                    bonds.append((atom, other))
            elif times > 1:
                outer.update((atom, other))
        order, single, before = 0, False, kind
    if branches or rings or order or atom < 0 or min(free) < 0:
        return False
    if any(free[each] % atoms[each].step for each in bracketed):
        return False
    return _can_alternate(atoms, free, bonds, outer)


def _can_alternate(
    atoms: Sequence[_Role], free: Sequence[int], bonds: Sequence[tuple[int, int]], outer: Collection[int]
) -> bool:
    """Return whether aromatic atoms may have alternating bonds.

    Each aromatic atom needs an aromatic neighbour, and the number of connected atoms with a double bond in their ring
    must be even, so that they can form pairs.
    """
    partners: dict[int, list[int]] = {}
    for one, other in bonds:
        partners.setdefault(one, []).append(other)
        partners.setdefault(other, []).append(one)
    needing, known = set(), True
    for place, role in enumerate(atoms):
        if role.kind == _AROMATIC:
            if place not in partners:
                return False
            match role.doubles:
                case 1 if place not in outer:
                    needing.add(place)
                case 2 if place not in outer:
                    if free[place]:
                        needing.add(place)
                case 2 | 3:
                    known = False
    while known and needing:
        connected, size = [needing.pop()], 0
        while connected:
            size += 1
            near = needing.intersection(partners[connected.pop()])
            needing -= near
            connected += near
        if size % 2:
            return False
    return True


@lru_cache(1024)
def _role(token: str) -> _Role:
    if token in _MARKS:
        return _MARKS[token]
    if token in _ORDERS:
        return _Role(_BOND, _ORDERS[token])
    if token[0] in _PAIRED:
        return _Role(_RING, 0)
    found = _BRACKET.fullmatch(token)
    if found is None:
        kind = _AROMATIC if _LOWER.match(token) else _ATOM
        return _Role(kind, _MOST_BONDS.get(token, _ANY), _DOUBLES.get(token, 3))
    element, hydrogens, charge = found["element"], found["hydrogens"] or "", found["charge"] or ""
    kind = _AROMATIC if element.islower() else _ATOM
    doubles = _DOUBLES.get(f"{element}{'H' if hydrogens else ''}{charge}", 3)
    sign, bound = charge.count("+") - charge.count("-"), int(hydrogens[1:] or 1) if hydrogens else 0
    if element in _SEVERAL:
        return _Role(kind, _SEVERAL[element] + sign - bound, doubles, step=2)
    if element not in _MOST_BONDS:
        return _Role(kind, _ANY, doubles)
    more = sign if element in "NOno" else 0 if element == "c" else -abs(sign)
    return _Role(kind, _MOST_BONDS[element] + more - bound, doubles, step=_ANY if kind == _ATOM else 1)
