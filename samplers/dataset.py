"""Molecules from files: reading them, and DatasetSampler, which draws from them."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from samplers.base import Drawn, SamplerSize
from samplers.errors import SmilesFileError, UnknownTokenError
from samplers.seeds import numpy_generator
from samplers.vocabulary import PAD, Vocabulary

SMILES_COLUMNS = ("smiles", "SMILES", "canonical_smiles", "Smiles")
"""Where the molecules of a table are looked for when no column is named."""


@dataclass(frozen=True)
class FileRow:
    """A molecule as a file has it; ``line`` counts from 1, a header included."""

    line: int
    smiles: str


def read_smiles_file(path: Path, column: str | None = None) -> list[FileRow]:
    """Reads a .smi, .txt, .csv or .parquet file, the text ones optionally compressed as .gz; blank lines are skipped.

    In a .smi file the first word of a line is the molecule and the rest its name; a first line that starts with the
    name of a column, such as ``SMILES``, is a header.

    Args:
        path: the file.
        column: of a table; by default the first of ``SMILES_COLUMNS`` that it has.

    Raises:
        SmilesFileError: the file cannot be read, has another format, lacks the column, or holds no molecule.
    """
    suffix = next((s.lower() for s in reversed(path.suffixes) if s != ".gz"), "")
    try:
        if suffix in (".smi", ".smiles", ".txt", ".ism"):
            rows = _read_lines(path)
        elif suffix == ".csv":
            rows = _read_table(pl.read_csv(path, infer_schema=False), column, path, first_line=2)
        elif suffix == ".parquet":
            rows = _read_table(pl.read_parquet(path), column, path, first_line=1)
        else:
            raise SmilesFileError(f"{path}: expected a .smi, .txt, .csv or .parquet file (or .gz of a text one)")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, pl.exceptions.PolarsError) as error:
        raise SmilesFileError(f"{path} cannot be read: {error}") from error
    if not rows:
        raise SmilesFileError(f"{path} holds no molecule")
    return rows


def _read_lines(path: Path) -> list[FileRow]:
    opener = gzip.open if path.suffix == ".gz" else open
    # utf-8-sig: the byte order mark that some editors write would become part of the first molecule.
    with opener(path, "rt", encoding="utf-8-sig") as lines:
        words = ((number, line.split(maxsplit=1)) for number, line in enumerate(lines, 1))
        rows = [FileRow(number, first[0]) for number, first in words if first]
    return rows[1:] if rows and rows[0].smiles in SMILES_COLUMNS else rows


def _read_table(table: pl.DataFrame, column: str | None, path: Path, first_line: int) -> list[FileRow]:
    wanted = column or next((name for name in SMILES_COLUMNS if name in table.columns), None)
    if wanted is None or wanted not in table.columns:
        got = ", ".join(table.columns)
        raise SmilesFileError(f"{path} has no column {wanted or ' or '.join(SMILES_COLUMNS)!r}; it has: {got}")
    texts = table[wanted].cast(pl.String).str.strip_chars().to_list()
    return [FileRow(line, text) for line, text in enumerate(texts, first_line) if text]


@dataclass(frozen=True)
class UnknownToken:
    """A row of a file that a vocabulary cannot express, and the token that it lacks."""

    row: FileRow
    token: str

    def __str__(self) -> str:
        return (
            f"line {self.row.line}: {self.row.smiles!r}: the policy's vocabulary lacks the token {self.token!r}; "
            "it is rejected when it is drawn"
        )


def unknown_tokens(rows: Sequence[FileRow], vocabulary: Vocabulary) -> list[UnknownToken]:
    """The rows that a vocabulary cannot express."""
    found = []
    for row in rows:
        try:
            vocabulary.encode(row.smiles)
        except UnknownTokenError as error:
            found.append(UnknownToken(row, error.token))
    return found


@dataclass(frozen=True)
class DatasetSampler:
    """Draws the molecules of a file, as written there.

    Attributes:
        path, column: as of ``read_smiles_file``.
        vocabulary: gives the vocabulary of the policy in training, for the rows' tokens.
        replacement: draw each row independently; otherwise a draw has no row twice and ends when the file does.
    """

    name: str
    path: Path
    vocabulary: Callable[[], Vocabulary]
    size: SamplerSize = SamplerSize()
    column: str | None = None
    replacement: bool = False
    kind: str = "dataset"
    policy_sha256: None = None
    sampling: None = None

    @cached_property
    def rows(self) -> list[FileRow]:
        """The molecules of the file, read once."""
        return read_smiles_file(self.path, self.column)

    def draw(self, n: int, seed: int) -> Drawn:
        """Draws rows at random; without replacement at most as many as the file has."""
        rng = numpy_generator(seed)
        n_rows = len(self.rows)
        chosen = rng.integers(n_rows, size=n) if self.replacement else rng.permutation(n_rows)[:n]
        return encode_rows([self.rows[i].smiles for i in chosen], self.vocabulary())


def encode_rows(smiles: Sequence[str], vocabulary: Vocabulary) -> Drawn:
    """Rows without a likelihood: log-probabilities NaN; length 0 where the vocabulary cannot express the string."""
    expressible: NDArray[np.bool_] = np.fromiter((vocabulary.can_encode(text) for text in smiles), bool, len(smiles))
    known_tokens, known_lengths = vocabulary.encode_many(
        [text for text, ok in zip(smiles, expressible, strict=True) if ok]
    )
    tokens = np.full((len(smiles), known_tokens.shape[1]), PAD, vocabulary.dtype)
    lengths = np.zeros(len(smiles), np.int32)
    tokens[expressible], lengths[expressible] = known_tokens, known_lengths
    log_probs = np.where(np.arange(tokens.shape[1]) < lengths[:, None], np.nan, 0).astype(np.float32)
    return Drawn(list(smiles), tokens, lengths, log_probs, vocabulary)
