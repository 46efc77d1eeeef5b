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
        base: the base class of the tables, with the keys that all of them have.
        bare: whether a text that names a kind stands for the table of this kind with its defaults.
        inner: whether the tables are nested in another table of the family.
        without: the names of kinds that may not be chosen.
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
        """Return the table that checks the data of a configuration; None if the data name no kind."""
        kind = data if self.bare and isinstance(data, str) else data.get("kind") if isinstance(data, Mapping) else None
        if kind == PYTHON and (PYTHON not in self.tables or _tag_of_python(data) == OF_OBJECT):
            return self.python
        return self.tables.get(kind) if isinstance(kind, str) else None

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        choices: dict[Any, CoreSchema] = {}
        for kind, table in self.tables.items():
            try:
                choices[kind] = handler.generate_schema(table)
            except Exception as error:  # pydantic has no schema for the type of a field of a foreign class
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
        """Return a bare name as the table it stands for, any other value unchanged; refuse a registered, broken kind.

        Raises:
            BrokenKindError: the kind is registered, but cannot be used.
        """
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
