"""The base class of the tables of a configuration."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError


class Section(BaseModel):
    """A table of the configuration file: immutable, without undeclared keys, and without conversions of values.

    Without strict types ``true`` would count as 1 and ``"5"`` as 5, and a mistake would go unnoticed. The text under
    each key is its description in the JSON schema and in error messages.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        str_strip_whitespace=True,
        use_attribute_docstrings=True,
        # The schema is built on first use, when all kinds of all families are known.
        defer_build=True,
    )


def refuse(table: str, problems: Sequence[tuple[tuple[str | int, ...], str]]) -> None:
    """Raise the problems of a table as one validation error; do nothing if there are none.

    Args:
        table: the name of the table.
        problems: the path of each problem from the table, and its message.

    Raises:
        ValidationError: there is at least one problem.
    """
    if problems:
        raise ValidationError.from_exception_data(table, [_as_detail(*problem) for problem in problems])


def _as_detail(path: tuple[str | int, ...], message: str) -> InitErrorDetails:
    """Return a problem in pydantic's form. The message fills a template, so that it may contain braces."""
    kind = PydanticCustomError("broken_rule", "{message}", {"message": message})
    return InitErrorDetails(type=kind, loc=path, input=None)
