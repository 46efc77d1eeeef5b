"""DatasetSampler: draws the molecules of a file."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from molbuffer.kinds import checked
from molbuffer.samplers.base import Draw, SamplerSize, encode_rows
from molbuffer.samplers.files import FileSampler, PackedRows, largest_fragments, open_rows, usable_texts
from molbuffer.samplers.tokens import Vocabulary
from molbuffer.scoring import Standardisation


@checked
@dataclass(frozen=True)
class DatasetSampler(FileSampler):
    """Draws the molecules of a file as they are written there, or in canonical form by the rule of ``usable_texts``.

    Attributes:
        path: a file that ``read_columns`` reads.
        column: the column of a table; None is the default of ``read_columns``.
        vocabulary: the vocabulary of the policy in training, for the rows' tokens.
        replacement: whether each row is drawn independently of all others.
        standardisation: the campaign's standardisation, by which canonical forms are made.
        largest_fragment: whether the largest fragment of a salt or mixture is drawn.
        id_column: the column with the ids of the rows, which the store keeps with the samples.

    Example:
        >>> from pathlib import Path
        >>> actives = mb.DatasetSampler("actives", Path("actives.smi"), lab.policy("zinc-gru").vocabulary)
        >>> sorted(actives.draw(3, seed=0).raw)
        ['CCC', 'CCN', 'CCO']
    """

    name: str
    path: Path
    vocabulary: Vocabulary
    _: KW_ONLY
    size: SamplerSize = SamplerSize()
    column: str | None = None
    replacement: bool = False
    standardisation: Standardisation = Standardisation()
    largest_fragment: bool = False
    id_column: str | None = None
    kind: ClassVar[str] = "dataset"

    @property
    def rows(self) -> PackedRows:
        return open_rows(self.path, [self.column], self.id_column)

    def drawn_of(self, rows: PackedRows, chosen: NDArray[np.int64]) -> Draw:
        (smiles,) = rows.take(chosen)
        if self.largest_fragment:
            smiles = largest_fragments(smiles, self.standardisation)
        encoded = encode_rows(smiles, self.vocabulary)
        usable = usable_texts(smiles, (encoded.lengths > 0).tolist(), self.vocabulary, self.standardisation)
        return Draw(usable, encoded if usable == smiles else encode_rows(usable, self.vocabulary))
