"""Gates: conditions on raw values of cheap components that a molecule meets before an expensive component scores it.

A gate is a text such as ``qed > 0.4 and (sa_score < 4 or 'property:logp' < 3)``: comparisons of a component of the same
objective with a number, ``and``, ``or``, ``not`` and parentheses, in Python's syntax. A name that is no identifier of
Python is quoted. The text is parsed and never evaluated; text outside of this grammar is refused.

A comparison is unknown if its raw value is absent, because the score failed or the component's own gate is closed. By
the three-valued logic of Kleene, a gate is open only if its condition is true for all truth values of the unknown
comparisons. The condition is kept in disjunctive normal form: alternatives, each a conjunction of comparisons. That
form has the same truth value in this logic, and can be stored.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molbuffer.scoring.errors import ScoringConfigurationError

LONGEST = 1000
"""The largest number of characters of a gate."""
MOST_ALTERNATIVES = 64
"""The largest number of alternatives (conjunctions) of a gate."""

_OPERATORS: Mapping[type[ast.cmpop], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
_OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_COMPARE = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
}


@dataclass(frozen=True, order=True)
class Comparison:
    """A comparison of the raw value of a component with a number.

    Attributes:
        component: the name of the component.
        operator: <, <=, >, >=, == or !=.
        number: the number that the raw value is compared with.
    """

    component: str
    operator: str
    number: float

    def holds(self, values: Mapping[str, NDArray[np.float64]]) -> NDArray[np.bool_]:
        """Return the mask [n] of the molecules whose raw values fulfil the comparison; a NaN does not.

        Args:
            values: the raw values [n] of each component by name.
        """
        raw = np.asarray(values[self.component], np.float64)
        return ~np.isnan(raw) & _COMPARE[self.operator](raw, self.number)


Conjunction = tuple[Comparison, ...]


@dataclass(frozen=True)
class Gate:
    """A condition on the raw values of other components of an objective.

    Attributes:
        text: the condition.

    Example:
        >>> gate = mb.Gate("qed > 0.4 and not sa_score >= 4")
        >>> gate.opens({"qed": np.array([0.5, 0.5, np.nan]), "sa_score": np.array([3.0, 5.0, 3.0])}).tolist()
        [True, False, False]
    """

    text: str

    def __post_init__(self) -> None:
        # Parsed now and not on first use, so that a mistake is found where it is made.
        _ = self.alternatives

    @cached_property
    def alternatives(self) -> tuple[Conjunction, ...]:
        """The conjunctions of comparisons; the gate is open where at least one of them holds."""
        return _simplified(_alternatives(self.text, _parsed(self.text), negated=False))

    @cached_property
    def components(self) -> tuple[str, ...]:
        """The names of the components that the gate compares, in the order of the text."""
        return tuple(dict.fromkeys(_names(_parsed(self.text))))

    def opens(self, values: Mapping[str, NDArray[np.float64]]) -> NDArray[np.bool_]:
        """Return the mask [n] of the molecules for which the gate is open.

        Args:
            values: the raw values [n] of each component by name, NaN where there is none.
        """
        return any_holds(self.alternatives, values)


def any_holds(alternatives: Iterable[Conjunction], values: Mapping[str, NDArray[np.float64]]) -> NDArray[np.bool_]:
    """Return the mask [n] of the molecules for which at least one conjunction holds.

    Args:
        alternatives: the conjunctions.
        values: the raw values [n] of each component by name, NaN where there is none.
    """
    found = [np.logical_and.reduce([each.holds(values) for each in conjunction]) for conjunction in alternatives]
    return np.asarray(np.logical_or.reduce(found), bool)


def expanded(gate: Gate, gates: Mapping[str, Gate]) -> tuple[Conjunction, ...]:
    """Return the alternatives of a gate with the gates of the components that it compares included.

    A comparison with a gated component is true only where the gate of that component is open, too.

    Args:
        gate: the gate.
        gates: the gates of the objective by the name of the gated component, without a cycle.

    Raises:
        ScoringConfigurationError: there are too many alternatives.
    """
    found: list[Conjunction] = []
    for conjunction in gate.alternatives:
        before = [expanded(gates[each.component], gates) for each in conjunction if each.component in gates]
        found += [(*conjunction, *(each for more in chosen for each in more)) for chosen in product(*before)]
        _check_number(gate.text, len(found))
    return _simplified(found)


def order_by_gates(names: Sequence[str], gates: Mapping[str, Gate]) -> list[str]:
    """Return the names of components in the order given, with each moved after the components that its gate compares.

    Raises:
        ScoringConfigurationError: gates need each other in a cycle.
    """
    ordered: list[str] = []
    waiting = list(names)
    while waiting:
        ready = [name for name in waiting if name not in gates or set(gates[name].components) <= set(ordered)]
        if not ready:
            raise ScoringConfigurationError(f"the gates of {' and '.join(map(repr, circle(gates)))} need each other")
        ordered.append(ready[0])
        waiting.remove(ready[0])
    return ordered


def circle(gates: Mapping[str, Gate]) -> list[str]:
    """Return the names of components whose gates need each other in a cycle, in its order; empty without a cycle."""
    compared = {name: [each for each in gate.components if each in gates] for name, gate in gates.items()}
    try:
        TopologicalSorter(compared).prepare()
    except CycleError as error:
        # Its last name is its first one again, and each name stands after those that its gate compares.
        return list(reversed(error.args[1][1:]))
    return []


def stored_form(alternatives: Collection[Conjunction]) -> list[list[dict[str, Any]]]:
    """Return alternatives as JSON values."""
    return [[asdict(each) for each in conjunction] for conjunction in alternatives]


def _parsed(text: str) -> ast.expr:
    if len(text) > LONGEST:
        raise ScoringConfigurationError(f"a gate has at most {LONGEST} characters, got {len(text)}")
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise _refusal(text, f"it cannot be read ({reason})") from None


def _names(node: ast.expr) -> Iterable[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Name):
            yield each.id
        elif isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value


def _alternatives(text: str, node: ast.expr, *, negated: bool) -> list[Conjunction]:
    """Return the disjunctive normal form of a condition, or of its negation."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return _alternatives(text, node.operand, negated=not negated)
    if isinstance(node, ast.Compare):
        comparisons = _comparisons(text, node)
        if not negated:
            return [tuple(comparisons)]
        return [(Comparison(each.component, _OPPOSITE[each.operator], each.number),) for each in comparisons]
    if isinstance(node, ast.BoolOp):
        parts = [_alternatives(text, each, negated=negated) for each in node.values]
        if isinstance(node.op, ast.Or) != negated:
            found = [conjunction for part in parts for conjunction in part]
        else:
            _check_number(text, math.prod(map(len, parts)))
            found = [tuple(each for more in chosen for each in more) for chosen in product(*parts)]
        _check_number(text, len(found))
        return found
    raise _refusal(text, f"{_shown(node)} is no comparison of a component with a number")


