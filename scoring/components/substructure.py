"""The component of a substructure: whether a molecule contains a SMARTS pattern."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar

from molbuffer.kinds import Checked, Text, Typed, checked
from molbuffer.scoring.components.base import Cost, score_each
from molbuffer.scoring.components.raw_score import RawScore
from molbuffer.scoring.identity import sha256_of
from molbuffer.scoring.molecules import matches, parse_smarts, reads_as_before


@checked
@dataclass(frozen=True)
class Substructure:
    """1 for molecules that contain the pattern, 0 for the others.

    Attributes:
        smarts: the SMARTS pattern; hydrogens and configurations must match. A pattern that cannot match any molecule is
            refused.
        name: the component's name in the history, ``substructure:`` and the pattern by default.

    Example:
        >>> [score.value for score in mb.Substructure("C(=O)[NH]").values(["CC(=O)NC", "CCO"])]
        [1.0, 0.0]
    """

    smarts: Annotated[str, Typed(Annotated[Text, Checked(parse_smarts)])]
    name: str = ""

    kind: ClassVar[str] = "substructure"
    cost: ClassVar[Cost] = "low"
    bounded: ClassVar[bool] = True
    parallel: ClassVar[bool] = True

    def __post_init__(self) -> None:
        parse_smarts(self.smarts)
        object.__setattr__(self, "name", self.name or f"{self.kind}:{self.smarts}")

    @cached_property
    def version(self) -> str:
        settings = {"kind": self.kind, "smarts": self.smarts}
        # Only the hash of patterns whose matches have changed is new: stored scores of the others are still right.
        if not reads_as_before(self.smarts):
            settings["matching"] = "hydrogens and configurations"
        return sha256_of(settings)

    def values(self, molecules: Sequence[str]) -> list[RawScore]:
        return score_each(lambda molecule: float(matches(molecule, self.smarts)), molecules)
