"""PairDatasetSampler: draws the pairs (source, target) of a file."""

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
from molbuffer.scoring import Standardisation, standardise_many


@checked
@dataclass(frozen=True)
class PairDatasetSampler(FileSampler):
    """Draws the pairs of a table, such as one of ``molbuffer pairs``; its rows have no likelihood.

    A target is drawn as it is written, or in canonical form by the rule of ``usable_texts``. A source is drawn in
    canonical form, on which conditional models are trained. A source that is no molecule stays as it is written, and
    has length 0 if the vocabulary cannot express it: its pair is drawn, and rejected by the filters.

    Attributes:
        path: a table that ``read_columns`` reads.
        vocabulary: the vocabulary of the policy in training, for the tokens of sources and targets.
        source_column: the column of the sources.
        target_column: the column of the targets.
        replacement: whether each row is drawn independently of all others.
        standardisation: the campaign's standardisation, by which texts become sources.
        largest_fragment: whether salts and mixtures are replaced by their largest fragment, in sources and targets.
        id_column: the column with the ids of the pairs, which the store keeps with the samples.
    """

    name: str
    path: Path
    vocabulary: Vocabulary
    _: KW_ONLY
    size: SamplerSize = SamplerSize()
    source_column: str = "source"
    target_column: str = "target"
    replacement: bool = False
    standardisation: Standardisation = Standardisation()
    largest_fragment: bool = False
    id_column: str | None = None
    kind: ClassVar[str] = "pair_dataset"

    @property
    def rows(self) -> PackedRows:
        """The pairs of the file, as columns of sources and of targets."""
        return open_rows(self.path, [self.source_column, self.target_column], self.id_column)

    def drawn_of(self, rows: PackedRows, chosen: NDArray[np.int64]) -> Draw:
        written, targets = rows.take(chosen)
        if self.largest_fragment:
            written, targets = (largest_fragments(texts, self.standardisation) for texts in (written, targets))
        molecules = standardise_many(written, self.standardisation)
        smiles = [text if molecule is None else molecule for text, molecule in zip(written, molecules, strict=True)]
        pairs = encode_rows(targets, self.vocabulary, smiles)
        usable = usable_texts(targets, (pairs.lengths > 0).tolist(), self.vocabulary, self.standardisation)
        if usable != targets:
            pairs = encode_rows(usable, self.vocabulary, smiles)
        return Draw(usable, pairs, source_smiles=smiles, source_rows=[None] * len(chosen))
