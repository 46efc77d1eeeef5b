"""The formats of rows: the one place that says what the ending of a file means, for every command."""

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
"""The format of a file by the ending of its name, in small letters."""
COMPRESSED = ".gz"
"""The ending that follows that of a text which is compressed."""
EVERY = frozenset(Format)


def chosen_format(
    form: Format | None,
    out: Path | None,
    *,
    allowed: Collection[Format] = EVERY,
    default: Format = Format.TABLE,
    of_text: Format = Format.TABLE,
) -> Format:
    """Return the format of rows: the given one, else that of the file's ending, else the default. To be called before
    any work.

    Args:
        form: what ``--format`` says.
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
    # Parquet is compressed by itself.
    packed = chosen is Format.PARQUET and out is not None and is_compressed(out)
    if chosen is None or chosen not in allowed or packed:
        known = " ".join(ending for ending, each in endings.items() if each in allowed)
        given = f"--format {chosen}" if form is not None and not packed else f"--out {out}"
        raise UsageError(f"expected a file that ends in one of {known} (after a text also {COMPRESSED}), got {given}")
    if chosen is Format.PARQUET and out is None:
        raise UsageError("the format parquet needs --out FILE, because Parquet is not text")
    return chosen


def is_compressed(out: Path) -> bool:
    """Return whether a file is to be compressed, by its name."""
    return out.name.lower().endswith(COMPRESSED)
