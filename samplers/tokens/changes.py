"""Random changes of single tokens of a molecule: replace, insert, delete, swap."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from molbuffer.samplers.errors import UnknownTokenError
from molbuffer.samplers.tokens.grammars import SMILES
from molbuffer.samplers.tokens.vocabulary import RESERVED, Vocabulary

TRIES = 20
"""The changes that are tried until the tokens can be SMILES."""

_KINDS = ("insert", "replace", "delete", "swap")
_PAIRED = frozenset("()0123456789%")
_ORDERS = {"-": 1, "/": 1, "\\": 1, ":": 1, "~": 1, "=": 2, "#": 3, "$": 4}
_MOST_BONDS = {"C": 4, "N": 3, "O": 2, "F": 1, "Cl": 1, "Br": 1, "S": 6, "c": 3, "n": 3, "o": 2}
_BRACKET = re.compile(r"\[(?P<element>[A-Z][a-z]?|[cnosp])@?@?(?P<hydrogens>H\d?)?(?P<charge>[+-]?)\]")
_ANY = 99
_MARKS = ("(", ")", ".")


@dataclass(frozen=True)
class TokenChanges:
    """Random changes of the tokens of molecules.

    Attributes:
        vocabulary: the vocabulary that new tokens come from.
        changes: the number of changes of each molecule.
        plausible_only: repeat the changes until parentheses and ring closures of SMILES fit together. That takes a
            tenth of the time of parsing; two thirds of what it lets pass are molecules.
    """

    vocabulary: Vocabulary
    changes: int = 1
    plausible_only: bool = True
    _choices: Sequence[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_choices", self.vocabulary.tokens[len(RESERVED) :])

    def __call__(self, smiles: str, rng: np.random.Generator) -> str | None:
        """Return a string after the changes, which may be no molecule.

        None if the grammar of the vocabulary cannot express the string, or nothing plausible is found.
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
            # A parenthesis or ring closure that comes or goes alone leaves another one without its partner.
            if not checked or (alone != [True] and may_be_smiles(changed)):
                return grammar.join(changed)
        return None


def _change(tokens: list[str], choices: Sequence[str], rng: np.random.Generator) -> bool:
    """Make one change, after which at least one token is left; return whether a parenthesis or a ring closure of
    SMILES came or went.
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


def may_be_smiles(tokens: Sequence[str]) -> bool:
    """Return whether parentheses and ring closures of tokens of SMILES fit together, no atom has too many bonds, and no
    aromatic one is without an aromatic neighbour.

    That is necessary for a molecule, but for a few odd spellings, and not sufficient.
    """
    # What each atom has left, the aromatic neighbours that it still needs, and whether it is aromatic.
    free: list[int] = []
    lonely: set[int] = set()
    aromatic: list[bool] = []
    branches: list[int] = []
    rings: dict[str, int] = {}
    atom, order, before = -1, 0, "."

    def bond(one: int, other: int, times: int) -> None:
        if not aromatic[one]:
            free[one] -= times
            free[other] -= 1 if aromatic[other] else times
            return
        free[one] -= 1
        if aromatic[other]:
            free[other] -= 1
            lonely.discard(one)
            lonely.discard(other)
        else:
            free[other] -= times

    for token in tokens:
        role, value = _role(token)
        if role == "atom" or role == "aromatic":
            new = len(free)
            free.append(value)
            aromatic.append(role == "aromatic")
            if aromatic[-1]:
                lonely.add(new)
            if atom >= 0:
                bond(atom, new, order or 1)
            atom, order = new, 0
        elif role == "bond":
            if order or before == ".":
                return False
            order = value
        elif atom < 0 or (order and role != "ring"):
            return False
        elif role == "ring":
            label = token.strip("%()")
            if label not in rings:
                rings[label] = atom
            else:
                if (other := rings.pop(label)) == atom:
                    return False
                bond(atom, other, order or 1)
            order = 0
        elif role == "(":
            if before == "(":
                return False
            branches.append(atom)
        elif role == ")":
            if before == "(" or not branches:
                return False
            atom = branches.pop()
        else:
            atom = -1
        before = role
    return not (branches or rings or order or lonely) and atom >= 0 and min(free) >= 0


@lru_cache(1024)
def _role(token: str) -> tuple[str, int]:
    """Return what a token is, with the order of a bond, or the most bonds of an atom.

    A bond of an aromatic atom counts once, whatever its order.
    """
    if token in _MARKS:
        return token, 0
    if token in _ORDERS:
        return "bond", _ORDERS[token]
    if token[0] in _PAIRED:
        return "ring", 0
    found = _BRACKET.fullmatch(token)
    if found is None:
        return "aromatic" if token[0].islower() else "atom", _MOST_BONDS.get(token, _ANY)
    element, hydrogens, charge = found["element"], found["hydrogens"], found["charge"] or ""
    role = "aromatic" if element.islower() else "atom"
    if element not in _MOST_BONDS or element == "S":
        return role, _ANY
    sign = charge.count("+") - charge.count("-")
    more = sign if element in "NOno" else -abs(sign)
    return role, _MOST_BONDS[element] + more - (int(hydrogens[1:] or 1) if hydrogens else 0)
