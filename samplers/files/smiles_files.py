"""The molecules of a file, each with its line: for those who want them all at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from molbuffer.samplers.files.text_files import read_columns


@dataclass(frozen=True)
class FileRow:
    """A molecule as a file has it; ``line`` counts from 1, a header included."""

    line: int
    smiles: str


def read_smiles_file(path: Path, column: str | None = None) -> list[FileRow]:
    """All molecules of a .smi, .txt, .csv or .parquet file, as ``read_columns`` reads them; blank ones are skipped.

    Args:
        path: the file.
        column: of a table; by default the first of ``SMILES_COLUMNS`` that it has.

    Raises:
        SmilesFileError: the file cannot be read, has another format, lacks the column, or holds no molecule.
    """
    return [
        FileRow(line, text)
        for block in read_columns(path, [column])
        for line, text in zip(block.lines, block.columns[0], strict=True)
    ]
