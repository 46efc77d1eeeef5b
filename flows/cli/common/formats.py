"""The formats of rows, and the endings of file names that select them, for every command."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from pathlib import Path

from molbuffer.flows.errors import UsageError


class Format(StrEnum):
    """A format of rows."""

    TABLE = "table"
    CSV = "csv"
    TSV = "tsv"
    JSON = "json"
    JSONL = "jsonl"
    PARQUET = "parquet"
    SMILES = "smiles"
    """The column ``smiles`` alone, a molecule in each line."""
    SDF = "sdf"
    """The molecules of the column ``smiles`` with 2D coordinates, and all columns as their properties."""


ENDINGS = {
    ".txt": Format.TABLE,
    ".csv": Format.CSV,
    ".tsv": Format.TSV,
    ".json": Format.JSON,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".parquet": Format.PARQUET,
    ".smi": Format.SMILES,
    ".smiles": Format.SMILES,
    ".sdf": Format.SDF,
}
"""The format of a file by the ending of its name in lower case."""
COMPRESSED = ".gz"
"""The additional ending of a compressed text file."""
EVERY = frozenset(Format)


def chosen_format(
    form: Format | None,
    out: Path | None,
    *,
    allowed: Collection[Format] = EVERY,
    default: Format = Format.TABLE,
    of_text: Format = Format.TABLE,
) -> Format:
    """Return the format of rows: the given one, else that of the file's ending, else the default.

    A command calls this before any other work.

    Args:
        form: the value of ``--format``; None if it is not given.
        out: the file; None is standard output.
        allowed: the formats that the rows can have.
        default: the format on standard output.
        of_text: the format of a .txt file.

    Raises:
        UsageError: the ending is not known, the rows cannot have the format, or Parquet would go to standard output.
    """
    endings = ENDINGS | {".txt": of_text}
    name = "" if out is None else out.name.lower().removesuffix(COMPRESSED)
    chosen = form or (default if out is None else endings.get(Path(name).suffix))
    # Parquet files are compressed already, so the ending .gz is refused for them.
    packed = chosen is Format.PARQUET and out is not None and is_compressed(out)
    if chosen is None or chosen not in allowed or packed:
        known = " ".join(ending for ending, each in endings.items() if each in allowed)
        given = f"--format {chosen}" if form is not None and not packed else f"--out {out}"
        raise UsageError(
            f"expected a file name that ends in one of {known} (a text also with {COMPRESSED}), got {given}"
        )
    if chosen is Format.PARQUET and out is None:
        raise UsageError("the format parquet needs --out FILE, because Parquet is not text")
    return chosen


def is_compressed(out: Path) -> bool:
    """Return whether a file is written compressed, which the ending of its name decides."""
    return out.name.lower().endswith(COMPRESSED)
