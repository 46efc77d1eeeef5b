"""What errors of scores have in common: texts that differ in numbers, ids and the molecule that they name are one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

PLACEHOLDER = "#"

_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_WITH_DIGIT = r"[-+]?[\w.]*\d[\w.]*(?:[-+:][\w.]*\d[\w.]*)*"
ERROR_VALUES = f"{_UUID}|{_WITH_DIGIT}"
"""Matches ids, and words with a digit: numbers with their sign, decimals and exponent, times, hexadecimal sums.

Python and DuckDB, whose expressions have no look-around, read it alike.
"""


def error_form(error: str, smiles: str) -> str:
    """Return what an error says, whatever its numbers, ids and molecule are.

    Args:
        error: the text.
        smiles: the molecule whose score failed.
    """
    # The SMILES of methane stands in every word with a C, which are not meant.
    text = re.sub(rf"(?<!\w){re.escape(smiles)}(?!\w)", "", error) if smiles else error
    return re.sub(ERROR_VALUES, PLACEHOLDER, text)


def commonest_error(errors: Iterable[tuple[str, str]]) -> tuple[str, int] | None:
    """Return an error of the commonest form with the number of molecules that have one of it; None without errors.

    Of several errors of a form it is the first in the order of the alphabet, and so it is of several forms.

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
