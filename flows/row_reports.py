"""Rows of a file that are left out, named for people: the first ones one by one, the rest by their number."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from samplers.dataset import read_smiles_file, unknown_tokens
from samplers.vocabulary import Vocabulary

REPORTED_ROWS = 20
"""Rows that are named one by one."""

_logger = logging.getLogger(__name__)


def report_rows(path: str, rows: Sequence[object], consequence: str = "were left out") -> None:
    """Logs rows, each with its line, molecule and reason in its text."""
    for row in rows[:REPORTED_ROWS]:
        _logger.warning("%s, %s", path, row)
    if len(rows) > REPORTED_ROWS:
        _logger.warning("%s: %d further rows %s", path, len(rows) - REPORTED_ROWS, consequence)


def report_unknown_tokens(path: str, column: str | None, vocabulary: Vocabulary) -> None:
    """Names the rows of a file of molecules that a policy cannot express: when drawn, they will be rejected."""
    found = unknown_tokens(read_smiles_file(Path(path), column), vocabulary)
    report_rows(path, found, "have tokens that are unknown to the policy, too")
