"""The rows of an imported file: which of them are molecules with a score, and why the others are rejected."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from molbuffer.exchange.errors import IngestError
from molbuffer.exchange.ingest.columns import FileColumns
from molbuffer.samplers import MoleculeTable, Vocabulary
from molbuffer.scoring import Standardisation, Valence, judge_many

DUPLICATE, NO_SCORE, VOCABULARY = "duplicate", "no_score", "vocabulary"
"""Why a row is rejected: an earlier row has its molecule, its score is not a number, the policy cannot express it."""
ROWS_TOGETHER = 4096
STANDARDISATION = Standardisation(largest_fragment=True)
"""The default standardisation of a campaign, which cuts salts down to their largest fragment."""


@dataclass(frozen=True)
class ImportedRow:
    """A row of a file.

    Attributes:
        line: its line in the file.
        step: its iteration.
        raw: a string that the policy in training can express: as written in the file, or else canonical.
        smiles: the canonical SMILES; None where the string is no molecule.
        rejected_by: why it is rejected; None if it is not.
        reward: the raw value of the reward column; NaN if it is not a number.
        scores: the further scores, by name; NaN if a value is not a number.
    """

    line: int
    step: int
    raw: str
    smiles: str | None
    rejected_by: str | None
    reward: float
    scores: Mapping[str, float]


@dataclass
class RowJudge:
    """A check of the rows of a file, in their order, which rejects rows that cannot be trained on.

    Attributes:
        vocabulary: the vocabulary of the policy that is to learn from the rows.
        rejected: the number of rows rejected so far, by the reason.
        contradictions: the number of repeated rows whose score differs from that of the first row of the molecule.
    """

    vocabulary: Vocabulary
    rejected: Counter[str] = field(default_factory=Counter)
    contradictions: int = 0
    _known: dict[str, float] = field(default_factory=dict)

    def judge(self, rows: Sequence[ImportedRow]) -> list[ImportedRow]:
        """Return the rows with their canonical SMILES and the reasons of rejection."""
        judged = judge_many([row.raw for row in rows], (Valence(),), STANDARDISATION)
        found = []
        for row, judgement in zip(rows, judged, strict=True):
            reason = judgement.rejected_by or self._reason(row, judgement.smiles)
            if reason is not None:
                self.rejected[reason] += 1
            raw = row.raw
            if judgement.smiles is not None and not self.vocabulary.can_encode(raw):
                raw = judgement.smiles
            found.append(
                ImportedRow(
                    line=row.line,
                    step=row.step,
                    raw=raw,
                    smiles=judgement.smiles,
                    rejected_by=reason,
                    reward=row.reward,
                    scores=row.scores,
                )
            )
        return found

    def _reason(self, row: ImportedRow, smiles: str | None) -> str | None:
        assert smiles is not None
        if math.isnan(row.reward):
            return NO_SCORE
        if not (self.vocabulary.can_encode(row.raw) or self.vocabulary.can_encode(smiles)):
            return VOCABULARY
        if smiles in self._known:
            self.contradictions += self._known[smiles] != row.reward
            return DUPLICATE
        self._known[smiles] = row.reward
        return None


def read_rows(table: MoleculeTable, columns: FileColumns) -> list[ImportedRow]:
    """Return the rows of a file before they are judged.

    Raises:
        IngestError: a step is not a whole number, or no row has a score.
    """
    rewards = _numbers(table, columns.reward)
    scores = {name: _numbers(table, column) for name, column in columns.scores.items()}
    # A column without any number, such as lists of matching patterns, is not a score.
    scores = {name: values for name, values in scores.items() if not all(map(math.isnan, values))}
    if all(map(math.isnan, rewards)):
        raise IngestError(f"no row has a number in the column {columns.reward!r}: there is no score to import")
    steps = _steps(table, columns.step)
    return [
        ImportedRow(
            line=row.line,
            step=steps[i],
            raw=row.smiles,
            smiles=None,
            rejected_by=None,
            reward=rewards[i],
            scores={name: scores[name][i] for name in scores},
        )
        for i, row in enumerate(table.rows)
    ]


def in_portions(rows: Sequence[ImportedRow]) -> Iterator[list[tuple[int, list[ImportedRow]]]]:
    """Yield the rows in portions, each as the rows of consecutive iterations."""
    for start in range(0, len(rows), ROWS_TOGETHER):
        portion = rows[start : start + ROWS_TOGETHER]
        yield [(step, list(group)) for step, group in groupby(portion, lambda row: row.step)]


def _numbers(table: MoleculeTable, column: str) -> list[float]:
    return [_number(value) for value in table.others.column(column).to_pylist()]


def _number(value: object) -> float:
    try:
        number = float(str(value).strip()) if value is not None else math.nan
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan


def _steps(table: MoleculeTable, column: str | None) -> list[int]:
    if column is None:
        return [0] * len(table.rows)
    numbers = _numbers(table, column)
    for row, number in zip(table.rows, numbers, strict=True):
        if not (number >= 0 and number == int(number)):
            raise IngestError(f"line {row.line}: the column {column!r} must have a whole number of at least 0")
    # Iterations count from 0, and the steps of a file may count from 1.
    first = min(map(int, numbers), default=0)
    return [int(number) - first for number in numbers]
