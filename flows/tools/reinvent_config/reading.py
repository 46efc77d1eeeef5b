"""Reading of the tables of a foreign configuration: every key is asked for by its type, and none is forgotten."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from molbuffer.flows.settings import KeyPath, Problem, shown


@dataclass
class Remarks:
    """What is to be said of a configuration.

    Attributes:
        problems: what is wrong with the file itself, so that it cannot be converted.
        differences: keys that have no counterpart, or one that does something else, each with the reason.
    """

    problems: list[Problem] = field(default_factory=list)
    differences: list[Problem] = field(default_factory=list)


@dataclass
class Table:
    """A table of the file, which remembers the keys that it was asked for.

    A value of another type than the one that is asked for is a problem, and the default is returned.

    Attributes:
        content: the keys and values.
        path: where the table is in the file.
        remarks: where problems and differences are collected.
    """

    content: Mapping[str, Any]
    path: KeyPath
    remarks: Remarks
    _asked: set[str] = field(default_factory=set)

    def __contains__(self, key: str) -> bool:
        return key in self.content

    def text(self, key: str, default: str = "") -> str:
        """Return a text."""
        return str(self._value(key, default, "a text", lambda value: isinstance(value, str)))

    def number(self, key: str, default: float) -> float:
        """Return a finite number."""
        return float(self._value(key, default, "a finite number", _is_number))

    def count(self, key: str, default: int, least: int = 1) -> int:
        """Return a whole number of at least ``least``; 5.0 counts as one."""
        expected = f"a whole number of at least {least}"
        return int(
            self._value(key, default, expected, lambda value: _is_number(value) and value == int(value) >= least)
        )

    def flag(self, key: str, default: bool) -> bool:
        """Return true or false."""
        return bool(self._value(key, default, "true or false", lambda value: isinstance(value, bool)))

    def texts(self, key: str) -> list[str]:
        """Return a list of texts; one text stands for a list of one."""
        value = self._value(key, [], "a list of texts", _is_texts)
        return [value] if isinstance(value, str) else list(value)

    def table(self, key: str) -> Table | None:
        """Return a table below this one; None if there is none."""
        value = self._value(key, None, "a table", lambda value: isinstance(value, Mapping))
        return None if value is None else Table(value, (*self.path, key), self.remarks)

    def tables(self, key: str) -> list[Table]:
        """Return a list of tables below this one; a single table is no list."""
        value = self._value(key, [], f"a list of tables, [[{key}]]", _is_tables)
        return [Table(each, (*self.path, key, i), self.remarks) for i, each in enumerate(value)]

    def differs(self, key: str | None, reason: str) -> None:
        """Say that a key, or the table itself, has no counterpart, and why; a key that is not there is passed over."""
        if key is None:
            self.remarks.differences.append(Problem(self.path, reason))
        elif key in self.content:
            self._asked.add(key)
            self.remarks.differences.append(Problem((*self.path, key), reason))

    def wrong(self, key: str, reason: str) -> None:
        """Say that the value of a key cannot be meant."""
        self.remarks.problems.append(Problem((*self.path, key), reason))

    def say_unknown(self) -> None:
        """Say of every key that was not asked for that it is not known."""
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
    """Yield the tables of a table with the names that the file gives them; what is no table is a problem."""
    for name in table.content:
        found = table.table(name)
        if found is not None:
            yield name, found
