"""Corpora of pairs: the pairs of a file, standardised, tokenised and split for pretraining of a conditional model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from molbuffer.samplers import SMILES, FileRow, Grammar, Vocabulary, read_smiles_file
from molbuffer.samplers.models import Condition
from molbuffer.training.pretraining.corpus import Corpus, CorpusBatch, RejectedRow, clean_rows

SOURCE_COLUMN, TARGET_COLUMN = "source", "target"


@dataclass(frozen=True)
class FilePair:
    """A pair of a file.

    Attributes:
        line: the line in the file, counted from 1, a header included.
        source: the string of the source.
        target: the string of the target.
    """

    line: int
    source: str
    target: str


def read_pairs(path: Path, source_column: str = SOURCE_COLUMN, target_column: str = TARGET_COLUMN) -> list[FilePair]:
    """Read the two columns of a .csv or .tsv (each also .gz) or .parquet file; a missing value is an empty string.

    Raises:
        SmilesFileError: the file cannot be read, lacks a column, or has a column without any molecule.
    """
    columns = [
        {row.line: row.smiles for row in read_smiles_file(path, column)} for column in (source_column, target_column)
    ]
    lines = sorted({line for column in columns for line in column})
    return [FilePair(line, *(column.get(line, "") for column in columns)) for line in lines]


@dataclass(frozen=True)
class CleanPairs:
    """The distinct pairs of a file, in the order of the file, and the rows that were left out.

    Attributes:
        sources: the canonical SMILES of the sources [n].
        targets: the canonical SMILES of the targets [n].
        rejected: the rows that were left out; the reason names the source or the target.
        duplicates: the number of rows that repeat an earlier pair.
    """

    sources: Sequence[str]
    targets: Sequence[str]
    rejected: Sequence[RejectedRow]
    duplicates: int

    def __len__(self) -> int:
        return len(self.sources)


def clean_pairs(
    pairs: Sequence[FilePair], vocabulary: Vocabulary | None = None, grammar: Grammar = SMILES
) -> CleanPairs:
    """Standardise the source and the target of each pair; salts are cut down to their largest fragment.

    A pair is rejected if one of both is not a molecule or cannot be expressed, or if both are the same molecule.

    Args:
        pairs: the pairs of the file.
        vocabulary: the vocabulary that must express the molecules; None checks only that the grammar can split them.
        grammar: the grammar, for None as the vocabulary.
    """
    # Sources and targets together, since most molecules are the source of some pairs and the target of others.
    ends = clean_rows(
        [FileRow(pair.line, pair.source) for pair in pairs] + [FileRow(pair.line, pair.target) for pair in pairs],
        vocabulary,
        grammar,
    )
    sources, targets = ends[: len(pairs)], ends[len(pairs) :]
    clean: dict[tuple[str, str], None] = {}
    rejected: list[RejectedRow] = []
    for pair, source, target in zip(pairs, sources, targets, strict=True):
        if isinstance(source, RejectedRow):
            rejected.append(replace(source, reason=f"the source {source.reason}"))
        elif isinstance(target, RejectedRow):
            rejected.append(replace(target, reason=f"the target {target.reason}"))
        elif source == target:
            rejected.append(RejectedRow(pair.line, pair.target, "the target is the source"))
        else:
            clean[source, target] = None
    return CleanPairs(
        [source for source, _ in clean],
        [target for _, target in clean],
        rejected,
        len(pairs) - len(rejected) - len(clean),
    )


@dataclass(frozen=True)
class PairCorpus(Corpus):
    """Tokenised pairs, split at random by source: held-out pairs and training pairs have no source in common.

    Attributes:
        smiles: the targets [n].
        tokens: the tokens of the targets, unsigned integers [n, L].
        lengths: the number of tokens of each target, END included, int32 [n].
        sources: the sources [n].
        source_tokens: the tokens of the sources, unsigned integers [n, S].
        source_lengths: the number of tokens of each source, END included, int32 [n].
    """

    sources: Sequence[str]
    source_tokens: NDArray[np.unsignedinteger]
    source_lengths: NDArray[np.int32]

    @classmethod
    def split_pairs(cls, pairs: CleanPairs, vocabulary: Vocabulary, held_out: int, seed: int) -> Self:
        """Tokenise pairs, and hold out all pairs of some random sources, of at least one.

        Args:
            pairs: pairs of at least two sources.
            vocabulary: the vocabulary of the sources and the targets.
            held_out: the most pairs that are held out, at most a tenth of all; if no source has so few pairs, the
                source with the fewest pairs is held out.
            seed: the seed of the split.

        Raises:
            ValueError: there is only one source.
        """
        if len(set(pairs.sources)) < 2:
            raise ValueError(
                f"expected pairs of two or more sources, by which they are split; got {sorted(set(pairs.sources))}"
            )
        tokens, lengths = vocabulary.encode_many(pairs.targets)
        source_tokens, source_lengths = vocabulary.encode_many(pairs.sources)
        counts = Counter(pairs.sources)
        items = list(counts.items())
        apart: set[str] = set()
        left = min(held_out, len(pairs) // 10)
        for number in np.random.default_rng(seed).permutation(len(items)).tolist():
            source, of_source = items[number]
            if of_source <= left:
                apart.add(source)
                left -= of_source
        apart = apart or {min(counts, key=lambda source: counts[source])}
        is_apart = np.array([source in apart for source in pairs.sources], bool)
        return cls(
            smiles=pairs.targets,
            tokens=tokens,
            lengths=lengths,
            held_out=np.flatnonzero(is_apart),
            training=np.flatnonzero(~is_apart),
            sources=pairs.sources,
            source_tokens=source_tokens,
            source_lengths=source_lengths,
        )

    def batch(self, rows: NDArray[np.int64]) -> CorpusBatch:
        """Return some rows as a batch of tensors, conditioned on their sources."""
        return replace(super().batch(rows), condition=self.condition(rows))

    def condition(self, rows: NDArray[np.int64]) -> Condition:
        """Return the sources of some rows as a condition."""
        lengths = self.source_lengths[rows]
        tokens = self.source_tokens[rows, : int(lengths.max(initial=1))]
        return Condition(
            sources=torch.from_numpy(tokens.astype(np.int64)), source_lengths=torch.from_numpy(lengths.astype(np.int64))
        )
