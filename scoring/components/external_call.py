"""Calls of a program for molecules, in the worker process that starts it.

Input, output and errors of a program are files, since a child process of the program could hold a pipe open. The
program runs in the process group of its worker and ends with it; child processes that are left are killed after a call.
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
"""The largest size of an answer, in bytes."""
TEMPORARY_FAILURE = 75
"""The exit code of a program that cannot work for now, whatever the molecules: EX_TEMPFAIL."""
PYTHON, INPUT, OUTPUT = "{python}", "{input}", "{output}"
"""Words of a command that stand for the running Python, the file with the molecules and the file of the answer."""

_POLL_SECONDS = 0.02
_LONGEST_POLL = 0.25
_SECONDS_TO_DIE = 5.0
_SHOWN = 300

Protocol = Literal["csv", "json", "smi", "reinvent"]
"""The format of molecules and values.

``csv``: the program reads a table with the columns id and smiles, and writes a table with the ids and a column for each
value.
``json``: the program reads {"molecules": [{"id": ..., "smiles": ...}]}, and writes a list of objects with an id and
values, or an object with such a list under ``results``.
``smi``: the program reads lines of a SMILES, a tabulator and the id, and writes a table as for ``csv``.
``reinvent``: the program reads lines of SMILES, and writes {"version": 1, "payload": {name: [values]}} in the order of
the molecules, as for the component ExternalProcess of REINVENT 4.
"""
PROTOCOLS = get_args(Protocol)


@dataclass(frozen=True)
class ProgramCall:
    """The settings of the calls of a program.

    Attributes:
        command: the program and its arguments.
        folder: the working folder of the program.
        protocol: the format of molecules and values.
        timeout: the longest time of a call, in seconds; None is no limit.
        retries: how often a failed call is repeated.
        pause: seconds before the first repetition; the pause doubles with each further one.
        outputs: the values to read from the answer.
    """

    command: Sequence[str]
    folder: str
    protocol: Protocol
    timeout: float | None
    retries: int
    pause: float
    outputs: Outputs


def score(molecules: Sequence[str], call: ProgramCall) -> list[Answer]:
    """Return the answer for each molecule."""
    return answers_of(lambda part: _tried(part, call), molecules, len(call.outputs.names))


def _tried(molecules: Sequence[str], call: ProgramCall) -> list[Answer]:
    """Return the answers of a program for molecules, with a failed call repeated ``retries`` times.

    Raises:
        CallError: the last repetition failed, or a call took too long.
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
    """Return the text that a program answers.

    Raises:
        CallError: the program cannot be started, ended with an error, took too long, or wrote no text.
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
        CallError: the program took too long, or wrote too much.
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
    """Return the last line that a program wrote to stderr, after a colon; empty without one."""
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
        CallError: the text is no CSV table.
    """
    reader = csv.DictReader(io.StringIO(text.lstrip("\ufeff")), strict=True, restkey="", restval="")
    try:
        columns = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = columns
        return Table(list(reader), columns)
    except csv.Error as error:
        raise CallError(f"the answer is no table in CSV ({error}): {text[:_SHOWN]!r}") from None


def _in_order(text: str, molecules: Sequence[str], outputs: Outputs) -> list[Answer]:
    """Return the answers in a JSON text of REINVENT, which has values in the order of the molecules, and no ids.

    Raises:
        CallError: the text is no such JSON, or its number of values is not that of the molecules.
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
    """Kill a program and all other processes in the group of this worker process.

    A child process that has made a group of its own is not killed.
    """
    if process.poll() is None:
        process.kill()
    process.wait()
    if os.getpgid(0) != os.getpid():
        return  # the group has processes that this one did not start
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
