"""The primitives of an atom or bond of a SMARTS pattern as a Boolean formula, and whether it can be satisfied.

RDKit describes a query as an indented text: ``AtomAnd`` or ``AtomOr`` over primitives such as ``AtomType 7 = val``.
Primitives with a single value (element, charge, number of hydrogens …) are variables, of which all cases are tried.
Others, such as ``$(...)`` and ranges, may be true or false in every case, so that no satisfiable pattern is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

MOST_CASES = 20_000
"""The largest number of cases that are tried; a formula with more cases passes."""

ELEMENT, AROMATIC, RINGS = "AtomAtomicNum", "AtomIsAromatic", "AtomInNRings"
ONE_VALUE = {
    ELEMENT,
    AROMATIC,
    RINGS,
    "AtomExplicitDegree",
    "AtomFormalCharge",
    "AtomHCount",
    "AtomHybridization",
    "AtomImplicitHCount",
    "AtomIsotope",
    "AtomMinRingSize",
    "AtomTotalDegree",
    "AtomTotalValence",
    "BondInRing",
    "BondOrder",
}
"""The primitives of which an atom or bond has exactly one value. ``AtomRingSize`` (``k``) is not one of them: an atom
of two rings has two values."""
ANOTHER = -999
"""A value that no primitive of the formula names."""
IN_A_RING = -1
"""The value that RDKit writes for ``R`` without a number."""
_LEAF = re.compile(r"(\w+) (-?\d+) (!?=) val")


@dataclass(frozen=True)
class QueryTree:
    """A Boolean formula, or one of its primitives.

    Attributes:
        kind: ``and`` or ``or`` for a formula, ``is`` for a primitive with a value, ``free`` for any other primitive.
        negated: whether the formula or primitive is negated.
        parts: the parts of a formula.
        variable: the variable of a primitive with a value.
        value: the value of the variable.
    """

    kind: str
    negated: bool = False
    parts: tuple[QueryTree, ...] = ()
    variable: str = ""
    value: int = 0

    @classmethod
    def of(cls, description: str) -> QueryTree:
        """Parse the text that RDKit's ``DescribeQuery`` returns for an atom or bond."""
        lines = [line for line in description.split("\n") if line.strip()]
        return cls._read(lines) if lines else cls("free")

    @classmethod
    def _read(cls, lines: list[str]) -> QueryTree:
        head, depth = lines[0].strip(), _depth(lines[0])
        negated, head = head.startswith("not "), head.removeprefix("not ")
        if head in ("AtomAnd", "AtomOr", "BondAnd", "BondOr"):
            starts = [at for at in range(1, len(lines)) if _depth(lines[at]) == depth + 1]
            ends = [*starts[1:], len(lines)]
            parts = tuple(cls._read(lines[start:end]) for start, end in zip(starts, ends, strict=True))
            return cls(head[4:].lower(), negated, parts)
        if head in ("AtomNull", "BondNull"):
            return cls("and", negated)
        if leaf := _LEAF.fullmatch(head):
            return cls._primitive(leaf[1], int(leaf[2]), negated != (leaf[3] == "!="))
        return cls("free", negated)

    @classmethod
    def _primitive(cls, name: str, value: int, negated: bool) -> QueryTree:
        if name == "AtomType":
            # 1000 is added for an aromatic atom.
            element, aromatic = value % 1000, value // 1000
            parts = (cls("is", False, (), ELEMENT, element), cls("is", False, (), AROMATIC, aromatic))
            return cls("and", negated, parts)
        if name == "AtomIsAliphatic":
            return cls("is", not negated, (), AROMATIC, 1)
        return cls("is", negated, (), name, value) if name in ONE_VALUE else cls("free", negated)

    def can_be_true(self) -> bool:
        """Return False if no values of the variables make the formula true."""
        domains = {name: sorted(values | {ANOTHER}) for name, values in self._values().items()}
        if AROMATIC in domains:
            domains[AROMATIC] = [0, 1]
        cases = 1
        for values in domains.values():
            cases *= len(values)
        if cases > MOST_CASES:
            return True
        return any(
            self._in_case(dict(zip(domains, case, strict=True))) is not False for case in product(*domains.values())
        )

    def needs(self, variable: str, value: int, unless: tuple[str, ...]) -> bool:
        """Return whether the formula requires a value of a variable in some part, and has none of the other variables.

        Args:
            variable: the variable.
            value: the value.
            unless: the other variables.
        """
        mentioned = self._values()
        return not any(name in mentioned for name in unless) and self._asks(variable, value, False)

    def _asks(self, variable: str, value: int, negated: bool) -> bool:
        negated = negated != self.negated
        if self.kind == "is":
            return not negated and (self.variable, self.value) == (variable, value)
        return any(part._asks(variable, value, negated) for part in self.parts)

    def _values(self) -> dict[str, set[int]]:
        found: dict[str, set[int]] = {}
        for leaf in self._leaves():
            if leaf.kind == "is":
                found.setdefault(leaf.variable, {0} if leaf.variable == RINGS else set()).add(leaf.value)
        return {name: values - {IN_A_RING} if name == RINGS else values for name, values in found.items()}

    def _leaves(self) -> Iterator[QueryTree]:
        if not self.parts:
            yield self
        for part in self.parts:
            yield from part._leaves()

    def _in_case(self, case: Mapping[str, int]) -> bool | None:
        """Return the truth value of the formula in a case; None if it may be either."""
        if self.kind == "free":
            return None
        if self.kind == "is":
            there = case[self.variable]
            found: bool | None = (
                there != 0 if (self.variable, self.value) == (RINGS, IN_A_RING) else there == self.value
            )
        else:
            values = [part._in_case(case) for part in self.parts]
            decides = self.kind == "or"
            found = decides if decides in values else None if None in values else not decides
        return None if found is None else found != self.negated


def _depth(line: str) -> int:
    return (len(line) - len(line.lstrip())) // 2
