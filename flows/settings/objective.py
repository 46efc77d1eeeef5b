"""The table ``[objective]``: the reward of a molecule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from annotated_types import Ge
from pydantic import ConfigDict, Field, model_validator

from molbuffer.flows.settings.base import Section
from molbuffer.flows.settings.problems import shown
from molbuffer.kinds import Checked, FileName, KindTable, OneOf, Share, Text, refuse
from molbuffer.scoring import (
    CHOICES,
    COMPONENTS,
    IMPORTED_PREFIX,
    NAMED_OBJECTIVES,
    TRANSFORMS,
    Gate,
    Identity,
    Mode,
    Objective,
    ScoringConfigurationError,
    Standardisation,
    WeightedComponent,
    check_objective_name,
    circle,
    unknown_name,
)
from molbuffer.scoring.components import foreign

CHOICE_OF = OneOf(CHOICES, bare=True)


class ComponentSettings(KindTable):
    """The keys of any component."""

    weight: Annotated[float, Ge(0)] = 1.0
    """Its weight in the reward, relative to the other weights; a component of weight 0 is computed and stored, but does
    not count."""

    transform: Annotated[KindTable, OneOf(TRANSFORMS)] | None = None
    """The transform of the raw value to [0, 1]; required unless the raw value is in [0, 1] already."""

    after: Annotated[str, Checked(Gate)] | None = None
    """A condition on the raw values of other components, such as "qed > 0.4 and sa_score < 4": this component does not
    score a molecule that does not meet it. Names with other characters than letters, digits and _ are quoted."""

    otherwise: Share = 0.0
    """The transformed value of a molecule that does not meet the condition of `after`."""

    pessimism: Annotated[float, Ge(0)] = 0.0
    """The number of standard deviations by which a raw value counts as worse than it is, for a component that gives
    standard deviations: the lower confidence bound if more is better, the upper one if less is better."""

    mode: Mode | None = None
    """inline: builds of the buffer wait for its scores; backlog: builds commit their molecules without its scores, and
    `molbuffer score-pending` computes these. Default: that of the objective."""

    def weighted(self, standardisation: Standardisation = Standardisation()) -> WeightedComponent:
        """Return the component with its weight and transform; targets are standardised as the molecules are."""
        component = self.build(standardisation=standardisation)
        if self.foreign_sha256 is not None:
            component = foreign(component, self.foreign_sha256)
        transform = Identity() if self.transform is None else self.transform.build()
        return WeightedComponent(
            component=component,
            weight=self.weight,
            transform=transform,
            after=self.after,
            otherwise=self.otherwise,
            pessimism=self.pessimism,
            mode=self.mode,
        )

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        if self.after is None and self.otherwise:
            refuse("component", [(("otherwise",), "this key has no effect without `after`; give a condition, too")])
        self.weighted()
        return self


def _either_is_required(schema: dict[str, Any]) -> None:
    schema["anyOf"] = [{"required": ["components"]}, {"required": ["named"]}]
    del schema["required"]


class ObjectiveSettings(Section):
    """Components, each transformed to [0, 1], and their aggregation to one reward."""

    model_config = ConfigDict(json_schema_extra=_either_is_required)

    aggregation: Literal["arithmetic_mean", "geometric_mean", "product", "pareto"] = "geometric_mean"
    """arithmetic_mean: a good component makes up for a bad one; geometric_mean: a component of 0 makes the reward 0;
    product: the same order of molecules, on a scale that falls with every further component;
    pareto: by the rank among the molecules of `reference`, from non-dominated sorting and crowding."""

    reference: Annotated[str, FileName()] | None = None
    """For pareto: a CSV table with a column raw_NAME for each component, as `molbuffer top --out` writes it."""

    components: Annotated[
        tuple[Annotated[ComponentSettings, OneOf(COMPONENTS, ComponentSettings)], ...],
        Field(strict=False, min_length=1),
    ]
    """The components of the reward; at least one, unless `named` stands for them."""

    named: Text | None = None
    """A named objective, such as "pmo:zaleplon_mpo", instead of components; `molbuffer objectives` lists the names.
    "imported:NAME" means scores in [0, 1] that were imported as NAME. A stored configuration has its components
    instead."""

    mode: Mode = "inline"
    """inline: builds of the buffer wait for all scores; backlog: `molbuffer score-pending` later computes the scores of
    components with a high cost, in any number of processes and hosts. Live rows are scored at once."""

    choose: Annotated[KindTable, CHOICE_OF] | None = None
    """The rule that chooses which molecules are scored, of more than are wanted: maxmin or dpp, for a diverse batch.
    The others are stored as rejected by `choice`. Without it, all molecules that pass the filters are scored."""

    def build(self, standardisation: Standardisation = Standardisation()) -> Objective:
        """Return the objective; targets are standardised as the molecules are."""
        components = tuple(each.weighted(standardisation) for each in self.components)
        return Objective(components, self.aggregation, self.reference, self.mode)

    @model_validator(mode="before")
    @classmethod
    def _with_named_components(cls, data: Any) -> Any:
        """Replace the name of a named objective by its components."""
        if not isinstance(data, Mapping) or not isinstance(name := data.get("named"), str):
            return data
        if data.get("components"):
            refuse("objective", [(("named",), "`named` and `components` exclude each other; remove one of them")])
        try:
            check_objective_name(name.strip())
        except ScoringConfigurationError as error:
            refuse("objective", [(("named",), str(error))])
        return {**data, "named": None, "components": [_component_of(name.strip())]}

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        # Objective would refuse the same, but without naming the key to change.
        refuse("objective", [*self._doubled_names(), *self._missing_weight()])
        refuse("objective", [*self._wrong_parts()])
        return self

    def _doubled_names(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        names = [each.build().name for each in self.components]
        for i, (name, each) in enumerate(zip(names, self.components, strict=True)):
            if name in names[:i]:
                message = f"two components have the name {shown(name)}; give one of them another `name`"
                yield ("components", i, "name" if "name" in each.model_fields_set else "kind"), message

    def _missing_weight(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        if not any(each.weight for each in self.components):
            yield ("components",), "every weight is 0, so there is no reward; give one a weight above 0"

    def _wrong_parts(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        names = [each.build().name for each in self.components]
        gates = {name: Gate(each.after) for name, each in zip(names, self.components, strict=True) if each.after}
        for name, gate in gates.items():
            for needed in gate.components:
                if needed not in names or needed == name:
                    others = [each for each in names if each != name]
                    yield ("components", names.index(name), "after"), str(unknown_name("component", needed, others))
                    return
        if around := circle(gates):
            listed = " and ".join(shown(each) for each in around)
            yield ("components", names.index(around[0]), "after"), f"the gates of {listed} need each other"
            return
        if self.reference is not None and not Path(self.reference).is_file():
            return  # it is reported together with other missing files
        try:
            self.build()
        except ScoringConfigurationError as error:
            yield self._blamed(str(error)), str(error)

    def _blamed(self, problem: str) -> tuple[str]:
        """Return the key to change for a problem of the objective as a whole."""
        if "backlog" in problem:
            return ("mode",)
        return ("aggregation",) if self.reference is None else ("reference",)


def _component_of(name: str) -> dict[str, Any]:
    """Return the table of the single component that a named objective stands for."""
    if name.startswith(IMPORTED_PREFIX):
        return {"kind": "imported", "scores": name.removeprefix(IMPORTED_PREFIX)}
    component = NAMED_OBJECTIVES[name].component
    return {"kind": component.kind, "task": component.task}