def _comparisons(text: str, node: ast.Compare) -> list[Comparison]:
    """Return the comparisons of a chain such as ``0.2 < qed <= 0.8``."""
    found = []
    for (left, right), operator in zip(pairwise([node.left, *node.comparators]), node.ops, strict=True):
        sign = _OPERATORS.get(type(operator))
        if sign is None:
            raise _refusal(text, f"{_shown(node)} compares by another operator than {' '.join(_MIRRORED)}")
        name, number = _name(left), _number(right)
        if name is None:
            name, number, sign = _name(right), _number(left), _MIRRORED[sign]
        if name is None or number is None:
            raise _refusal(text, f"{_shown(node)} does not compare a component with a number")
        found.append(Comparison(name, sign, number))
    return found


def _name(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _number(node: ast.expr) -> float | None:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        number = _number(node.operand)
        return None if number is None else -number
    if not isinstance(node, ast.Constant) or isinstance(node.value, bool) or not isinstance(node.value, int | float):
        return None
    try:
        number = float(node.value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _simplified(alternatives: Iterable[Conjunction]) -> tuple[Conjunction, ...]:
    """Return alternatives in one order, without repetitions: equal conditions are then equal."""
    return tuple(sorted({tuple(sorted(set(conjunction))) for conjunction in alternatives}))


def _check_number(text: str, number: int) -> None:
    if number > MOST_ALTERNATIVES:
        raise ScoringConfigurationError(
            f"the gate {text!r} has more than {MOST_ALTERNATIVES} alternatives: write it with fewer `or` inside `and`"
        )


def _shown(node: ast.expr) -> str:
    return repr(ast.unparse(node))


def _refusal(text: str, problem: str) -> ScoringConfigurationError:
    return ScoringConfigurationError(
        f'the gate {text!r} is no condition: {problem}; expected comparisons such as "qed > 0.4 and sa_score < 4", '
        "with and, or, not and parentheses, and a name with other characters than letters, digits and _ in quotes"
    )
