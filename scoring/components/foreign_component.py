"""Components of classes that are not molbuffer's own; their versions include the source of the class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from molbuffer.scoring.components.base import Component, Cost, StreamingComponent, score_stream
from molbuffer.scoring.components.raw_score import RawScore
from molbuffer.scoring.errors import ScoringConfigurationError, ScoringError
from molbuffer.scoring.identity import sha256_of


@dataclass(frozen=True)
class ForeignComponent:
    """A component whose version changes with the source of its class.

    Attributes that the class does not define have the defaults of Python functions: low cost, values in [0, 1], one
    process.

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
        """Return one score for each canonical SMILES; if the class fails for several, each is tried alone."""
        try:
            found = [each if isinstance(each, RawScore) else RawScore.of(each) for each in self._found(molecules)]
        except Exception as error:
            if len(molecules) == 1:
                return [RawScore.failed(error)]
            return [score for each in molecules for score in self.values([each])]
        return found

    def _found(self, molecules: Sequence[str]) -> list[Any]:
        found: list[Any] = list(self.component.values(molecules))
        if len(found) != len(molecules):
            raise ScoringError(f"{self.name!r} returned {len(found)} values for {len(molecules)} molecules")
        return found

    def _said(self, name: str, default: Any) -> Any:
        return getattr(self.component, name, default)


class ForeignStreamingComponent(ForeignComponent):
    """A foreign component that yields each score as soon as it is computed."""

    def stream(self, molecules: Iterable[str]) -> Iterator[tuple[str, RawScore]]:
        """Yield each of the given distinct canonical SMILES with its score, in no particular order."""
        return score_stream(self.component, molecules)


def foreign(component: Component, source_sha256: str) -> Component:
    """Return a component that is not molbuffer's own, with a version that changes with the source of its class."""
    cls = ForeignStreamingComponent if isinstance(component, StreamingComponent) else ForeignComponent
    return cls(component, source_sha256)


def complete(component: Any) -> Component:
    """Return a component with all attributes that an objective needs; those that its class lacks have defaults.

    Raises:
        ScoringConfigurationError: the object is no component.
    """
    if all(hasattr(component, name) for name in ("name", "kind", "version", "cost", "bounded", "parallel", "values")):
        found: Component = component
        return found
    if isinstance(component, type) or not all(hasattr(component, name) for name in ("name", "version", "values")):
        raise ScoringConfigurationError(
            f"expected a component, with a name, a version and values, got {component!r}; a function is one as "
            'PythonFunction("module:function")'
        )
    return foreign(component, "")
