"""The base classes of the tables of a configuration file, and the types of their keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from molbuffer.flows.settings.problems import Problem
from molbuffer.scoring import Standardisation, check_property, parse_smarts
from molbuffer.scoring.components import canonical_target

LARGEST_SEED = 2**63 - 1
"""The largest integer that a column of the store can hold."""

DEFAULT_ITERATIONS, DEFAULT_BATCH_SIZE = 100, 64
"""The defaults of a campaign, which rules over several keys also need."""


class Section(BaseModel):
    """A table of the configuration file: immutable, with no key that is not declared, and with no conversions.

    Strictness matters: without it ``true`` would count as 1 and ``"5"`` as 5, and a mistake would go unnoticed. The
        text under each key is its description in the JSON schema and in error messages.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        serialize_by_alias=True,
    )


class Buildable(Section):
    """A table that describes one object of the scoring room.

    The object is built once while the table is checked, so that an error of its constructor is reported with the
    table's line.
    """

    def build(self) -> object:
        """Return the object.

        Raises:
            ScoringConfigurationError: the object cannot be made.
        """
        raise NotImplementedError

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        self.build()
        return self


def refuse(table: str, problems: Sequence[Problem]) -> None:
    """Raise the problems of a table as a validation error, if there are any; their paths start at the table."""
    if problems:
        raise ValidationError.from_exception_data(table, [_as_detail(problem) for problem in problems])


def _as_detail(problem: Problem) -> InitErrorDetails:
    """Return a problem in pydantic's form. The message is a value of the template, so that it may contain braces."""
    kind = PydanticCustomError("broken_rule", "{message}", {"message": problem.message})
    return InitErrorDetails(type=kind, loc=problem.path, input=None)


def _checked_by(check: Callable[[str], object]) -> AfterValidator:
    """Return a validator that accepts a text if ``check`` raises no error."""

    def keep(text: str) -> str:
        check(text)
        return text

    return AfterValidator(keep)


Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
"""A text that is not empty."""

Share = Annotated[float, Field(ge=0, le=1)]
"""A number in [0, 1]."""

Count = Annotated[int, Field(ge=1)]
"""A whole number of at least 1."""

Texts = Annotated[tuple[Text, ...], Field(strict=False)]
"""A list of texts. It is not strict, because a list from a file becomes a tuple, which is immutable."""

PropertyName = Annotated[Text, _checked_by(check_property)]
"""The name of a property of molecules."""

Target = Annotated[Text, _checked_by(lambda smiles: canonical_target(smiles, Standardisation()))]
"""A molecule as SMILES."""

Smarts = Annotated[Text, _checked_by(parse_smarts)]
"""A SMARTS pattern."""

SmartsList = Annotated[tuple[Smarts, ...], Field(strict=False)]
"""A list of SMARTS patterns."""
