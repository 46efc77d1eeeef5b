"""What every table of the configuration file has in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from molbuffer.flows.settings.problems import Problem
from molbuffer.scoring.components.similarity import canonical_target
from molbuffer.scoring.molecules.molecules import Standardisation, parse_smarts
from molbuffer.scoring.molecules.properties import check_property

LARGEST_SEED = 2**63 - 1
"""What the store's columns hold."""

DEFAULT_ITERATIONS, DEFAULT_BATCH_SIZE = 100, 64
"""Of a campaign. Rules over several keys read files in which these are left out."""


class Section(BaseModel):
    """A table of the configuration file: immutable, with no key that is not declared, and with no conversions.

    Strictness matters: without it ``true`` would pass for 1 and ``"5"`` for 5, and a slip would run unnoticed. The
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

    The object is built once while the table is checked, so that whatever its constructor refuses is reported with the
    table's line.
    """

    def build(self) -> object:
        """The object.

        Raises:
            ScoringConfigurationError: there can be no such object.
        """
        raise NotImplementedError

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        self.build()
        return self


def refuse(table: str, problems: Sequence[Problem]) -> None:
    """Ends a validation of a table with the problems, if there are any; their paths start at the table."""
    if problems:
        raise ValidationError.from_exception_data(table, [_as_detail(problem) for problem in problems])


def _as_detail(problem: Problem) -> InitErrorDetails:
    """A problem as pydantic reports errors. The message goes in as a value, so that braces in it do no harm."""
    kind = PydanticCustomError("broken_rule", "{message}", {"message": problem.message})
    return InitErrorDetails(type=kind, loc=problem.path, input=None)


def _checked_by(check: Callable[[str], object]) -> AfterValidator:
    """A validator that keeps a text which ``check`` does not refuse."""

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
"""A list of texts. Not strict, because a list from a file has to become a tuple to be immutable."""

PropertyName = Annotated[Text, _checked_by(check_property)]
"""The name of a property of molecules."""

Target = Annotated[Text, _checked_by(lambda smiles: canonical_target(smiles, Standardisation()))]
"""A molecule as SMILES."""

Smarts = Annotated[Text, _checked_by(parse_smarts)]
"""A SMARTS pattern."""

SmartsList = Annotated[tuple[Smarts, ...], Field(strict=False)]
"""A list of SMARTS patterns."""
