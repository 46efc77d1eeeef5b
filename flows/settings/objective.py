"""The tables ``[objective]`` and ``[contrastive]``: the rewards of molecules, and of pairs of molecules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from molbuffer.flows.settings.base import Buildable, PropertyName, Section, Share, Smarts, Target, Text, Texts, refuse
from molbuffer.flows.settings.filters import FilterSettings
from molbuffer.flows.settings.problems import Problem, shown
from molbuffer.flows.settings.transforms import TransformSettings
from molbuffer.scoring import (
    ContrastiveTemplate,
    Objective,
    Standardisation,
    Transform,
    WeightedComponent,
    components,
    transforms,
)
from molbuffer.scoring.components import Component


class ComponentKeys(Buildable):
    """The keys of any component."""

    name: Text | None = None
    """The component's name in the history, unique in the objective; default: its kind and subject."""

    weight: Annotated[float, Field(ge=0)] = 1.0
    """Its weight in the reward, relative to the other weights; with 0 it is computed and stored, but does not count."""

    transform: TransformSettings | None = None
    """The transform of the raw value to [0, 1]; required unless the raw value is in [0, 1] already."""

    def build(self, standardisation: Standardisation = Standardisation()) -> WeightedComponent:
        """Return the component with its weight and transform; targets are standardised as the molecules are."""
        transform: Transform = transforms.Identity() if self.transform is None else self.transform.build()
        return WeightedComponent(self.component(standardisation), self.weight, transform)

    def component(self, standardisation: Standardisation) -> Component:
        """Return the component, which computes the raw value."""
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
    """Tanimoto similarity of count fingerprints to a molecule, in [0, 1]."""

    kind: Literal["similarity"]
    """Tanimoto similarity to a molecule, in [0, 1]."""

    target: Target
    """The molecule, as SMILES."""

    fingerprint: Literal["morgan", "fcfp", "atom_pair"] = "morgan"
    """The features that are counted: circular environments of atoms (morgan), of pharmacophoric atoms (fcfp), or
    pairs of atoms (atom_pair)."""

    radius: Annotated[int, Field(ge=0)] = 2
    """The radius of a circular environment, in bonds; not used for atom_pair."""

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
    """The SMARTS pattern; hydrogens and configurations count, and one that can match nothing is refused."""

    def component(self, standardisation: Standardisation) -> Component:
        return components.Substructure(self.smarts, self.name or "")


class PythonSettings(ComponentKeys):
    """Any Python function."""

    kind: Literal["python"]
    """Any Python function."""

    function: Text
    """The function as "module:function"; it takes a SMILES string and returns a number. The module is in `folder`, or
    else installed. It runs in a process of its own, which it may end: then only the molecule at fault has no score."""

    folder: Text = "."
    """The folder of the module and of `files`; default: that of the configuration file."""

    cost: Literal["low", "high"] = "low"
    """high: each score is committed as soon as it is computed, and no two processes compute the same score."""

    parameters: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the function."""

    batch: bool = False
    """Call the function with a list of SMILES strings; it then returns a list of as many numbers."""

    parallel: bool = False
    """Divide the molecules among as many processes as there are cores, each of which imports the module."""

    in_process: bool = False
    """Call the function in the process of the run, which then ends with it."""

    timeout: Annotated[float, Field(gt=0)] | None = None
    """The longest time of a call, in seconds; a molecule that takes longer is tried again in the next run. Default:
    any."""

    files: Texts = ()
    """Files whose content decides the values, such as the weights of a model: with another content, stored scores are
    computed again. So they are when the module changes, or a module in `folder` that it imports."""

    packages: bool = True
    """Whether stored scores are computed again when an installed package that the module imports has another
    version."""

    deterministic: bool = True
    """Whether the same molecule has the same value each time. At the start of a run, a few stored scores of a component
    of low cost are computed again; if they differ, the run does not start."""

    revision: str = ""
    """A text to change when something else changes that the values depend on: stored scores are then computed
    again."""

    def component(self, standardisation: Standardisation) -> Component:
        named = {key: getattr(self, key) for key in type(self).model_fields if key in _FUNCTION_KEYS}
        return components.PythonFunction(**named, name=self.name or "")


_FUNCTION_KEYS = frozenset(each.name for each in fields(components.PythonFunction)) - {"name"}


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


class ObjectiveSettings(Section):
    """Components, each transformed to [0, 1], and their aggregation to one reward."""

    aggregation: Literal["arithmetic_mean", "geometric_mean", "product"] = "geometric_mean"
    """arithmetic_mean: a good component makes up for a bad one; geometric_mean: a component of 0 makes the reward 0;
    product: the same order of molecules, on a scale that falls with every further component."""

    components: Annotated[tuple[ComponentSettings, ...], Field(strict=False, min_length=1)]
    """The components of the reward; at least one."""

    def build(self, standardisation: Standardisation = Standardisation()) -> Objective:
        """Return the objective; targets are standardised as the molecules are."""
        return Objective(tuple(each.build(standardisation) for each in self.components), self.aggregation)

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        # What Objective would refuse, but with the key to change.
        refuse("objective", [*self._doubled_names(), *self._missing_weight()])
        return self

    def _doubled_names(self) -> Iterator[Problem]:
        names = [each.build().component.name for each in self.components]
        for i, (name, each) in enumerate(zip(names, self.components, strict=True)):
            if name in names[:i]:
                message = f"two components have the name {shown(name)}; give one of them another `name`"
                yield Problem(("components", i, "name" if each.name else "kind"), message)

    def _missing_weight(self) -> Iterator[Problem]:
        if not any(each.weight for each in self.components):
            yield Problem(("components",), "every weight is 0, so there is no reward; give one a weight above 0")


class ContrastiveSettings(Buildable):
    """Which pairs of contrastive samplers are kept, and their rewards, in builds of the buffer and in batches."""

    source_filters: Annotated[tuple[FilterSettings, ...], Field(strict=False)] = ()
    """Filters of sources; the filters of the campaign apply to targets."""

    min_similarity: Share = 0.0
    """The least Tanimoto similarity of source and target, inclusive, in [0, 1]."""

    max_similarity: Share = 1.0
    """The greatest Tanimoto similarity, inclusive; with 1 a target may equal its source."""

    fingerprint: Literal["morgan", "fcfp", "atom_pair"] = "morgan"
    """The count fingerprint that similarity is computed from."""

    radius: Annotated[int, Field(ge=0, le=10)] = 2
    """The radius of a circular environment, in bonds; not used for atom_pair."""

    min_improvement: Annotated[float, Field(ge=-1, le=1)] | None = None
    """The least improvement, the reward of the target less that of the source, inclusive; default: any."""

    scaled: bool = False
    """The reward of a pair. false: the improvement, the reward of the target less that of the source; true: the
    improvement divided by the largest possible one, so that 1 is the best possible and -1 the worst."""

    def build(self) -> ContrastiveTemplate:
        return ContrastiveTemplate(
            source_filters=tuple(each.build() for each in self.source_filters),
            min_similarity=self.min_similarity,
            max_similarity=self.max_similarity,
            fingerprint=self.fingerprint,
            radius=self.radius,
            min_improvement=self.min_improvement,
            scaled=self.scaled,
        )
