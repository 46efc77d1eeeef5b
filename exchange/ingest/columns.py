"""What the columns of a file are: the molecule, the reward, the step, and further scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from molbuffer.exchange.errors import IngestError


@dataclass(frozen=True)
class FileColumns:
    """The columns of a file, by their names there.

    Attributes:
        reward: the column of the scores that are rewarded.
        step: the column of the iteration; None where all rows are of one.
        scores: the columns of further scores, by the name that is added to that of the import.
    """

    reward: str
    step: str | None = None
    scores: Mapping[str, str] = field(default_factory=dict)


FindColumns = Callable[[Sequence[str], str | None], FileColumns]
"""Says what the columns of a file are: a function of their names, and of the reward's where the user names it."""


def check_column(kind: str, names: Sequence[str], wanted: str) -> str:
    """Return the name of a column that is there once.

    Raises:
        IngestError: it is not.
    """
    if names.count(wanted) != 1:
        how = "lacks the column" if wanted not in names else "has several columns"
        raise IngestError(
            f"{kind} {how} {wanted!r}; its columns beside the molecules are: {', '.join(map(repr, names)) or 'none'}"
        )
    return wanted


def first_of(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    """Return the first column of some names, in any case, that a file has; None if it has none of them."""
    lower = {name.lower(): name for name in reversed(names)}
    return next((lower[name] for name in wanted if name in lower), None)
