"""A file of pairs as a corpus that a conditional model can be trained on."""

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
    """A pair of a file; ``line`` counts from 1, a header included."""

    line: int
    source: str
    target: str


def read_pairs(path: Path, source_column: str = SOURCE_COLUMN, target_column: str = TARGET_COLUMN) -> list[FilePair]:
    """Read the two columns of a .csv or .tsv (each also .gz) or .parquet file; a missing value is an empty string.

    Raises:
        SmilesFileError: the file cannot be read, lacks a column, or holds no molecule there.
    """
    columns = [
        {row.line: row.smiles for row in read_smiles_file(path, column)} for column in (source_column, target_column)
    ]
    lines = sorted({line for column in columns for line in column})
    return [FilePair(line, *(column.get(line, "") for column in columns)) for line in lines]


@dataclass(frozen=True)
class CleanPairs:
    """The distinct pairs of a file as canonical SMILES, in the file's order, and the rows that were left out.

    Attributes:
        sources: the sources [n].
        targets: the targets [n].
        rejected: the rows left out, with the faulty end in the reason.
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
    """Standardise both ends of each pair; salts are cut down to their largest fragment.

    A pair with an end that is no molecule, or that ``vocabulary`` (without one, ``grammar``) cannot express, or whose
    ends are one molecule, is returned as rejected, with its line.
    """
    # Both ends together, since most molecules are the source of some pairs and the target of others.
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
    """Tokenised pairs, split at random by their sources: no source of a held-out pair is one of a training pair.

    Attributes:
        smiles: the targets [n].
        tokens: unsigned [n, L], of the targets.
        lengths: [n], of the targets, END included.
        sources: the sources [n].
        source_tokens: unsigned [n, S].
        source_lengths: [n], END included.
    """

    sources: Sequence[str]
    source_tokens: NDArray[np.unsignedinteger]
    source_lengths: NDArray[np.int32]

    @classmethod
    def split_pairs(cls, pairs: CleanPairs, vocabulary: Vocabulary, held_out: int, seed: int) -> Self:
        """Tokenise pairs and hold out all pairs of some sources, of at least one.

        Args:
            pairs: pairs of at least two sources.
            vocabulary: the vocabulary that both ends are encoded in.
            held_out: the most pairs that are held out; never more than a tenth.
            seed: the seed of the split.

        Raises:
            ValueError: there is only one source.
        """
        if len(set(pairs.sources)) < 2:
            raise ValueError(
                f"expected pairs of two or more sources, to be split by them; got {sorted(set(pairs.sources))}"
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
        """Return some rows as tensors, conditioned on their sources."""
        return replace(super().batch(rows), condition=self.condition(rows))

    def condition(self, rows: NDArray[np.int64]) -> Condition:
        """Return the sources of some rows as a condition."""
        lengths = self.source_lengths[rows]
        tokens = self.source_tokens[rows, : int(lengths.max(initial=1))]
        return Condition(
            sources=torch.from_numpy(tokens.astype(np.int64)), source_lengths=torch.from_numpy(lengths.astype(np.int64))
        )
