"""The roles of the columns of an imported file: the reward, the step, and further scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from molbuffer.exchange.errors import IngestError


@dataclass(frozen=True)
class FileColumns:
    """The columns of a file, by their names there.

    Attributes:
        reward: the column of the scores that become rewards.
        step: the column of the iteration; None if all rows are of one iteration.
        scores: the columns of further scores, by the suffix of their names in the store.
    """

    reward: str
    step: str | None = None
    scores: Mapping[str, str] = field(default_factory=dict)


FindColumns = Callable[[Sequence[str], str | None], FileColumns]
"""A function that returns the roles of columns, given their names and the reward column that the user names, if any."""


def check_column(kind: str, names: Sequence[str], wanted: str) -> str:
    """Return the name of a column after checking that a file has it exactly once.

    Raises:
        IngestError: the file lacks the column, or has it several times.
    """
    if names.count(wanted) != 1:
        how = "lacks the column" if wanted not in names else "has several columns"
        raise IngestError(
            f"{kind} {how} {wanted!r}; its columns beside the molecules are: {', '.join(map(repr, names)) or 'none'}"
        )
    return wanted


def first_of(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    """Return the column with the first of the wanted names, in any case; None if a file has none of them."""
    lower = {name.lower(): name for name in reversed(names)}
    return next((lower[name] for name in wanted if name in lower), None)
