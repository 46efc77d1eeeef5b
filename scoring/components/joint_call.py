"""Calls of a program or a service that give several values for several molecules.

A call that fails is split in halves, until the molecules at fault are alone. The id of a molecule is a hash of its
SMILES, which a program cannot make up, as it could a running number: a row with an unknown id belongs to no molecule,
and a molecule without a row has no value.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from molbuffer.scoring.components.raw_score import RawScore

MOST_FAILURES = 8
"""The number of molecules in a row that fail alone after which the program or service counts as failing for all."""
MOST_TIMEOUTS = 3
"""The same for molecules in a row without an answer in time."""
_SHOWN = 200


@dataclass(frozen=True)
class Table:
    """The rows of an answer.

    Attributes:
        rows: for each row, values by the name of the column.
        columns: the names of the columns.
    """

    rows: Sequence[Mapping[str, Any]]
    columns: Collection[str]


@dataclass(frozen=True)
class Outputs:
    """The columns of an answer to read for each molecule.

    Attributes:
        names: the columns [k] with the values; an empty name stands for the only column beside the id.
        stds: the columns [k] with the standard deviations of the values; an empty name stands for none.
        id_column: the column with the ids.
    """

    names: Sequence[str]
    stds: Sequence[str]
    id_column: str = "id"


class Fault(StrEnum):
    """The reason why a molecule has no answer.

    ``ALONE``: the call failed for this molecule alone; the molecule is at fault if others have an answer.
    ``LOST``: the call failed for this molecule, which is not at fault.
    ``TIMEOUT``: the call took too long.
    ``GONE``: the program or service fails for all molecules.
    ``NOT_TRIED``: no call was made.
    """

    ALONE = "alone"
    LOST = "lost"
    TIMEOUT = "timeout"
    GONE = "gone"
    NOT_TRIED = "not tried"


@dataclass(frozen=True)
class Answer:
    """The outcome of a call for one molecule.

    Attributes:
        scores: one score for each column [k] of the outputs.
        note: a warning about the call as a whole; None without one.
        fault: the reason why there is no answer; None for an answer, also one that says that the molecule has no value.
    """

    scores: Sequence[RawScore]
    note: str | None = None
    fault: Fault | None = None


class CallError(Exception):
    """A call gave no answer.

    Attributes:
        fault: the fault to record if the call was for a single molecule; after ``GONE``, the call is not split.
    """

    def __init__(self, message: str, fault: Fault = Fault.ALONE) -> None:
        self.fault = fault
        super().__init__(message)


def id_of(smiles: str) -> str:
    """Return the id of a molecule in calls, a hash of its SMILES."""
    return hashlib.sha256(smiles.encode()).hexdigest()[:16]


Call = Callable[[Sequence[str]], list[Answer]]
"""A function that returns one answer for each molecule, or raises a CallError."""


def answers_of(call: Call, molecules: Sequence[str], values: int) -> list[Answer]:
    """Return the answer for each molecule; a call that fails is split in halves.

    Args:
        call: the call.
        molecules: canonical SMILES.
        values: the number of values of a molecule.
    """
    found: dict[str, Answer] = {}
    _Trials(call, values, found).ask(molecules)
    return [found[smiles] for smiles in molecules]


@dataclass
class _Trials:
    call: Call
    values: int
    found: dict[str, Answer]
    vain: Vain = field(default_factory=lambda: Vain())

    def ask(self, molecules: Sequence[str]) -> None:
        reason = self.vain.reason
        if reason is not None:
            self._fail(molecules, reason, Fault.NOT_TRIED, 0.0)
            return
        started = time.perf_counter()
        try:
            answers = self.call(molecules)
        except CallError as error:
            seconds = time.perf_counter() - started
            if len(molecules) == 1 or error.fault is Fault.GONE:
                self._fail(molecules, str(error), error.fault, seconds)
            else:
                middle = (len(molecules) + 1) // 2
                self.ask(molecules[:middle])
                self.ask(molecules[middle:])
        else:
            seconds = (time.perf_counter() - started) / max(1, len(molecules))
            for smiles, answer in zip(molecules, answers, strict=True):
                self.found[smiles] = _timed(answer, seconds)
                self.vain.note(answer)

    def _fail(self, molecules: Sequence[str], reason: str, fault: Fault, seconds: float) -> None:
        score = RawScore(None, reason, seconds / max(1, len(molecules) * self.values), lost=fault is not Fault.ALONE)
        for smiles in molecules:
            self.found[smiles] = Answer([score] * self.values, fault=fault)
            self.vain.note(self.found[smiles])


@dataclass
class Vain:
    """The count of molecules in a row without an answer, which decides whether further calls are in vain.

    Attributes:
        reason: the error of molecules that are not tried any more; None while calls are made.
    """

    reason: str | None = None
    _alone: int = 0
    _timeouts: int = 0

    def note(self, answer: Answer) -> None:
        """Count the next answer."""
        if answer.fault is None:
            self._alone = self._timeouts = 0
            return
        self._alone += answer.fault in (Fault.ALONE, Fault.LOST)
        self._timeouts += answer.fault is Fault.TIMEOUT
        last = answer.scores[0].error
        if answer.fault is Fault.GONE or self._alone >= MOST_FAILURES or self._timeouts >= MOST_TIMEOUTS:
            many = "others" if answer.fault is Fault.GONE else f"{max(self._alone, self._timeouts)} others in a row"
            self.reason = self.reason or f"not tried, since {many} had no answer, the last: {last}"
        elif answer.fault is Fault.NOT_TRIED:
            self.reason = self.reason or last


def settled(answers: Iterable[tuple[str, Answer]], vain: Vain) -> Iterator[tuple[str, Answer]]:
    """Yield answers; those of molecules that failed alone are held back until it is known whether they are at fault.

    Such molecules are at fault if the program or service answers for another one, or if they are few; otherwise their
    scores are lost.

    Args:
        answers: each molecule with its answer.
        vain: counts the answers.
    """
    held: list[tuple[str, Answer]] = []
    for smiles, answer in answers:
        vain.note(answer)
        if answer.fault is Fault.ALONE:
            held.append((smiles, answer))
            continue
        if answer.fault is None:
            yield from held
            held = []
        yield smiles, answer
    yield from ((smiles, _lost(answer) if vain.reason is not None else answer) for smiles, answer in held)


def _lost(answer: Answer) -> Answer:
    return replace(answer, scores=[replace(score, lost=True) for score in answer.scores])


def _timed(answer: Answer, seconds: float) -> Answer:
    # The values of one call share its time.
    share = seconds / max(1, len(answer.scores))
    return replace(answer, scores=[replace(score, seconds=share) for score in answer.scores])


def matched(table: Table, molecules: Sequence[str], outputs: Outputs) -> list[Answer]:
    """Return the answers for molecules from the rows of a table, which are matched by their ids.

    A molecule fails if it has no row, or rows that differ. A text under ``error`` in the row of a molecule fails it,
    too.

    Raises:
        CallError: the table has no column of ids, or lacks a column of the outputs.
    """
    if table.columns and outputs.id_column not in table.columns:
        raise CallError(f"the answer has no column {outputs.id_column!r}; it has {_listed(table.columns)}")
    names = list(outputs.names)
    if any(not _error_of(row) for row in table.rows):
        columns = set(table.columns)
        names = [_column(name, columns - set(outputs.stds), outputs.id_column) for name in names]
        for std in filter(None, outputs.stds):
            _column(std, columns, outputs.id_column)
    rows: dict[str, Mapping[str, Any]] = {}
    doubled: set[str] = set()
    for row in table.rows:
        key = str(row.get(outputs.id_column, "")).strip()
        if key in rows and [rows[key].get(name) for name in names] != [row.get(name) for name in names]:
            doubled.add(key)
        rows.setdefault(key, row)
    ids = [id_of(smiles) for smiles in molecules]
    strange = sorted(rows.keys() - set(ids))
    note = f"{len(strange)} rows of the answer have unknown ids, such as {strange[0]!r}" if strange else None
    pairs = list(zip(names, outputs.stds, strict=True))
    return [Answer(_of_row(rows.get(key), key in doubled, pairs, note), note) for key in ids]


def _column(name: str, columns: set[str], id_column: str) -> str:
    if not name:
        others = sorted(columns - {id_column, "error", "smiles"})
        if len(others) != 1:
            raise CallError(f"the answer has the values {_listed(others)}: `output` must say which is meant")
        return others[0]
    if name not in columns:
        raise CallError(f"the answer has no column {name!r}; it has {_listed(columns)}")
    return name


def _of_row(
    row: Mapping[str, Any] | None, doubled: bool, columns: Sequence[tuple[str, str]], note: str | None
) -> list[RawScore]:
    if row is None:
        reason = "the answer has no row with its id" + (f"; {note}" if note else "")
        return [RawScore(None, reason)] * len(columns)
    if doubled:
        return [RawScore(None, "the answer has two rows with its id, which differ")] * len(columns)
    error = _error_of(row)
    return [_value(row.get(name), row.get(std) if std else None, error, uncertain=bool(std)) for name, std in columns]


def _error_of(row: Mapping[str, Any]) -> str:
    """Return the text under ``error`` in a row; empty without one."""
    return str(row.get("error") or "").strip()


def _value(value: Any, std: Any, error: str, *, uncertain: bool) -> RawScore:
    if error:
        return RawScore(None, error[:_SHOWN])
    number = number_in(value)
    return RawScore.of((number, number_in(std)) if uncertain else number)


def number_in(value: Any) -> Any:
    """Return a value of an answer with a numeric text as a number, and with None for a boolean or a list."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value[:_SHOWN]
    return None if isinstance(value, bool | list | tuple) else value


def table_of_json(text: str) -> Table:
    """Return the rows of a JSON answer: a list of objects, or an object with such a list under ``results``.

    Raises:
        CallError: the text is no such JSON.
    """
    found = parsed(text)
    rows = found.get("results") if isinstance(found, dict) else found
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise CallError(f"expected a list of objects, or an object with one under `results`, got {_start(text)}")
    return Table(rows, {name for row in rows for name in row})


def parsed(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        CallError: the text is no JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CallError(f"the answer is no JSON ({error}): {_start(text)}") from None


def json_of(molecules: Sequence[str], **more: Any) -> str:
    """Return the JSON text of a request: {"molecules": [{"id": ..., "smiles": ...}]} with further entries."""
    listed = [{"id": id_of(smiles), "smiles": smiles} for smiles in molecules]
    return json.dumps({"molecules": listed, **more})


def _start(text: str) -> str:
    return repr(text[:_SHOWN]) if text.strip() else "nothing"


def _listed(names: Any) -> str:
    return ", ".join(map(repr, sorted(names)))[:_SHOWN] or "none"
