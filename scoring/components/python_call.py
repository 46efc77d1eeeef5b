"""Calls of a scoring function in the process that it runs in, and the scores that their results make."""

from __future__ import annotations

import importlib
import inspect
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from molbuffer.kinds import PythonSource, install_source
from molbuffer.scoring.components.raw_score import RawScore
from molbuffer.scoring.errors import ScoringConfigurationError, unknown_name

MOST_FAILURES = 8
"""The number of molecules in a row that fail alone after which a function of batches counts as failing for all."""


@dataclass(frozen=True)
class FunctionCall:
    """The settings of the calls of a function.

    Attributes:
        function: the function as ``module:function``.
        parameters: the keyword arguments of the function.
        batch: whether the function takes a list of SMILES.
    """

    function: str
    parameters: Mapping[str, Any]
    batch: bool


def prepare(sources: Sequence[PythonSource], function: str) -> list[None]:
    """Make the modules of a scoring function importable in this process, and import it."""
    for source in sources:
        install_source(source)
    _load(function)
    return [None] * len(sources)


def check(calls: Sequence[FunctionCall]) -> list[None]:
    """Import functions and refuse calls that cannot be made.

    Raises:
        ScoringConfigurationError: a function does not exist, cannot be imported, or does not take its parameters.
    """
    for call in calls:
        found = _load(call.function)
        try:
            signature = inspect.signature(found)
        except (TypeError, ValueError):
            continue  # a function written in C may have no signature
        try:
            signature.bind("C", **call.parameters)
        except TypeError as error:
            raise ScoringConfigurationError(
                f"{call.function}{signature} cannot be called with a SMILES and the parameters "
                f"{dict(call.parameters)!r}: {error}"
            ) from None
    return [None] * len(calls)


def score(molecules: Sequence[str], call: FunctionCall) -> Iterator[RawScore]:
    """Yield the score of each molecule; an exception or a wrong result fails the molecule and nothing else.

    A batch for which the function raises, or returns another number of values, is split in halves, until the molecules
    at fault are alone.
    """
    function = _load(call.function)
    if call.batch:
        yield from _Batches(function, call).scores(molecules)
    else:
        for smiles in molecules:
            started = time.perf_counter()
            try:
                value = function(smiles, **call.parameters)
            except (Exception, SystemExit) as error:
                yield RawScore.failed(error, time.perf_counter() - started)
            else:
                yield RawScore.of(value, time.perf_counter() - started)


class _Batches:
    """The calls of a function of batches."""

    def __init__(self, function: Callable[..., Any], call: FunctionCall) -> None:
        self._function, self._call = function, call
        self._failures: list[RawScore] = []
        """The scores of the molecules that failed alone since the last successful call."""

    def scores(self, molecules: Sequence[str]) -> Iterator[RawScore]:
        """Yield the score of each molecule."""
        if len(self._failures) >= MOST_FAILURES:
            reason = (
                f"not tried, since {MOST_FAILURES} others in a row failed alone, the last: {self._failures[-1].error}"
            )
            yield from [RawScore(None, reason, lost=True)] * len(molecules)
            return
        started = time.perf_counter()
        try:
            values = list(self._function(list(molecules), **self._call.parameters))
            if len(values) != len(molecules):
                raise ValueError(f"{self._call.function} returned {len(values)} values for {len(molecules)} molecules")
        except (Exception, SystemExit) as error:
            if len(molecules) > 1:
                middle = (len(molecules) + 1) // 2
                yield from self.scores(molecules[:middle])
                yield from self.scores(molecules[middle:])
                return
            failure = RawScore.failed(error, time.perf_counter() - started)
            self._failures.append(failure)
            yield failure
        else:
            self._failures.clear()
            seconds = (time.perf_counter() - started) / max(1, len(molecules))
            yield from (RawScore.of(value, seconds) for value in values)


def _load(function: str) -> Callable[..., Any]:
    """Import the function of a ``module:function``.

    Raises:
        ScoringConfigurationError: the module or function does not exist, or the module cannot be imported.
    """
    module_name, _, attribute = function.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # a script that exits would otherwise end this process silently
        reason = f"{type(error).__name__}: {error}"
        raise ScoringConfigurationError(f"cannot import {module_name!r} of {function!r}: {reason}") from error
    found = getattr(module, attribute, None)
    if found is None:
        public = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise unknown_name(f"function of module {module_name}", attribute, public)
    if not callable(found):
        raise ScoringConfigurationError(f"{function!r} is {type(found).__name__}, which cannot be called")
    return found  # type: ignore[no-any-return]
