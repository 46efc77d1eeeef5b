"""The component that calls a program of the user."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Gt

from molbuffer.kinds import Count, FolderName, NotNegative, Text, Typed, checked
from molbuffer.scoring.components import external_call
from molbuffer.scoring.components.base import Cost
from molbuffer.scoring.components.external_call import INPUT, OUTPUT, PROTOCOLS, PYTHON, ProgramCall, Protocol
from molbuffer.scoring.components.file_digests import FileDigests
from molbuffer.scoring.components.joint_call import Answer, Outputs
from molbuffer.scoring.components.joint_component import JointCalls
from molbuffer.scoring.errors import ScoringConfigurationError, unknown_name
from molbuffer.scoring.identity import sha256_of
from molbuffer.scoring.workers import available_cores


@checked
@dataclass(frozen=True)
class ExternalProgram(JointCalls):
    """Raw values from a program, which reads molecules and writes a table of values.

    Rows of the answer are matched to molecules by an id, and not by their order. Components that differ only in
    `output` and `name` share their calls: a program that gives several values is called once for all of them.

    Attributes:
        command: the program and its arguments. A program or script beside the configuration file is named by its path
            from there; ``{python}`` is the Python of molbuffer. ``{input}`` stands for a file with the molecules, which
            replaces stdin, and ``{output}`` for a file of the answer, which replaces stdout.
        protocol: the format of molecules and answer. csv: the program reads a table with the columns id and smiles, and
            writes one with the id and the values; json: the same as JSON, a list of objects; smi: the program reads
            lines with a SMILES and its id, and writes a CSV table; reinvent: the program reads lines of SMILES and
            writes values in their order, as scripts for ExternalProcess of REINVENT 4 do.
        output: the column of the answer with the value; it may be left out if there is only one.
        std: the column with the standard deviation of the value, for components with `pessimism`; by default there is
            none.
        id_column: the column of the answer with the ids.
        revision: a text to change when something else changes that the values depend on; required unless `command`
            names a file of `folder`.
        files: files of `folder` whose content the values depend on, in addition to those that `command` names.
        folder: the working folder of the program; by default that of the configuration file, or else the present one.
        cost: high: each score is committed as soon as its call is over, and no two processes compute the same score.
        batch_size: the largest number of molecules of a call.
        parallel: make as many calls at once as there are cores.
        timeout: the longest time of a call, in seconds. A call that takes longer is split in halves; a molecule that
            takes longer alone is tried again in the next run. Default: no limit.
        retries: how often a failed call is repeated before it is split in halves.
        pause: the seconds before the first repetition; the pause doubles with each further one.
        deterministic: whether the same molecule has the same value each time.
        name: the component's name in the history, ``external:`` and the output or the program by default.

    Example:
        >>> script = "import sys; print('id,n'); [print(l.split()[1], len(l.split()[0]), sep=',') for l in sys.stdin]"
        >>> program = mb.ExternalProgram(["{python}", "-c", script], protocol="smi", revision="1")
        >>> [score.value for score in program.values(["CCO", "CC"])]
        [3.0, 2.0]
    """

    command: Annotated[Sequence[str], Typed(tuple[Text, ...])]
    protocol: Protocol = "csv"
    output: str = ""
    std: str = ""
    id_column: Text = "id"
    revision: str = ""
    files: Annotated[Sequence[str], Typed(tuple[Text, ...])] = ()
    folder: Annotated[str, FolderName()] = "."
    cost: Cost = "high"
    batch_size: Count = 64
    parallel: bool = False
    timeout: Annotated[float | None, Typed(Annotated[float, Gt(0)] | None)] = None
    retries: NotNegative = 1
    pause: Annotated[float, Ge(0)] = 1.0
    deterministic: bool = True
    name: str = ""

    kind: ClassVar[str] = "external"
    bounded: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "command", tuple(self.command))
        object.__setattr__(self, "files", tuple(self.files))
        object.__setattr__(self, "folder", str(Path(self.folder).absolute()))
        if not self.command:
            raise ScoringConfigurationError("command: expected a program and its arguments, got nothing")
        if self.protocol not in PROTOCOLS:
            raise unknown_name("protocol", self.protocol, PROTOCOLS)
        if self.std and self.protocol == "reinvent":
            raise ScoringConfigurationError(f"the protocol reinvent has no standard deviations, got std = {self.std!r}")
        object.__setattr__(self, "name", self.name or f"{self.kind}:{self.output or self._program_name}")
        self._check_program()
        self._check_script()
        if not (self._digests.names or self.revision):
            raise ScoringConfigurationError(
                f"{' '.join(self.command)!r} names no file in {self.folder} that would identify its version: give it a "
                "revision, such as that of the program"
            )
        # Hashed now and not on first use, when the files may differ.
        _ = self.version

    @property
    def _program_name(self) -> str:
        """The name of the script that the Python of molbuffer runs, or of the program."""
        words = self.command[1:] if self.command[0] == PYTHON and len(self.command) > 1 else self.command
        return Path(words[0]).name

    def _check_script(self) -> None:
        """Refuse a Python script that does not exist, for which the call would fail for every molecule."""
        if self.command[0] != PYTHON and not Path(self.command[0]).name.startswith("python"):
            return
        script = next(iter(self.command[1:]), "")
        if script.endswith(".py") and not (Path(self.folder) / script).is_file():
            raise ScoringConfigurationError(
                f"there is no file {Path(self.folder) / script}, which {self.command[0]} runs"
            )

    @cached_property
    def call(self) -> str:
        """The sha256 of everything that the answers depend on; components with the same one share their calls."""
        return sha256_of(
            {
                "kind": self.kind,
                "command": list(self.command),
                "protocol": self.protocol,
                "id_column": self.id_column,
                "files": dict(zip(self._digests.names, self._digests.known, strict=True)),
                "revision": self.revision,
            }
        )

    @cached_property
    def version(self) -> str:
        return sha256_of({"call": self.call, "output": self.output, "std": self.std})

    @property
    def processes(self) -> int:
        """The largest number of simultaneous calls."""
        return available_cores() if self.parallel else 1

    def work(self, outputs: Outputs) -> tuple[Callable[..., list[Answer]], tuple[Any, ...]]:
        """Return the function that makes a call in another process, and its arguments.

        Raises:
            ScoringConfigurationError: a file has changed since the component was made.
        """
        self._digests.check()
        call = ProgramCall(
            command=self._command,
            folder=self.folder,
            protocol=self.protocol,
            timeout=self.timeout,
            retries=self.retries,
            pause=self.pause,
            outputs=outputs,
        )
        return external_call.score, (call,)

    @cached_property
    def _command(self) -> tuple[str, ...]:
        """The command; the program is replaced by its path if it is a file of the folder."""
        program = Path(self.folder, self.command[0])
        return (str(program), *self.command[1:]) if program.is_file() else tuple(self.command)

    @cached_property
    def _digests(self) -> FileDigests:
        named = [word for word in self.command if word and Path(self.folder, word).is_file()]
        return FileDigests(self.folder, tuple(dict.fromkeys([*named, *self.files])), f"{self.kind} {self.command[0]!r}")

    def _check_program(self) -> None:
        program = self._command[0]
        if program == PYTHON:
            return
        if program in (INPUT, OUTPUT):
            raise ScoringConfigurationError(f"the command begins with {program}, expected a program")
        if shutil.which(program) is None:
            found = Path(program)
            why = "it is not executable" if found.is_file() else f"it is neither in {self.folder} nor on the PATH"
            raise ScoringConfigurationError(f"the program {self.command[0]!r} cannot be run: {why}")
