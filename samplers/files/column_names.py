"""The columns of a table with the molecules, found by name regardless of case."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from molbuffer.samplers.errors import SmilesFileError

SMILES_COLUMNS = ("smiles", "canonical_smiles")
"""The columns that may hold the molecules of a table when no column is named, in order of preference."""


def is_smiles_column(name: str) -> bool:
    """Return whether a name, in any case, is that of a column of molecules."""
    return name.strip().casefold() in SMILES_COLUMNS


def find_columns(
    path: Path, columns: Sequence[str | None], header: Sequence[str], line: int | None = None
) -> list[int]:
    """Return the positions of the wanted columns in the header of a table.

    A column with exactly the wanted name is preferred to one with the name in another case. Blanks around the names of
    the header are ignored.

    Args:
        path: the file, for errors.
        columns: the wanted names; None is the first of ``SMILES_COLUMNS`` that the table has, in any case.
        header: the names of the table's columns.
        line: the line of the header, for errors.

    Raises:
        SmilesFileError: there is no such column, or there are several.
    """
    names = [name.strip() for name in header]
    return [_position(path, column, names, line) for column in columns]


def _position(path: Path, column: str | None, names: Sequence[str], line: int | None) -> int:
    for name in SMILES_COLUMNS if column is None else (column.strip(),):
        alike = [at for at, there in enumerate(names) if there.casefold() == name.casefold()]
        exact = [at for at in alike if names[at] == name] if column is not None else []
        if found := exact or alike:
            if len(found) > 1:
                listed = ", ".join(repr(names[at]) for at in found)
                problem = f"{len(found)} columns have the name {name!r}: {listed}; rename them, so that one is meant"
                raise SmilesFileError(path, problem, line, column or "")
            return found[0]
    wanted = " or ".join(map(repr, SMILES_COLUMNS)) if column is None else repr(column)
    raise SmilesFileError(path, f"there is no column {wanted}; there are: {', '.join(names)}", line, column or "")
