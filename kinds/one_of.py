"""The choice among the kinds of a family, as the value of a key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic_core import CoreSchema, core_schema

from molbuffer.kinds.errors import BrokenKindError, KindError
from molbuffer.kinds.family import Family
from molbuffer.kinds.python_object import PYTHON, PythonObject, python_table
from molbuffer.kinds.table import KindTable, kind_table

OF_OBJECT, OF_FUNCTION = "<object>", "<function>"
"""The tags of the two tables of kind ``python``; no key of a configuration has such a name."""


@dataclass(frozen=True)
class OneOf:
    """The value is a table of a kind of a family: ``Annotated[KindTable, OneOf(TRANSFORMS)]``.

    A table of kind ``python`` names a class in a file of the user as its ``object``, in any family.

    Attributes:
        family: the family.
        base: has the keys that all tables have here.
        bare: a kind may be named by a text alone, which stands for a table with its defaults.
        inner: the tables are inside another of the family.
        without: the names of kinds that are no choice here.
    """

    family: Family
    base: type[KindTable] = KindTable
    bare: bool = False
    inner: bool = False
    without: tuple[str, ...] = ()
    _problems: dict[str, str] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def tables(self) -> Mapping[str, type[KindTable]]:
        """The table of each kind that can be used, by name."""
        found = {}
        for kind, cls in sorted(self.family.usable().items()):
            if kind in self.without:
                continue
            try:
                found[kind] = kind_table(kind, cls, self.base, inner=self.inner)
                found[kind].kind_of = self.family.kinds[kind]
            except KindError as error:
                self._problems[kind] = str(error)
        return found

    @cached_property
    def python(self) -> type[PythonObject]:
        """The table of a class in a file of the user."""
        return python_table(self.family, self.base, inner=self.inner)

    def default(self, kind: str) -> Callable[[], KindTable]:
        """Return a function that returns the table of a kind with its defaults."""
        return lambda: self.tables[kind](kind=kind)

    def table_from(self, made: Any) -> KindTable:
        """Return the table of an object of a kind.

        Raises:
            KindError: the object is of no kind of the family.
        """
        for kind, table in self.tables.items():
            if table.made_of is type(made):
                values = {key: getattr(made, field) for key, field in table.attributes.items()}
                return table(kind=kind, **values)
        raise KindError(f"{made!r} is of no kind of {self.family.name}")

    def table(self, data: Any) -> type[KindTable] | None:
        """Return the table that data of a configuration are checked by; None if they name no kind."""
        kind = data if self.bare and isinstance(data, str) else data.get("kind") if isinstance(data, Mapping) else None
        if kind == PYTHON and (PYTHON not in self.tables or _tag_of_python(data) == OF_OBJECT):
            return self.python
        return self.tables.get(kind) if isinstance(kind, str) else None

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        choices: dict[Any, CoreSchema] = {}
        for kind, table in self.tables.items():
            try:
                choices[kind] = handler.generate_schema(table)
            except Exception as error:  # a type of a stranger's field that pydantic has no schema for
                if self.family.kinds[kind].is_own:
                    raise
                self._problems[kind] = f"{type(error).__name__}: {error}"
        of_object = handler.generate_schema(self.python)
        if PYTHON in choices:
            both: dict[Any, CoreSchema] = {OF_FUNCTION: choices[PYTHON], OF_OBJECT: of_object}
            choices[PYTHON] = core_schema.tagged_union_schema(both, _tag_of_python)
        else:
            choices[PYTHON] = of_object
        union = core_schema.tagged_union_schema(choices, "kind")
        return core_schema.no_info_before_validator_function(self._as_table, union)

    def _as_table(self, value: Any) -> Any:
        """Return the table that a bare name stands for, and refuse a kind that is registered and broken."""
        if self.bare and isinstance(value, str):
            value = {"kind": value}
        kind = value.get("kind") if isinstance(value, Mapping) else None
        if isinstance(kind, str) and kind in self.family and kind not in self.without:
            _ = self.family[kind]
            if kind in self._problems:
                source = self.family.kinds[kind].source
                raise BrokenKindError(f"the kind {kind!r}, from {source}, cannot be used: {self._problems[kind]}")
        return value


def _tag_of_python(value: Any) -> str:
    has_object = "object" in value if isinstance(value, Mapping) else hasattr(value, "object")
    return OF_OBJECT if has_object else OF_FUNCTION
