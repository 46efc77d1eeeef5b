"""The component that calls a Python function of the user."""

from __future__ import annotations

import importlib
import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.machinery import ModuleSpec
from typing import Any, ClassVar, get_args

from molbuffer.scoring.components.base import Cost, RawScore
from molbuffer.scoring.errors import ScoringConfigurationError, unknown_name
from molbuffer.scoring.identity import sha256_of


@dataclass(frozen=True)
class PythonFunction:
    """Raw values from a function of an importable module.

    The function is called as ``function(smiles, **parameters)`` with one canonical SMILES and returns a number; with
    ``batch`` it is called with a list and returns as many numbers. Every exception, and every result that is no finite
    number, becomes a failed score with the reason: a failing function never stops a build. Without a transform, values
    are expected in [0, 1].

    Attributes:
        function: ``module:function``.
        cost: ``high`` for scores that take long or cost money.
        parameters: JSON values that the function is given by keyword.
        batch: call the function with lists of SMILES.
        parallel: share the molecules among processes, each of which imports the module; otherwise the function runs in
            this process and may keep state, a licence or a GPU.
        revision: to be changed with anything that the module's source does not show, such as the weights of a model
            that it reads; required for modules without Python source.
        name: ``python:`` and the function by default.
    """

    function: str
    cost: Cost = "low"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    batch: bool = False
    parallel: bool = False
    revision: str = ""
    name: str = ""

    kind: ClassVar[str] = "python"
    bounded: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.cost not in get_args(Cost):
            raise unknown_name("cost", self.cost, get_args(Cost))
        object.__setattr__(self, "name", self.name or f"{self.kind}:{self.function}")
        object.__setattr__(self, "parameters", dict(self.parameters))
        _check_call(self.function, self.parameters)
        # Hashed now and not on first use, when the file may differ from the source that this process has imported.
        _ = self.version

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Refuse unpickling in a process that has imported other source, whose scores would have another version."""
        self.__dict__.update(state)
        if self._version_here() != self.version:
            raise ScoringConfigurationError(
                f"the source of {self.function!r} changed after it was imported; a new process would import another"
            )

    @cached_property
    def version(self) -> str:
        return self._version_here()

    def _version_here(self) -> str:
        settings = {
            "kind": self.kind,
            "function": self.function,
            "parameters": self.parameters,
            "source": _source(self.function, self.revision),
            "revision": self.revision,
        }
        try:
            return sha256_of(settings)
        except (TypeError, ValueError) as error:
            raise ScoringConfigurationError(
                f"the parameters of {self.function!r} must be JSON values, got {self.parameters!r}: {error}"
            ) from None

    def values(self, molecules: Sequence[str]) -> list[RawScore]:
        if not molecules:
            return []
        if self.batch:
            return self._score_batch(molecules)
        return [self._score_one(smiles) for smiles in molecules]

    def _score_one(self, smiles: str) -> RawScore:
        started = time.perf_counter()
        try:
            value = _load(self.function)(smiles, **self.parameters)
        except (Exception, SystemExit) as error:
            return RawScore.failed(error, time.perf_counter() - started)
        return RawScore.of(value, time.perf_counter() - started)

    def _score_batch(self, molecules: Sequence[str]) -> list[RawScore]:
        started = time.perf_counter()
        try:
            values = list(_load(self.function)(list(molecules), **self.parameters))
        except (Exception, SystemExit) as error:
            return [RawScore.failed(error, (time.perf_counter() - started) / len(molecules))] * len(molecules)
        seconds = (time.perf_counter() - started) / len(molecules)
        if len(values) != len(molecules):
            error_text = f"{self.function} returned {len(values)} values for {len(molecules)} molecules"
            return [RawScore(None, error_text, seconds)] * len(molecules)
        return [RawScore.of(value, seconds) for value in values]


def _load(function: str) -> Callable[..., Any]:
    """Import the function of a ``module:function``.

    Raises:
        ScoringConfigurationError: the module or function does not exist, or the module cannot be imported.
    """
    module_name, colon, attribute = function.partition(":")
    if not colon or not module_name or not attribute:
        raise ScoringConfigurationError(f"a function is named as module:function, got {function!r}")
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


def _check_call(function: str, parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that the function does not accept, or a lack of those it requires."""
    loaded = _load(function)
    try:
        signature = inspect.signature(loaded)
    except (TypeError, ValueError):
        return  # a function written in C may have no signature
    try:
        signature.bind("C", **parameters)
    except TypeError as error:
        raise ScoringConfigurationError(
            f"{function}{signature} cannot be called with a SMILES and the parameters {dict(parameters)!r}: {error}"
        ) from None


_SOURCES: dict[str, tuple[ModuleSpec | None, str]] = {}
"""By module, the spec of its import, which a reload changes, and its source at that time."""


def _source(function: str, revision: str) -> str | None:
    """Return the source of the function's module; None if it has none, which requires a revision.

    It is read once per import: a run makes components repeatedly, while the user may edit the file for the next run.
    """
    module_name = function.partition(":")[0]
    module = importlib.import_module(module_name)
    imported, source = _SOURCES.get(module_name, (None, None))
    if source is not None and imported is module.__spec__:
        return source
    try:
        source = inspect.getsource(module)
        _SOURCES[module_name] = (module.__spec__, source)
        return source
    except (OSError, TypeError):
        if revision:
            return None
        raise ScoringConfigurationError(
            f"module {module_name!r} has no Python source that would identify its version: give {function!r} a revision"
        ) from None
