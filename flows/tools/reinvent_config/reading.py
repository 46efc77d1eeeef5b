"""Read the tables of a foreign configuration: each key is read with its expected type, and unread keys are reported."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from molbuffer.flows.settings import KeyPath, Problem, shown


@dataclass
class Remarks:
    """The remarks on a configuration.

    Attributes:
        problems: errors of the file itself, so that it cannot be converted.
        differences: keys without a counterpart, or with one that behaves differently, each with the reason.
    """

    problems: list[Problem] = field(default_factory=list)
    differences: list[Problem] = field(default_factory=list)


@dataclass
class Table:
    """A table of the file, which remembers the keys that were read.

    A value of an unexpected type is a problem, and the default is returned instead.

    Attributes:
        content: the keys and values.
        path: the path of the table in the file.
        remarks: collects problems and differences.
    """

    content: Mapping[str, Any]
    path: KeyPath
    remarks: Remarks
    _asked: set[str] = field(default_factory=set)

    def __contains__(self, key: str) -> bool:
        return key in self.content

    def text(self, key: str, default: str = "") -> str:
        """Return the value of a key as a text."""
        return str(self._value(key, default, "a text", lambda value: isinstance(value, str)))

    def number(self, key: str, default: float) -> float:
        """Return the value of a key as a finite number."""
        return float(self._value(key, default, "a finite number", _is_number))

    def count(self, key: str, default: int, least: int = 1) -> int:
        """Return the value of a key as a whole number of at least ``least``; 5.0 is accepted."""
        expected = f"a whole number of at least {least}"
        return int(
            self._value(key, default, expected, lambda value: _is_number(value) and value == int(value) >= least)
        )

    def flag(self, key: str, default: bool) -> bool:
        """Return the value of a key as true or false."""
        return bool(self._value(key, default, "true or false", lambda value: isinstance(value, bool)))

    def texts(self, key: str) -> list[str]:
        """Return the value of a key as a list of texts; a single text becomes a list of one."""
        value = self._value(key, [], "a list of texts", _is_texts)
        return [value] if isinstance(value, str) else list(value)

    def table(self, key: str) -> Table | None:
        """Return an inner table; None if the key is missing."""
        value = self._value(key, None, "a table", lambda value: isinstance(value, Mapping))
        return None if value is None else Table(value, (*self.path, key), self.remarks)

    def tables(self, key: str) -> list[Table]:
        """Return a list of inner tables; a single table is not accepted as a list."""
        value = self._value(key, [], f"a list of tables, [[{key}]]", _is_tables)
        return [Table(each, (*self.path, key, i), self.remarks) for i, each in enumerate(value)]

    def differs(self, key: str | None, reason: str) -> None:
        """Record a difference of a key, or with None of the table itself; a missing key is ignored."""
        if key is None:
            self.remarks.differences.append(Problem(self.path, reason))
        elif key in self.content:
            self._asked.add(key)
            self.remarks.differences.append(Problem((*self.path, key), reason))

    def wrong(self, key: str, reason: str) -> None:
        """Record a problem with the value of a key."""
        self.remarks.problems.append(Problem((*self.path, key), reason))

    def say_unknown(self) -> None:
        """Record a difference for every key that was not read: it is unknown, and left out."""
        for key in self.content:
            if key not in self._asked:
                self.differs(key, "this key is not known, and left out")

    def _value(self, key: str, default: Any, expected: str, fits: Any) -> Any:
        self._asked.add(key)
        value = self.content.get(key)
        if value is None:
            return default
        if not fits(value):
            self.wrong(key, f"got {shown(value)}, expected {expected}")
            return default
        return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_texts(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(each, str) for each in value))


def _is_tables(value: object) -> bool:
    return (
        isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(each, Mapping) for each in value)
    )


def single_entries(table: Table) -> Iterator[tuple[str, Table]]:
    """Yield the inner tables of a table with their names; a value that is no table is a problem."""
    for name in table.content:
        found = table.table(name)
        if found is not None:
            yield name, found
