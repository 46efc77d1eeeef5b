"""What components have in common whose call gives several values of several molecules: programs and services."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from molbuffer.scoring.components.joint_call import Answer, Fault, Outputs, Vain, settled
from molbuffer.scoring.components.raw_score import RawScore
from molbuffer.scoring.workers import Isolation, NoAnswer, run_apart

_log = logging.getLogger(__name__)


class Caller(Protocol):
    """A component that is computed by calls: its settings, and the work of one call in another process."""

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
        """The most calls at once."""

    def work(self, outputs: Outputs) -> tuple[Callable[..., list[Answer]], tuple[Any, ...]]:
        """Return a module-level function that takes molecules and returns their answers, and its other arguments."""


class JointCalls:
    """The base class of such components: they may share a call, and molecules come in batches."""

    def values(self: Caller, molecules: Sequence[str]) -> list[RawScore]:
        found = {text: scores[0] for text, scores in stream_jointly([self], dict.fromkeys(molecules))}
        return [found[smiles] for smiles in molecules]

    def stream(self: Caller, molecules: Iterable[str]) -> Iterator[tuple[str, RawScore]]:
        """Yield each of some distinct canonical SMILES with its score, in no particular order."""
        for smiles, scores in stream_jointly([self], molecules):
            yield smiles, scores[0]

    def stream_jointly(
        self, components: Sequence[Any], molecules: Iterable[str]
    ) -> Iterator[tuple[str, Sequence[RawScore]]]:
        """Yield each of some distinct canonical SMILES with its scores by components of the same call."""
        return stream_jointly(components, molecules)


def stream_jointly(components: Sequence[Caller], molecules: Iterable[str]) -> Iterator[tuple[str, Sequence[RawScore]]]:
    """Yield each of some molecules with its scores by components of one call, which the first one makes."""
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
    """Yield molecules as long as it is not in vain."""
    while vain.reason is None and (smiles := next(molecules, None)) is not None:
        yield smiles


def _answer(found: Answer | NoAnswer, values: int) -> Answer:
    """Return the answer for a molecule, also where the process that asked for it has ended."""
    if isinstance(found, Answer):
        return found
    score = RawScore(None, found.reason, lost=not found.final)
    return Answer([score] * values, fault=Fault.ALONE if found.final else Fault.NOT_TRIED)
