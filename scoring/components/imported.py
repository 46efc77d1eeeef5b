"""The component of scores that others have computed or measured: `molbuffer ingest` brings them into a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar

from molbuffer.kinds import Text, Typed, checked
from molbuffer.scoring.components.base import Cost
from molbuffer.scoring.components.raw_score import RawScore
from molbuffer.scoring.identity import sha256_of


@checked
@dataclass(frozen=True)
class Imported:
    """Scores that were imported under a name; nothing computes them, so that no other molecule has one.

    They are an identity of their own: neither is one taken for the score of another component, nor the other way round.
    Unless the values are in [0, 1], it needs a transform.

    Attributes:
        scores: the name that they were imported under.
        name: the component's name in the history, ``imported:`` and the name of the scores by default.

    Example:
        >>> mb.Imported("assay").values(["CCO"])[0].error
        "no score of 'CCO' was imported as 'assay', and nothing computes one"
    """

    scores: Annotated[str, Typed(Text)]
    name: str = ""

    kind: ClassVar[str] = "imported"
    bounded: ClassVar[bool] = True
    parallel: ClassVar[bool] = False
    deterministic: ClassVar[bool] = False
    # As of a measurement: it is looked up, and never computed by the way.
    cost: ClassVar[Cost] = "high"

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or f"{self.kind}:{self.scores}")

    @cached_property
    def version(self) -> str:
        return sha256_of({"kind": self.kind, "scores": self.scores})

    def values(self, molecules: Sequence[str]) -> list[RawScore]:
        # Lost and not failed: that a score is not here yet is no property of the molecule.
        reason = "no score of {!r} was imported as {!r}, and nothing computes one"
        return [RawScore(None, reason.format(text, self.scores), lost=True) for text in molecules]
