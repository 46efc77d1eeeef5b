"""Components that compute a property of the molecule: QED, synthetic accessibility, and any named property."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar

from rdkit.Chem import QED as RDKIT_QED

from molbuffer.kinds import Checked, Text, Typed, checked
from molbuffer.scoring.components.base import Cost, score_each
from molbuffer.scoring.components.raw_score import RawScore
from molbuffer.scoring.identity import sha256_of
from molbuffer.scoring.molecules import check_property, check_sa_score, property_value
from molbuffer.scoring.molecules.sa_score import sa_score


@checked
@dataclass(frozen=True)
class QED:
    """The quantitative estimate of drug-likeness, in [0, 1]: Bickerton et al., Nature Chemistry 4:90 (2012).

    Attributes:
        name: the component's name in the history, unique in the objective.

    Example:
        >>> round(mb.QED().values(["CC(=O)Nc1ccc(O)cc1"])[0].value, 2)
        0.6
    """

    name: str = "qed"

    kind: ClassVar[str] = "qed"
    cost: ClassVar[Cost] = "low"
    bounded: ClassVar[bool] = True
    parallel: ClassVar[bool] = True

    @cached_property
    def version(self) -> str:
        return sha256_of({"kind": self.kind})

    def values(self, molecules: Sequence[str]) -> list[RawScore]:
        return score_each(RDKIT_QED.qed, molecules)


@checked
@dataclass(frozen=True)
class SAScore:
    """The synthetic accessibility, from 1 (easy) to 10: Ertl and Schuffenhauer, J. Cheminformatics 1:8 (2009).

    Attributes:
        name: the component's name in the history, unique in the objective.

    Example:
        >>> round(mb.SAScore().values(["CC(=O)Nc1ccc(O)cc1"])[0].value, 1)
        1.4
    """

    name: str = "sa_score"

    kind: ClassVar[str] = "sa_score"
    cost: ClassVar[Cost] = "low"
    bounded: ClassVar[bool] = False
    parallel: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_sa_score()

    @cached_property
    def version(self) -> str:
        return sha256_of({"kind": self.kind})

    def values(self, molecules: Sequence[str]) -> list[RawScore]:
        return score_each(sa_score, molecules)


@checked
@dataclass(frozen=True)
class Property:
    """A property of the molecule; it needs a transform.

    Attributes:
        property: the property, such as molecular_weight or logp.
        name: the component's name in the history, ``property:`` and the property by default.

    Example:
        >>> round(mb.Property("molecular_weight").values(["CCO"])[0].value, 2)
        46.07
    """

    property: Annotated[str, Typed(Annotated[Text, Checked(check_property)])]
    name: str = ""

    kind: ClassVar[str] = "property"
    cost: ClassVar[Cost] = "low"
    bounded: ClassVar[bool] = False
    parallel: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_property(self.property)
        object.__setattr__(self, "name", self.name or f"{self.kind}:{self.property}")

    @cached_property
    def version(self) -> str:
        return sha256_of({"kind": self.kind, "property": self.property})

    def values(self, molecules: Sequence[str]) -> list[RawScore]:
        return score_each(lambda molecule: property_value(self.property, molecule), molecules)
