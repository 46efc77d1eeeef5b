"""The component that calls a Python function of the user."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_args

from annotated_types import Gt

from molbuffer.kinds import (
    FolderName,
    PythonSource,
    SourceError,
    Text,
    Typed,
    checked,
    install_source,
    read_source,
    refuse_hiding,
)
from molbuffer.scoring.components import python_call
from molbuffer.scoring.components.base import Cost
from molbuffer.scoring.components.file_digests import FileDigests
from molbuffer.scoring.components.python_call import FunctionCall
from molbuffer.scoring.components.raw_score import RawScore
from molbuffer.scoring.errors import ScoringConfigurationError, unknown_name
from molbuffer.scoring.identity import sha256_of
from molbuffer.scoring.workers import Isolation, NoAnswer, Worker, WorkerDiedError, available_cores, run_apart


@checked
@dataclass(frozen=True)
class PythonFunction:
    """Raw values from a function of a module.

    The function is called as ``function(smiles, **parameters)`` with one canonical SMILES and returns a number; with
    ``batch`` it is called with a list and returns as many numbers. Every exception, and every result that is no finite
    number, becomes a failed score with the reason: a failing function never stops a build. A molecule that ends the
    process is identified and fails alone. Without a transform, values must be in [0, 1].

    Attributes:
        function: the function as "module:function"; it takes a SMILES string and returns a number. The module is in
            `folder`, or else installed.
        cost: high: each score is committed as soon as it is computed, and no two processes compute the same score.
        parameters: keyword arguments of the function; JSON values.
        batch: call the function with a list of SMILES strings; it then returns a list of as many numbers.
        parallel: divide the molecules among as many processes as there are cores, each of which imports the module.
            Otherwise one process scores all of them, and keeps the function's state, licence or GPU.
        in_process: call the function in the process of the run; a function that crashes then ends the run.
        timeout: the longest time of a call, in seconds; a molecule that takes longer is tried again in the next run.
            Default: no limit.
        files: files of `folder` that the values depend on, such as the weights of a model. If a file, the module, or a
            module of `folder` that it imports changes, stored scores are computed again.
        folder: the folder of the module and of `files`; by default that of the configuration file, or else the present
            one.
        packages: whether stored scores are computed again when an installed package that the module imports has
            another version.
        deterministic: whether the same molecule has the same value each time. At the start of a run, a few stored
            scores of a component of low cost are computed again; if they differ, the run does not start.
        revision: a text to change when something else changes that the values depend on; required for a module
            without Python source.
        name: the component's name in the history, ``python:`` and the function by default.

    Example:
        >>> mb.PythonFunction("operator:length_hint", in_process=True).values(["CCO"])[0].value
        3.0
    """

    function: Text
    cost: Cost = "low"
    parameters: Annotated[Mapping[str, Any], Typed(dict[str, Any])] = field(default_factory=dict)
    batch: bool = False
    parallel: bool = False
    in_process: bool = False
    timeout: Annotated[float | None, Typed(Annotated[float, Gt(0)] | None)] = None
    files: Annotated[Sequence[str], Typed(tuple[Text, ...])] = ()
    folder: Annotated[str, FolderName()] = "."
    packages: bool = True
    deterministic: bool = True
    revision: str = ""
    name: str = ""

    kind: ClassVar[str] = "python"
    bounded: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.cost not in get_args(Cost):
            raise unknown_name("cost", self.cost, get_args(Cost))
        module, _, attribute = self.function.partition(":")
        if not module or not attribute:
            raise ScoringConfigurationError(f"a function is named as module:function, got {self.function!r}")
        if self.in_process and (self.parallel or self.timeout is not None):
            raise ScoringConfigurationError(
                f"{self.function!r} runs in this process (in_process), where it can be neither parallel nor timed out"
            )
        if self.timeout is not None and not self.timeout > 0:
            raise ScoringConfigurationError(f"the timeout of {self.function!r} must be positive, got {self.timeout}")
        object.__setattr__(self, "name", self.name or f"{self.kind}:{self.function}")
        object.__setattr__(self, "parameters", dict(self.parameters))
        object.__setattr__(self, "files", tuple(self.files))
        object.__setattr__(self, "folder", str(Path(self.folder).absolute()))
        # Hashed now and not on first use, when the files may differ.
        _check_call(self)

    @cached_property
    def version(self) -> str:
        source = self._source
        settings = {
            "kind": self.kind,
            "function": self.function,
            "parameters": self.parameters,
            "modules": {name: module.text for name, module in source.modules.items()},
            "packages": dict(source.packages) if self.packages else {},
            "files": self._digests.known,
            "revision": self.revision,
        }
        try:
            return sha256_of(settings)
        except (TypeError, ValueError) as error:
            raise ScoringConfigurationError(
                f"the parameters of {self.function!r} must be JSON values, got {self.parameters!r}: {error}"
            ) from None

    def values(self, molecules: Sequence[str]) -> list[RawScore]:
        found = dict(self.stream(dict.fromkeys(molecules)))
        return [found[smiles] for smiles in molecules]

    def stream(self, molecules: Iterable[str]) -> Iterator[tuple[str, RawScore]]:
        """Yield each canonical SMILES with its score as soon as it is computed, in no particular order.

        A molecule is taken from the iterable when a process is free.

        Raises:
            ScoringConfigurationError: one of ``files`` has changed since the component was made.
        """
        if self.in_process:
            yield from self._stream_here(molecules)
            return
        chunk = 1 if self.cost == "high" and not self.batch else None
        apart = run_apart(python_call.score, self._unchanged(molecules), (self._call,), self._isolation, chunk=chunk)
        for smiles, result in apart:
            yield (
                smiles,
                RawScore(None, result.reason, lost=not result.final) if isinstance(result, NoAnswer) else result,
            )

    def _stream_here(self, molecules: Iterable[str]) -> Iterator[tuple[str, RawScore]]:
        if self.batch:
            together = list(self._unchanged(molecules))
            yield from zip(together, python_call.score(together, self._call), strict=True)
        else:
            for smiles in self._unchanged(molecules):
                yield from zip([smiles], python_call.score([smiles], self._call), strict=True)

    def _unchanged(self, molecules: Iterable[str]) -> Iterator[str]:
        """Yield the molecules; raise an error as soon as a file has changed."""
        for smiles in molecules:
            self._digests.check()
            yield smiles

    @property
    def _call(self) -> FunctionCall:
        return FunctionCall(self.function, self.parameters, self.batch)

    @property
    def _isolation(self) -> Isolation:
        """The settings of the worker process; functions of the same sources and files share one."""
        source, function = self._source, self.function
        modules = {name: module.text for name, module in source.modules.items()}
        identity = sha256_of([source.folder, modules, self._digests.known, self.revision, function.partition(":")[0]])

        def prepare(worker: Worker) -> None:
            worker.call(python_call.prepare, [source], (function,))

        return Isolation(
            identity,
            processes=available_cores() if self.parallel else 1,
            one_by_one=not self.batch,
            timeout=self.timeout,
            prepare=prepare,
        )

    @cached_property
    def _source(self) -> PythonSource:
        module = self.function.partition(":")[0]
        try:
            source = read_source(module, self.folder)
        except SourceError as error:
            raise ScoringConfigurationError(str(error)) from error
        if module not in source.modules and not self.revision:
            raise ScoringConfigurationError(
                f"module {module!r} has no Python source that would identify its version: give {self.function!r} a "
                f"revision"
            )
        return source

    @cached_property
    def _digests(self) -> FileDigests:
        return FileDigests(self.folder, self.files, repr(self.function))


_CHECKED: set[tuple[str, bool]] = set()
"""The version and ``in_process`` of each component whose call was checked in this process."""


def _check_call(component: PythonFunction) -> None:
    """Import the function in the process that it will run in, and refuse parameters that it does not accept.

    Raises:
        ScoringConfigurationError: the function cannot be imported, or cannot be called with its parameters.
    """
    key = (component.version, component.in_process)
    if key in _CHECKED:
        return
    if component.in_process:
        try:
            refuse_hiding(component._source)
            install_source(component._source)
        except SourceError as error:
            raise ScoringConfigurationError(f"cannot import {component.function!r}: {error}") from error
        python_call.check([component._call])
    else:
        patient = replace(component._isolation, timeout=None, one_by_one=False)
        try:
            answers = [answer for _, answer in run_apart(python_call.check, [component._call], (), patient)]
        except WorkerDiedError as error:
            raise ScoringConfigurationError(f"cannot import {component.function!r}: {error}") from error
        if isinstance(answers[0], NoAnswer):
            raise ScoringConfigurationError(f"cannot import {component.function!r}: {answers[0].reason}")
    _CHECKED.add(key)
