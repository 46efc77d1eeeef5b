"""The base class of components whose calls give several values for several molecules: programs and services."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from molbuffer.scoring.components.joint_call import Answer, Fault, Outputs, Vain, settled
from molbuffer.scoring.components.raw_score import RawScore
from molbuffer.scoring.workers import Isolation, NoAnswer, run_apart

_log = logging.getLogger(__name__)


class Caller(Protocol):
    """A component that is computed by calls in other processes."""

    name: str
    kind: Any
    output: str
    std: str
    batch_size: int
    id_column: str

    @property
    def call(self) -> str: ...
    @property
    def processes(self) -> int:
        """The largest number of simultaneous calls."""

    def work(self, outputs: Outputs) -> tuple[Callable[..., list[Answer]], tuple[Any, ...]]:
        """Return the function of a call and its arguments after the molecules; the function is at module level."""


class JointCalls:
    """The base class of components that send molecules in batches and may share calls."""

    def values(self: Caller, molecules: Sequence[str]) -> list[RawScore]:
        found = {text: scores[0] for text, scores in stream_jointly([self], dict.fromkeys(molecules))}
        return [found[smiles] for smiles in molecules]

    def stream(self: Caller, molecules: Iterable[str]) -> Iterator[tuple[str, RawScore]]:
        """Yield each of the given distinct canonical SMILES with its score, in no particular order."""
        for smiles, scores in stream_jointly([self], molecules):
            yield smiles, scores[0]

    def stream_jointly(
        self, components: Sequence[Any], molecules: Iterable[str]
    ) -> Iterator[tuple[str, Sequence[RawScore]]]:
        """Yield each of the given distinct canonical SMILES with its scores by components of the same call."""
        return stream_jointly(components, molecules)


def stream_jointly(components: Sequence[Caller], molecules: Iterable[str]) -> Iterator[tuple[str, Sequence[RawScore]]]:
    """Yield each molecule with its scores by components of one call; the first component makes the call."""
    first = components[0]
    vain, rest = Vain(), iter(molecules)
    names = list(dict.fromkeys((each.output, each.std) for each in components))
    work, arguments = first.work(Outputs([name for name, _ in names], [std for _, std in names], first.id_column))
    isolation = Isolation(f"calls of {first.kind}", processes=first.processes, one_by_one=False)
    found = run_apart(work, _until(vain, rest), arguments, isolation, chunk=first.batch_size)
    said: set[str] = set()
    for smiles, answer in settled(((text, _answer(each, len(names))) for text, each in found), vain):
        if answer.note is not None and not said:
            said.add(answer.note)
            _log.warning("component %r: %s", first.name, answer.note)
        of_output = dict(zip(names, answer.scores, strict=True))
        yield smiles, [of_output[each.output, each.std] for each in components]
    for smiles in rest:
        yield smiles, [RawScore(None, vain.reason, lost=True)] * len(components)


def _until(vain: Vain, molecules: Iterator[str]) -> Iterator[str]:
    """Yield molecules while calls are not in vain."""
    while vain.reason is None and (smiles := next(molecules, None)) is not None:
        yield smiles


def _answer(found: Answer | NoAnswer, values: int) -> Answer:
    """Return the answer for a molecule; without one, because the worker ended, scores with that error."""
    if isinstance(found, Answer):
        return found
    score = RawScore(None, found.reason, lost=not found.final)
    return Answer([score] * values, fault=Fault.ALONE if found.final else Fault.NOT_TRIED)
