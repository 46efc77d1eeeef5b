"""Forms of score errors: error texts that differ only in numbers, ids or the molecule's SMILES have the same form."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

PLACEHOLDER = "#"

_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_WITH_DIGIT = r"[-+]?[\w.]*\d[\w.]*(?:[-+:][\w.]*\d[\w.]*)*"
ERROR_VALUES = f"{_UUID}|{_WITH_DIGIT}"
"""Matches ids, and words with a digit: numbers with their sign, decimals and exponent, times, hexadecimal sums.

It has no look-around, which DuckDB lacks, so that Python and DuckDB match the same text.
"""


def error_form(error: str, smiles: str) -> str:
    """Return the form of an error: its text without the molecule's SMILES, and with ``#`` for each number or id.

    Args:
        error: the text.
        smiles: the molecule whose score failed.
    """
    # Only whole words match: the SMILES of methane, C, is a part of every word with a C.
    text = re.sub(rf"(?<!\w){re.escape(smiles)}(?!\w)", "", error) if smiles else error
    return re.sub(ERROR_VALUES, PLACEHOLDER, text)


def commonest_error(errors: Iterable[tuple[str, str]]) -> tuple[str, int] | None:
    """Return an example of the commonest form of error and its number of molecules; None without errors.

    The example is the alphabetically first error of the form. Of equally common forms, the one with the alphabetically
    first example is taken.

    Args:
        errors: the SMILES and the error of each failed score, with its component if there are several.
    """
    molecules, examples = defaultdict[str, set[str]](set), dict[str, str]()
    for smiles, error in errors:
        form = error_form(error, smiles)
        molecules[form].add(smiles)
        examples[form] = min(error, examples.get(form, error))
    if not molecules:
        return None
    form = min(molecules, key=lambda each: (-len(molecules[each]), examples[each]))
    return examples[form], len(molecules[form])
