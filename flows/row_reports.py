"""Rows of a file that are left out, named for people: the first ones one by one, the rest by their number."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from samplers.dataset import FileRow, bad_rows
from samplers.errors import SmilesFileError
from samplers.text_files import read_columns
from samplers.vocabulary import Vocabulary

REPORTED_ROWS = 20
"""Rows that are named one by one."""
CHECKED_ROWS = 20_000
"""Rows of a sampler's file that are looked at before a run begins: seconds."""

_logger = logging.getLogger(__name__)


def report_rows(path: str, rows: Sequence[object], consequence: str = "were left out") -> None:
    """Logs rows, each with its line, molecule and reason in its text."""
    for row in rows[:REPORTED_ROWS]:
        _logger.warning("%s, %s", path, row)
    if len(rows) > REPORTED_ROWS:
        _logger.warning("%s: %d further rows %s", path, len(rows) - REPORTED_ROWS, consequence)


def report_bad_rows(path: str, columns: Sequence[str | None], vocabulary: Vocabulary) -> None:
    """Names the rows of a file that are no molecule or that a policy cannot express: when drawn, they are rejected.

    Of a long file only the first rows are looked at, since reading millions of molecules takes many minutes.
    """
    for rows in _columns_of(Path(path), columns):
        found = bad_rows(rows[:CHECKED_ROWS], vocabulary)
        report_rows(path, found, "are no molecules or have tokens that are unknown to the policy, too")
        if len(rows) > CHECKED_ROWS:
            _logger.info("%s: rows after the first %d are looked at when they are drawn", path, CHECKED_ROWS)


def _columns_of(path: Path, columns: Sequence[str | None]) -> list[list[FileRow]]:
    """The first rows of each column, one more than are looked at."""
    rows: list[list[FileRow]] = [[] for _ in columns]
    for block in read_columns(path, columns):
        for found, texts in zip(rows, block.columns, strict=True):
            found += map(FileRow, block.lines, texts)
        if len(rows[0]) > CHECKED_ROWS:
            break
    if not rows[0]:
        raise SmilesFileError(f"{path} holds no molecule")
    return rows
