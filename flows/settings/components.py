"""The ``[[objective.components]]`` tables: what a molecule is scored by."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from molbuffer.flows.settings.base import Buildable, PropertyName, Smarts, Target, Text
from molbuffer.flows.settings.transforms import TransformSettings
from molbuffer.scoring import Component, Standardisation, Transform, WeightedComponent, components, transforms


class ComponentKeys(Buildable):
    """What every component has."""

    name: Text | None = None
    """The component's name in the history; default: its kind and what it is about. No two components share one."""

    weight: Annotated[float, Field(ge=0)] = 1.0
    """Its share in the reward, relative to the other weights; with 0 it is computed and stored, but does not count."""

    transform: TransformSettings | None = None
    """How the raw value becomes a number in [0, 1]; needed where it is not there already."""

    def build(self, standardisation: Standardisation = Standardisation()) -> WeightedComponent:
        """The component with its weight and transform; targets are standardised as the molecules are."""
        transform: Transform = transforms.Identity() if self.transform is None else self.transform.build()
        return WeightedComponent(self.component(standardisation), self.weight, transform)

    def component(self, standardisation: Standardisation) -> Component:
        """What computes the raw value."""
        raise NotImplementedError


class QEDSettings(ComponentKeys):
    """Drug-likeness after Bickerton et al. 2012, in [0, 1]."""

    kind: Literal["qed"]
    """Drug-likeness, in [0, 1]."""

    def component(self, standardisation: Standardisation) -> Component:
        return components.QED(self.name or self.kind)


class SAScoreSettings(ComponentKeys):
    """Synthetic accessibility after Ertl and Schuffenhauer 2009, from 1 (easy) to 10 (hard)."""

    kind: Literal["sa_score"]
    """Synthetic accessibility, from 1 (easy) to 10 (hard); it needs a transform."""

    def component(self, standardisation: Standardisation) -> Component:
        return components.SAScore(self.name or self.kind)


class PropertySettings(ComponentKeys):
    """A property of the molecule."""

    kind: Literal["property"]
    """A property of the molecule; it needs a transform."""

    property: PropertyName
    """The property, such as molecular_weight or logp."""

    def component(self, standardisation: Standardisation) -> Component:
        return components.Property(self.property, self.name or "")


class SimilaritySettings(ComponentKeys):
    """Tanimoto similarity of count fingerprints with a molecule, in [0, 1]."""

    kind: Literal["similarity"]
    """Tanimoto similarity to a molecule, in [0, 1]."""

    target: Target
    """The molecule, as SMILES."""

    fingerprint: Literal["morgan", "fcfp", "atom_pair"] = "morgan"
    """What is counted: circular environments of atoms (morgan), of pharmacophoric atoms (fcfp), or pairs of atoms."""

    radius: Annotated[int, Field(ge=0)] = 2
    """Bonds from the centre of a circular environment to its rim; without meaning for atom_pair."""

    def component(self, standardisation: Standardisation) -> Component:
        return components.Similarity(self.target, self.fingerprint, self.radius, standardisation, self.name or "")


class RediscoverySettings(ComponentKeys):
    """Similarity to a molecule that is to be found again, in [0, 1]."""

    kind: Literal["rediscovery"]
    """Similarity to a molecule that is to be found again, in [0, 1], as GuacaMol defines it."""

    target: Target
    """The molecule, as SMILES."""

    def component(self, standardisation: Standardisation) -> Component:
        return components.Rediscovery(self.target, standardisation, self.name or "")


class SubstructureSettings(ComponentKeys):
    """1 for molecules with a substructure, 0 for others."""

    kind: Literal["substructure"]
    """1 with a substructure, 0 without."""

    smarts: Smarts
    """The SMARTS pattern."""

    def component(self, standardisation: Standardisation) -> Component:
        return components.Substructure(self.smarts, self.name or "")


class PythonSettings(ComponentKeys):
    """Any Python function."""

    kind: Literal["python"]
    """Any Python function."""

    function: Text
    """The function as "module:function"; it is given a SMILES text and returns a number. The module may lie in the
    folder that molbuffer is started in."""

    cost: Literal["low", "high"] = "low"
    """high: every score is stored as soon as it is there, and no two processes compute the same one."""

    parameters: dict[str, Any] = Field(default_factory=dict)
    """Given to the function by keyword."""

    batch: bool = False
    """Call the function with a list of SMILES; it then returns as many numbers."""

    parallel: bool = False
    """Share the molecules out among processes, each of which imports the module."""

    revision: str = ""
    """Change it when something changes that the module's source does not show, such as the weights of a model it
    reads: stored scores are then not used again."""

    def component(self, standardisation: Standardisation) -> Component:
        return components.PythonFunction(
            self.function,
            cost=self.cost,
            parameters=self.parameters,
            batch=self.batch,
            parallel=self.parallel,
            revision=self.revision,
            name=self.name or "",
        )


ComponentSettings = Annotated[
    QEDSettings
    | SAScoreSettings
    | PropertySettings
    | SimilaritySettings
    | RediscoverySettings
    | SubstructureSettings
    | PythonSettings,
    Field(discriminator="kind"),
]
"""Every kind of component."""
