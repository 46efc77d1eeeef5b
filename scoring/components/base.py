"""Score components: each gives a molecule one raw value.

A component is deterministic in the canonical SMILES of a molecule, or as deterministic as the experiment that it stands
for, and its value does not depend on other molecules. Its ``version`` is the hash of everything that affects the raw
value, and of nothing else, so that a stored score is used again exactly if a new computation gives the same value.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

from rdkit import Chem, rdBase

from molbuffer.kinds import Family, class_with
from molbuffer.scoring.components.raw_score import RawScore
from molbuffer.scoring.errors import ScoringError
from molbuffer.scoring.molecules import parse_smiles
from molbuffer.scoring.workers import map_chunks

Cost = Literal["low", "high"]
"""``high``: a molecule is claimed before it is scored, and each score is committed as soon as it arrives."""


@runtime_checkable
class Component(Protocol):
    """A source of raw values of molecules.

    ``name`` is unique in an objective and is stored with every score. ``bounded`` means that raw values lie in [0, 1],
    so that no transform is needed. ``parallel`` means that molecules may be shared among processes; such a component
    must be picklable.

    Example:
        >>> class Length:
        ...     name = kind = "length"
        ...     version, cost, bounded, parallel = "length-1", "low", False, False
        ...     def values(self, molecules):
        ...         return [mb.RawScore(float(len(smiles))) for smiles in molecules]
        >>> isinstance(Length(), mb.Component)
        True
    """

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def version(self) -> str:
        """The sha256 of the kind and of every parameter that affects the raw value, without the name."""

    @property
    def cost(self) -> Cost: ...
    @property
    def bounded(self) -> bool: ...
    @property
    def parallel(self) -> bool: ...
    def values(self, molecules: Sequence[str]) -> list[RawScore]:
        """Return one score for each canonical SMILES, in the order given; it is failed if the molecule has no value."""


@runtime_checkable
class StreamingComponent(Component, Protocol):
    """A component that takes molecules when it has capacity, and yields each score as soon as it is computed.

    The component chooses the processes that compute; ``parallel`` has no effect on it.
    """

    def stream(self, molecules: Iterable[str]) -> Iterator[tuple[str, RawScore]]:
        """Yield each of the given distinct canonical SMILES with its score, in no particular order."""


@runtime_checkable
class JointComponent(StreamingComponent, Protocol):
    """A component whose call also gives the values of other components.

    ``call`` is the identity of the call: components with the same identity are computed together.
    """

    @property
    def call(self) -> str: ...
    def stream_jointly(
        self, components: Sequence[Any], molecules: Iterable[str]
    ) -> Iterator[tuple[str, Sequence[RawScore]]]:
        """Yield each of the given distinct canonical SMILES with one score for each of the components of the call."""


def claimed_as(component: Component) -> tuple[str, str]:
    """Return the name and version under which molecules are claimed for a component.

    For a joint component, these are the name and identity of its call, since one call gives the values of all of its
    components.
    """
    if isinstance(component, JointComponent):
        return f"calls of {component.kind}", component.call
    return component.name, component.version


def score_together(components: Sequence[Component], smiles: Iterable[str]) -> Iterator[tuple[str, Sequence[RawScore]]]:
    """Yield each of the given distinct canonical SMILES with its scores.

    Args:
        components: a single component, or the components of one call.
        smiles: the molecules.
    """
    first = components[0]
    if isinstance(first, JointComponent):
        yield from first.stream_jointly(components, smiles)
    else:
        yield from ((text, (score,)) for text, score in score_stream(first, smiles))


def score_many(component: Component, smiles: Sequence[str]) -> list[RawScore]:
    """Return one score for each canonical SMILES, in the order given, on all cores if the component is parallel.

    Raises:
        ScoringError: the component returned more or fewer scores than molecules.
    """
    if isinstance(component, StreamingComponent) or not component.parallel:
        return _checked_values(smiles, component)
    return map_chunks(_checked_values, smiles, component)


def score_stream(component: Component, smiles: Iterable[str]) -> Iterator[tuple[str, RawScore]]:
    """Yield each of the given distinct canonical SMILES with its score as soon as it is computed.

    Molecules are taken one at a time, unless the component is a streaming one.

    Raises:
        ScoringError: the component returned more or fewer scores than molecules.
    """
    if isinstance(component, StreamingComponent):
        yield from component.stream(smiles)
    else:
        for text in smiles:
            yield text, _checked_values([text], component)[0]


def score_each(function: Callable[[Chem.Mol], float], smiles: Sequence[str]) -> list[RawScore]:
    """Return the score of each molecule by a function; an exception fails the score of its molecule only."""
    with rdBase.BlockLogs():
        return [_score_one(function, text) for text in smiles]


def _score_one(function: Callable[[Chem.Mol], float], smiles: str) -> RawScore:
    started = time.perf_counter()
    molecule = parse_smiles(smiles)
    if molecule is None:
        return RawScore(None, f"{smiles!r} is no molecule", time.perf_counter() - started)
    try:
        value = function(molecule)
    except Exception as error:
        return RawScore.failed(error, time.perf_counter() - started)
    return RawScore.of(value, time.perf_counter() - started)


def _checked_values(smiles: Sequence[str], component: Component) -> list[RawScore]:
    # A class that is not molbuffer's own may return numbers.
    scores = [each if isinstance(each, RawScore) else RawScore.of(each) for each in component.values(smiles)]
    if len(scores) != len(smiles):
        raise ScoringError(f"component {component.name!r} returned {len(scores)} scores for {len(smiles)} molecules")
    return scores


COMPONENTS = Family("components", class_with("name", "version", "values"))
"""The kinds of components."""
