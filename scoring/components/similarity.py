"""Components that compare a molecule with a target molecule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Le
from rdkit import Chem

from molbuffer.kinds import Checked, Given, Text, Typed, checked
from molbuffer.scoring.components.base import Cost, score_each
from molbuffer.scoring.components.raw_score import RawScore
from molbuffer.scoring.errors import ScoringConfigurationError, unknown_name
from molbuffer.scoring.identity import sha256_of
from molbuffer.scoring.molecules import (
    Fingerprint,
    Standardisation,
    count_fingerprint,
    has_pairs,
    parse_smiles,
    standardise_smiles,
    tanimoto,
)

LARGEST_RADIUS = 10
"""The largest radius: larger environments contain the whole of any drug-like molecule."""


def canonical_target(target: str, standardisation: Standardisation) -> str:
    """Return the canonical SMILES of a target.

    Raises:
        ScoringConfigurationError: the target is no molecule, or too long.
    """
    canonical = standardise_smiles(target, standardisation)
    if canonical is None and len(target) > standardisation.max_length:
        raise ScoringConfigurationError(
            f"the target has {len(target):,} characters, expected at most {standardisation.max_length:,} (max_length)"
        )
    if canonical is None:
        raise ScoringConfigurationError(f"the target {target!r} is no SMILES string that RDKit can read")
    return canonical


def _check_target(target: str) -> None:
    canonical_target(target, Standardisation())


Target = Annotated[str, Typed(Annotated[Text, Checked(_check_target)])]
FingerprintName = Literal["morgan", "fcfp", "atom_pair"]


@checked
@dataclass(frozen=True)
class Similarity:
    """Tanimoto similarity of count fingerprints with a target molecule, in [0, 1].

    Attributes:
        target: the target molecule as SMILES. It is standardised like the drawn molecules, which may never equal a
            target in another form.
        fingerprint: the features that are counted: circular environments of atoms (morgan), of pharmacophoric atoms
            (fcfp), or pairs of atoms (atom_pair).
        radius: the radius of a circular environment in bonds; atom pairs have none.
        standardisation: the campaign's standardisation.
        name: the component's name in the history; by default the kind, the target, and the fingerprint if it is not
            morgan of radius 2.

    Example:
        >>> mb.Similarity("CCO").values(["OCC"])[0].value
        1.0
    """

    target: Target
    fingerprint: Annotated[Fingerprint | str, Typed(FingerprintName)] = "morgan"
    radius: Annotated[int, Ge(0), Le(LARGEST_RADIUS)] = 2
    standardisation: Annotated[Standardisation, Given()] = Standardisation()
    name: str = ""

    kind: ClassVar[str] = "similarity"
    cost: ClassVar[Cost] = "low"
    bounded: ClassVar[bool] = True
    parallel: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.fingerprint not in tuple(Fingerprint):
            raise unknown_name("fingerprint", str(self.fingerprint), Fingerprint)
        if not 0 <= self.radius <= LARGEST_RADIUS:
            raise ScoringConfigurationError(f"radius must be from 0 to {LARGEST_RADIUS}, got {self.radius}")
        object.__setattr__(self, "fingerprint", Fingerprint(self.fingerprint))
        object.__setattr__(self, "target", canonical_target(self.target, self.standardisation))
        object.__setattr__(self, "name", self.name or f"{self.kind}:{self.target}{self._label()}")

    def _label(self) -> str:
        if self.fingerprint is Fingerprint.ATOM_PAIR:
            return f":{self.fingerprint}"
        return "" if (self.fingerprint, self.radius) == (Fingerprint.MORGAN, 2) else f":{self.fingerprint}{self.radius}"

    @cached_property
    def version(self) -> str:
        settings = {"kind": self.kind, "target": self.target, "fingerprint": str(self.fingerprint)}
        if self.fingerprint is not Fingerprint.ATOM_PAIR:
            settings["radius"] = str(self.radius)
        elif not has_pairs(_molecule_of(self.target)):
            # The hash changes, since the scores of such targets were all 0 in stores of earlier versions.
            settings["features"] = "atoms"
        return sha256_of(settings)

    def values(self, molecules: Sequence[str]) -> list[RawScore]:
        return similarities(self.target, Fingerprint(self.fingerprint), self.radius, molecules)


@checked
@dataclass(frozen=True)
class Rediscovery:
    """The similarity with a molecule to rediscover, in [0, 1], as GuacaMol defines it.

    It is the Tanimoto similarity of ECFP4 counts (Morgan, radius 2) with the target. It is 1 for the target and for
    molecules with the same fingerprint, such as its stereoisomers.

    Attributes:
        target: the target molecule as SMILES, standardised as in ``Similarity``.
        standardisation: the campaign's standardisation.
        name: the component's name in the history; by default the kind and the target.
    """

    target: Target
    standardisation: Annotated[Standardisation, Given()] = Standardisation()
    name: str = ""

    kind: ClassVar[str] = "rediscovery"
    cost: ClassVar[Cost] = "low"
    bounded: ClassVar[bool] = True
    parallel: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "target", canonical_target(self.target, self.standardisation))
        object.__setattr__(self, "name", self.name or f"{self.kind}:{self.target}")

    @cached_property
    def version(self) -> str:
        return sha256_of({"kind": self.kind, "target": self.target})

    def values(self, molecules: Sequence[str]) -> list[RawScore]:
        return similarities(self.target, Fingerprint.MORGAN, 2, molecules)


def similarities(target: str, kind: Fingerprint, radius: int, molecules: Sequence[str]) -> list[RawScore]:
    """Return the similarity of each molecule with a canonical target."""
    reference = count_fingerprint(_molecule_of(target), kind, radius)
    return score_each(lambda molecule: tanimoto(reference, count_fingerprint(molecule, kind, radius)), molecules)


def _molecule_of(target: str) -> Chem.Mol:
    molecule: Chem.Mol | None = parse_smiles(target)
    if molecule is None:
        raise ScoringConfigurationError(f"the target {target!r} is no SMILES string that RDKit can read")
    return molecule
