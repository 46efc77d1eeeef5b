"""The ``[objective]`` table: what a good molecule is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from molbuffer.flows.settings.base import Section, refuse
from molbuffer.flows.settings.components import ComponentSettings
from molbuffer.flows.settings.problems import Problem, shown
from molbuffer.scoring import Objective, Standardisation


class ObjectiveSettings(Section):
    """Components, each made a number in [0, 1], and how they become one reward."""

    aggregation: Literal["arithmetic_mean", "geometric_mean", "product"] = "geometric_mean"
    """arithmetic_mean: a good component makes up for a bad one; geometric_mean: a 0 makes the reward 0; product: the
    same order of molecules, on a scale that sinks with every further component."""

    components: Annotated[tuple[ComponentSettings, ...], Field(strict=False, min_length=1)]
    """What a molecule is scored by; at least one."""

    def build(self, standardisation: Standardisation = Standardisation()) -> Objective:
        """The objective; targets are standardised as the molecules are."""
        return Objective(tuple(each.build(standardisation) for each in self.components), self.aggregation)

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        # Whatever Objective would refuse, but with the key that has to be changed.
        refuse("objective", [*self._doubled_names(), *self._missing_weight()])
        return self

    def _doubled_names(self) -> Iterator[Problem]:
        names = [each.build().component.name for each in self.components]
        for i, (name, each) in enumerate(zip(names, self.components, strict=True)):
            if name in names[:i]:
                message = f"two components have the name {shown(name)}; give one another `name`"
                yield Problem(("components", i, "name" if each.name else "kind"), message)

    def _missing_weight(self) -> Iterator[Problem]:
        if not any(each.weight for each in self.components):
            yield Problem(("components",), "every weight is 0, so there is no reward; give one a weight above 0")
