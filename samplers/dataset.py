"""Molecules from files: reading them, and DatasetSampler, which draws from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samplers.base import Drawn, SamplerSize
from samplers.epochs import Place, rows_from, rows_of_draw
from samplers.errors import SmilesFileError, UnknownTokenError
from samplers.packed_rows import PackedRows, open_rows
from samplers.seeds import numpy_generator
from samplers.text_files import read_columns
from samplers.vocabulary import Vocabulary
from scoring import standardise_many


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
    rows = [
        FileRow(line, text)
        for block in read_columns(path, [column])
        for line, text in zip(block.lines, block.columns[0], strict=True)
    ]
    if not rows:
        raise SmilesFileError(f"{path} holds no molecule")
    return rows


@dataclass(frozen=True)
class BadRow:
    """A row of a file that is rejected when it is drawn, and why."""

    row: FileRow
    reason: str

    def __str__(self) -> str:
        return f"line {self.row.line}: {self.row.smiles!r}: {self.reason}; it is rejected when it is drawn"


def bad_rows(rows: Sequence[FileRow], vocabulary: Vocabulary) -> list[BadRow]:
    """The rows that are no molecule, or that a vocabulary cannot express."""
    found = []
    for row, molecule in zip(rows, standardise_many([row.smiles for row in rows]), strict=True):
        try:
            vocabulary.encode(row.smiles)
        except UnknownTokenError as error:
            found.append(BadRow(row, f"the policy's vocabulary lacks the token {error.token!r}"))
        else:
            if molecule is None:
                found.append(BadRow(row, "this is no molecule"))
    return found


@dataclass(frozen=True)
class DatasetSampler:
    """Draws the molecules of a file, as written there.

    Without replacement, a run goes through the whole file, in random order, before a row comes again, in another order.
    How far it has come is the number of rows that its builds have drawn, rejected ones included, in the order in which
    they were made. The store has that number: builds of earlier iterations are in it when an iteration begins, or
    begins again. Within one, whoever trains adds up what was drawn live and what builds of the buffer report, and tells
    each build, so that one which is made again begins where it began before. Inside a contrastive or a mutation
    sampler it is what that one has drawn that tells how far the file was gone through.

    Attributes:
        path, column: as of ``read_columns``.
        vocabulary: gives the vocabulary of the policy in training, for the rows' tokens.
        replacement: draw each row independently of all others.
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

    @property
    def goes_on(self) -> bool:
        """Whether a run goes through the whole file before a row comes again."""
        return not self.replacement

    @property
    def rows(self) -> PackedRows:
        """The molecules of the file, of which none is held in memory."""
        return open_rows(self.path, [self.column])

    def draw(self, n: int, seed: int) -> Drawn:
        """Draws n rows in an order that is this draw's own; more than the file has are drawn from several epochs."""
        rng = numpy_generator(seed, "rows")
        return self._drawn(rows_of_draw(len(self.rows), n, rng, replacement=self.replacement))

    def draw_from(self, place: Place, n: int, seed: int) -> Drawn:
        return self._drawn(rows_from(len(self.rows), place.start, n, place.seed))

    def _drawn(self, chosen: NDArray[np.int64]) -> Drawn:
        (smiles,) = self.rows.take(chosen)
        return encode_rows(smiles, self.vocabulary())


def encode_rows(smiles: Sequence[str], vocabulary: Vocabulary) -> Drawn:
    """Rows without a likelihood: log-probabilities NaN; length 0 where the vocabulary cannot express the string."""
    tokens, lengths = vocabulary.encode_expressible(smiles)
    log_probs = np.where(np.arange(tokens.shape[1]) < lengths[:, None], np.nan, 0).astype(np.float32)
    return Drawn(list(smiles), tokens, lengths, log_probs, vocabulary)
