"""A component of a class that is not molbuffer's own, whose version has that of its source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from molbuffer.scoring.components.base import Component, Cost, StreamingComponent, score_stream
from molbuffer.scoring.components.raw_score import RawScore
from molbuffer.scoring.identity import sha256_of


@dataclass(frozen=True)
class ForeignComponent:
    """A component under a version that changes with the source of its class.

    What the class does not say has the default of a function of the user: low cost, values in [0, 1], one process.

    Attributes:
        component: the component.
        source_sha256: the hash of the source of its class.
    """

    component: Component
    source_sha256: str

    @property
    def name(self) -> str:
        return self.component.name

    @property
    def kind(self) -> str:
        return str(self._said("kind", type(self.component).__name__))

    @cached_property
    def version(self) -> str:
        return sha256_of({"component": self.component.version, "source": self.source_sha256})

    @property
    def cost(self) -> Cost:
        cost: Cost = self._said("cost", "low")
        return cost

    @property
    def bounded(self) -> bool:
        return bool(self._said("bounded", True))

    @property
    def parallel(self) -> bool:
        return bool(self._said("parallel", False))

    def values(self, molecules: Sequence[str]) -> list[RawScore]:
        return [each if isinstance(each, RawScore) else RawScore.of(each) for each in self.component.values(molecules)]

    def _said(self, name: str, default: Any) -> Any:
        return getattr(self.component, name, default)


class ForeignStreamingComponent(ForeignComponent):
    """A component of somebody else that gives each score as soon as it is there."""

    def stream(self, molecules: Iterable[str]) -> Iterator[tuple[str, RawScore]]:
        """Yield each of some distinct canonical SMILES with its score, in no particular order."""
        return score_stream(self.component, molecules)


def foreign(component: Component, source_sha256: str) -> Component:
    """Return a component of somebody else under a version that changes with its source."""
    cls = ForeignStreamingComponent if isinstance(component, StreamingComponent) else ForeignComponent
    return cls(component, source_sha256)
