"""Calls of a program for molecules, in the process that runs it.

A program gets files for its input, output and errors, so that nothing waits for a pipe that a child of it holds open.
It runs in the process group of its caller, which ends with it; what else it has started is killed when a call is over.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from molbuffer.scoring.components.joint_call import (
    Answer,
    CallError,
    Fault,
    Outputs,
    Table,
    answers_of,
    id_of,
    json_of,
    matched,
    number_in,
    parsed,
    table_of_json,
)
from molbuffer.scoring.components.raw_score import RawScore

MOST_BYTES = 64 * 2**20
"""The largest answer of a program."""
TEMPORARY_FAILURE = 75
"""The exit code by which a program says that it cannot work for now, whatever the molecules: EX_TEMPFAIL."""
PYTHON, INPUT, OUTPUT = "{python}", "{input}", "{output}"
"""Words of a command that stand for this Python, and for the files of molecules and of the answer."""

_POLL_SECONDS = 0.02
_LONGEST_POLL = 0.25
_SECONDS_TO_DIE = 5.0
_SHOWN = 300

Protocol = Literal["csv", "json", "smi", "reinvent"]
"""How molecules and values are written.

``csv``: a table with the columns id and smiles; a table with the column of ids and one of each value comes back.
``json``: {"molecules": [{"id": ..., "smiles": ...}]}; a list of objects with an id and values comes back, or an object
with such a list under ``results``.
``smi``: lines of a SMILES, a tabulator and the id; a table as for ``csv`` comes back.
``reinvent``: lines of SMILES; {"version": 1, "payload": {name: [values]}} comes back, in the order of the molecules, as
REINVENT 4 has it for its component ExternalProcess.
"""
PROTOCOLS = get_args(Protocol)


@dataclass(frozen=True)
class ProgramCall:
    """A program and how it is called.

    Attributes:
        command: the program and its arguments.
        folder: the folder that it works in.
        protocol: how molecules and values are written.
        timeout: the longest time of a call, in seconds; None is any.
        retries: how often a call that failed is made again.
        pause: seconds before the first of these; each further one waits twice as long.
        outputs: the values that are wanted.
    """

    command: Sequence[str]
    folder: str
    protocol: Protocol
    timeout: float | None
    retries: int
    pause: float
    outputs: Outputs


def score(molecules: Sequence[str], call: ProgramCall) -> list[Answer]:
    """Return the answer for each of some molecules."""
    return answers_of(lambda part: _tried(part, call), molecules, len(call.outputs.names))


def _tried(molecules: Sequence[str], call: ProgramCall) -> list[Answer]:
    """Return the answers for molecules of a program that may fail a few times.

    Raises:
        CallError: it failed as often as it may, or had no time left.
    """
    for attempt in range(call.retries):
        try:
            return _answers(molecules, call)
        except CallError as error:
            if error.fault is Fault.TIMEOUT:
                raise
            time.sleep(call.pause * 2**attempt)
    return _answers(molecules, call)


def _answers(molecules: Sequence[str], call: ProgramCall) -> list[Answer]:
    with tempfile.TemporaryDirectory(prefix="molbuffer-") as name:
        text = _run(_written(molecules, call.protocol), call, Path(name))
    if not text.strip():
        raise CallError("the program wrote nothing")
    if call.protocol == "reinvent":
        return _in_order(text, molecules, call.outputs)
    return matched(table_of_json(text) if call.protocol == "json" else _table_of_csv(text), molecules, call.outputs)


def _written(molecules: Sequence[str], protocol: Protocol) -> str:
    if protocol == "json":
        return json_of(molecules)
    if protocol == "reinvent":
        return "\n".join(molecules)
    if protocol == "smi":
        return "".join(f"{smiles}\t{id_of(smiles)}\n" for smiles in molecules)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerows([("id", "smiles"), *((id_of(smiles), smiles) for smiles in molecules)])
    return table.getvalue()


def _run(text: str, call: ProgramCall, folder: Path) -> str:
    """Return what a program answers.

    Raises:
        CallError: it cannot be started, ended with an error, took too long, or wrote no text.
    """
    given, answered, said = folder / "input", folder / "output", folder / "errors"
    given.write_text(text, encoding="utf-8")
    files = {PYTHON: sys.executable, INPUT: str(given), OUTPUT: str(folder / "answer")}
    command = [_filled(word, files) for word in call.command]
    with given.open("rb") as stdin, answered.open("wb") as stdout, said.open("wb") as stderr:
        try:
            process = subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, cwd=call.folder)
        except OSError as error:
            raise CallError(f"{call.command[0]!r} cannot be started: {error}", Fault.GONE) from None
        try:
            code = _wait(process, call.timeout, [answered, said])
        finally:
            _kill_descendants(process)
    if code == TEMPORARY_FAILURE:
        raise CallError(f"the program cannot work for now (exit code {code}){_last_words(said)}", Fault.GONE)
    if code != 0:
        raise CallError(f"the program ended with {_end_of(code)}{_last_words(said)}")
    return _read(Path(files[OUTPUT]) if any(OUTPUT in word for word in call.command) else answered, said)


def _filled(word: str, files: dict[str, str]) -> str:
    for name, value in files.items():
        word = word.replace(name, value)
    return word


def _wait(process: subprocess.Popen[bytes], timeout: float | None, files: Sequence[Path]) -> int:
    """Return the exit code of a program.

    Raises:
        CallError: it took or wrote too much.
    """
    deadline, pause = None if timeout is None else time.monotonic() + timeout, _POLL_SECONDS
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(pause)
        pause = min(2 * pause, _LONGEST_POLL)
        if deadline is not None and time.monotonic() >= deadline:
            raise CallError(f"no answer within {timeout:g} seconds", Fault.TIMEOUT)
        if any(path.stat().st_size > MOST_BYTES for path in files):
            raise CallError(f"the program wrote more than {MOST_BYTES // 2**20} MiB")


def _read(path: Path, said: Path) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise CallError(f"the program wrote more than {MOST_BYTES // 2**20} MiB")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CallError(f"the program wrote no file {OUTPUT}{_last_words(said)}") from None
    except UnicodeDecodeError as error:
        raise CallError(f"the answer is no UTF-8: {error}") from None


def _last_words(said: Path) -> str:
    """Return the last line that a program wrote to its errors."""
    with said.open("rb") as file:
        file.seek(max(0, said.stat().st_size - 4096))
        lines = [line for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
    return f": {lines[-1].strip()[:_SHOWN]}" if lines else ""


def _end_of(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"signal {signal.Signals(-code).name}"
    return f"signal {-code}"


def _table_of_csv(text: str) -> Table:
    """Return the rows of an answer in CSV.

    Raises:
        CallError: it is no table.
    """
    reader = csv.DictReader(io.StringIO(text.lstrip("\ufeff")), strict=True, restkey="", restval="")
    try:
        columns = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = columns
        return Table(list(reader), columns)
    except csv.Error as error:
        raise CallError(f"the answer is no table in CSV ({error}): {text[:_SHOWN]!r}") from None


def _in_order(text: str, molecules: Sequence[str], outputs: Outputs) -> list[Answer]:
    """Return the answers in a JSON text of REINVENT, which has no ids: as many values as molecules, or none counts.

    Raises:
        CallError: it is none, or has another number of values.
    """
    found = parsed(text)
    payload = found.get("payload") if isinstance(found, dict) else None
    if not isinstance(payload, dict) or not payload:
        raise CallError(f'expected {{"version": 1, "payload": {{name: [values]}}}}, got {text[:_SHOWN]!r}')
    columns = []
    for name in outputs.names:
        if not name and len(payload) > 1:
            raise CallError(f"the payload has {', '.join(map(repr, payload))}: `output` must say which is meant")
        values = payload.get(name or next(iter(payload)))
        if not isinstance(values, list):
            raise CallError(f"the payload has no list {name!r}; it has {', '.join(map(repr, payload))}")
        if len(values) != len(molecules):
            raise CallError(f"the payload has {len(values)} values for {len(molecules)} molecules")
        columns.append(values)
    return [Answer([RawScore.of(number_in(value)) for value in values]) for values in zip(*columns, strict=True)]


def _kill_descendants(process: subprocess.Popen[bytes]) -> None:
    """Kill a program and whatever else is in the process group of this process, which is that of a worker.

    A child that has made a group of its own escapes.
    """
    if process.poll() is None:
        process.kill()
    process.wait()
    if os.getpgid(0) != os.getpid():
        return  # called in a process that others share the group of
    deadline = time.monotonic() + _SECONDS_TO_DIE
    while time.monotonic() < deadline and (others := [pid for pid in _of_group(os.getpid()) if pid != os.getpid()]):
        for pid in others:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def _of_group(group: int) -> Iterator[int]:
    """Yield the living processes of a group."""
    if Path("/proc/self/stat").exists():
        for entry in os.scandir("/proc"):
            if entry.name.isdecimal():
                with contextlib.suppress(OSError, ValueError):
                    # After the name, which may have spaces and parentheses: state, parent, group.
                    state, _, of = Path(entry.path, "stat").read_text(errors="replace").rpartition(")")[2].split()[:3]
                    if int(of) == group and state not in "ZX":
                        yield int(entry.name)
        return
    with subprocess.Popen(["ps", "-A", "-o", "pid=,pgid=,stat="], stdout=subprocess.PIPE, text=True) as listing:  # noqa: S607
        listed = listing.communicate()[0]
    for line in listed.splitlines():
        pid, of, state = line.split()[:3]
        if int(of) == group and not state.startswith("Z") and int(pid) != listing.pid:
            yield int(pid)
