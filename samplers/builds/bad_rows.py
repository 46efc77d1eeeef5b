"""Warnings about the rows of a file that are no molecules, or that a policy cannot express, with their lines."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from molbuffer.samplers.base import Draw
from molbuffer.samplers.builds.judging import VOCABULARY
from molbuffer.samplers.errors import UnknownTokenError
from molbuffer.samplers.files import CHECKED_ROWS, FileRow, largest_fragments, read_columns, usable_texts
from molbuffer.samplers.tokens import Vocabulary
from molbuffer.scoring import LENGTH, SOURCE, VALIDITY, PairJudgement, Standardisation, reason_against, standardise_many

_OF_THE_FILE = (VALIDITY, LENGTH, VOCABULARY, SOURCE, f"{SOURCE}:{LENGTH}")
REPORTED_ROWS = 20
"""The largest number of rows that are logged one by one; further rows are counted."""
SHOWN = 200
"""The largest number of characters of a row that are shown."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BadRow:
    """A row of a file that is rejected when it is drawn, and the reason."""

    row: FileRow
    reason: str

    def __str__(self) -> str:
        shown = self.row.smiles if len(self.row.smiles) <= SHOWN else f"{self.row.smiles[:SHOWN]}…"
        return f"line {self.row.line}: {shown!r}: {self.reason}; it is rejected when it is drawn"


def bad_rows(
    rows: Sequence[FileRow],
    vocabulary: Vocabulary,
    standardisation: Standardisation = Standardisation(),
    *,
    largest_fragment: bool = False,
) -> list[BadRow]:
    """Return the rows that are no molecule, or not expressible in a vocabulary in the form in which they are drawn."""
    found = []
    written = [row.smiles for row in rows]
    if largest_fragment:
        written = largest_fragments(written, standardisation)
    expressible = [vocabulary.can_encode(text) for text in written]
    drawn = usable_texts(written, expressible, vocabulary, standardisation)
    for row, text, molecule in zip(rows, drawn, standardise_many(drawn, standardisation), strict=True):
        if molecule is None and reason_against(text, standardisation) == LENGTH:
            found.append(BadRow(row, f"it has more than {standardisation.max_length:,} characters (max_length)"))
            continue
        try:
            vocabulary.encode(text)
        except UnknownTokenError as error:
            found.append(BadRow(row, f"the policy's vocabulary lacks the token {error.token!r}"))
        else:
            if molecule is None:
                found.append(BadRow(row, "this is no molecule"))
    return found


def report_rows(path: str, rows: Sequence[object], consequence: str = "were left out") -> None:
    """Log rows of a file; the text of each has its line, molecule and reason.

    Args:
        path: the file.
        rows: the rows.
        consequence: what happens to the rows, for the message about rows beyond ``REPORTED_ROWS``.
    """
    _warn([f"{path}, {row}" for row in rows], path, consequence)


def report_bad_rows(
    path: str,
    columns: Sequence[str | None],
    vocabulary: Vocabulary,
    standardisation: Standardisation = Standardisation(),
    *,
    largest_fragment: bool = False,
) -> None:
    """Log the rows of a file that a build would reject, since they are no molecule or not expressible by a policy.

    Only the first rows of a long file are checked, since reading millions of molecules takes many minutes;
    ``report_rejected`` logs the others when they are drawn.
    """
    for rows in _columns_of(Path(path), columns):
        found = bad_rows(rows[:CHECKED_ROWS], vocabulary, standardisation, largest_fragment=largest_fragment)
        report_rows(path, found, "are no molecules, or have tokens that the policy's vocabulary lacks, too")
        if len(rows) > CHECKED_ROWS:
            _logger.info("%s: rows after the first %d are checked when they are drawn", path, CHECKED_ROWS)


def report_rejected(drawn: Draw, judged: Sequence[PairJudgement]) -> None:
    """Log the rows of a file that were rejected in a draw and had not been checked before."""
    if drawn.origins is None or drawn.unchecked is None:
        return
    rejected = [
        f"{at.file}, line {at.line}: {text!r} is rejected by {judgement.target.rejected_by!r}"
        for at, unchecked, text, judgement in zip(drawn.origins, drawn.unchecked, drawn.raw, judged, strict=True)
        if unchecked and judgement.target.rejected_by in _OF_THE_FILE
    ]
    _warn(list(dict.fromkeys(rejected)), "the same draw", "were rejected")


def _warn(rows: Sequence[str], whose: str, consequence: str) -> None:
    for row in rows[:REPORTED_ROWS]:
        _logger.warning("%s", row)
    if len(rows) > REPORTED_ROWS:
        _logger.warning("%s: %d further rows %s", whose, len(rows) - REPORTED_ROWS, consequence)


def _columns_of(path: Path, columns: Sequence[str | None]) -> list[list[FileRow]]:
    """Return the first rows of each column, more than ``CHECKED_ROWS`` if the file has more."""
    rows: list[list[FileRow]] = [[] for _ in columns]
    for block in read_columns(path, columns):
        for found, texts in zip(rows, block.columns, strict=True):
            found += map(FileRow, block.lines, texts)
        if len(rows[0]) > CHECKED_ROWS:
            break
    return rows
