"""Markers for the annotations of fields, which describe the key of a field in a configuration beyond its type.

The markers of ``annotated_types`` bound a number, as in ``radius: Annotated[int, Ge(0)]``; those here say the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Le, MinLen

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

Text = Annotated[str, MinLen(1)]
"""A text that is not empty."""
Share = Annotated[float, Ge(0), Le(1)]
"""A number in [0, 1]."""
Count = Annotated[int, Ge(1)]
"""A whole number of at least 1."""
NotNegative = Annotated[int, Ge(0)]
"""A whole number of at least 0."""


@dataclass(frozen=True)
class Key:
    """The name of the key, where it differs from the name of the field."""

    name: str


@dataclass(frozen=True)
class Typed:
    """The type of the key, where the field accepts values that a configuration file cannot express.

    Attributes:
        type: the type, or a function that returns it. A function imports the parts of the type only when it is called,
            so that its module does not import pydantic.
    """

    type: Any


@dataclass(frozen=True)
class Given:
    """The field has no key: the program gives its value, under the field's name."""


@dataclass(frozen=True)
class Outermost:
    """The key exists only in a table that is not nested in another table of the same family."""


@dataclass(frozen=True)
class Checked:
    """The value is refused where ``check`` raises a ValueError."""

    check: Callable[[Any], object]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def _checked(self, value: Any) -> Any:
        self.check(value)
        return value


@dataclass(frozen=True)
class FileName:
    """The value is the path of a file; a relative one starts at the folder of the configuration file."""


@dataclass(frozen=True)
class MoleculeFile(FileName):
    """The value is the path of a file of molecules, or of pairs.

    Attributes:
        columns: the keys of the table that name the columns to read.
        id_column: the key that names the column of the rows' ids; None for a table without one.
    """

    columns: tuple[str, ...] = ()
    id_column: str | None = None


@dataclass(frozen=True)
class FolderName:
    """The value is the path of a folder; a relative one starts at the folder of the configuration file."""


@dataclass(frozen=True)
class PolicyName:
    """The value names a policy: "agent", "prior", a bundled policy, a folder, or a sha256 in the store."""


@dataclass(frozen=True)
class Condition:
    """The value is an SQL condition on ``sample_history``."""


@dataclass(frozen=True)
class InAList:
    """A single text stands for a list with this one text."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(in_a_list, handler(source))


def in_a_list(value: Any) -> Any:
    """Return a tuple with the text for a text, and any other value unchanged."""
    return (value,) if isinstance(value, str) else value


RunNames = Annotated[tuple[str, ...], Typed(tuple[Text, ...]), InAList(), MinLen(1)]
"""Names of runs: "own", "all", or a list of these, of run ids and of beginnings of run ids."""
