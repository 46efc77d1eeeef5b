"""The component of imported scores, which `molbuffer ingest` brings into a store."""

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
    """Scores that were imported under a name, and that molbuffer cannot compute for other molecules.

    Their identity is the name: they never count as scores of another component. Unless the values are in [0, 1], the
    component needs a transform.

    Attributes:
        scores: the name under which the scores were imported.
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
    # High, as for a measurement: components of low cost may be computed anywhere, as by screening for each candidate.
    cost: ClassVar[Cost] = "high"

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or f"{self.kind}:{self.scores}")

    @cached_property
    def version(self) -> str:
        return sha256_of({"kind": self.kind, "scores": self.scores})

    def values(self, molecules: Sequence[str]) -> list[RawScore]:
        # Lost and not failed: the score may still be imported.
        reason = "no score of {!r} was imported as {!r}, and nothing computes one"
        return [RawScore(None, reason.format(text, self.scores), lost=True) for text in molecules]
