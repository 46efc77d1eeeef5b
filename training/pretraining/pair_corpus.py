"""The pairs of a file as something a conditional model can be trained on, and how good the model became."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from molbuffer.samplers.files.text_files import FileRow, read_smiles_file
from molbuffer.samplers.models.condition import Condition
from molbuffer.samplers.models.distribution import UNTRUNCATED
from molbuffer.samplers.policies.drawing import draw_rows
from molbuffer.samplers.policies.policy import Policy
from molbuffer.samplers.seeds import torch_generator
from molbuffer.samplers.tokens.grammars import SMILES, Grammar
from molbuffer.samplers.tokens.vocabulary import Vocabulary
from molbuffer.scoring import ContrastiveTemplate, Standardisation, judge_pairs
from molbuffer.training.pretraining.corpus import Corpus, CorpusBatch, RejectedRow, clean_rows

SOURCE_COLUMN, TARGET_COLUMN = "source", "target"


@dataclass(frozen=True)
class FilePair:
    """A pair as a file has it; ``line`` counts from 1, a header included."""

    line: int
    source: str
    target: str


def read_pairs(path: Path, source_column: str = SOURCE_COLUMN, target_column: str = TARGET_COLUMN) -> list[FilePair]:
    """Reads the two columns of a .csv (also .gz) or .parquet file; a line that lacks one of them has an empty string.

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
        sources, targets: [n] each. rejected: names the end that is at fault.
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
    """Standardises both ends of each pair, salts cut down to their largest fragment.

    A pair with an end that is no molecule, or that ``vocabulary`` (without one, ``grammar``) cannot express, or whose
    ends are one molecule, is reported with its line.
    """
    # At once, since most molecules are the source of some pairs and the target of others.
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
        smiles, tokens, lengths: of the targets.
        sources: the n strings; source_tokens: unsigned [n, S]; source_lengths: [n], END included.
    """

    sources: Sequence[str]
    source_tokens: NDArray[np.unsignedinteger]
    source_lengths: NDArray[np.int32]

    @classmethod
    def split_pairs(cls, pairs: CleanPairs, vocabulary: Vocabulary, held_out: int, seed: int) -> Self:
        """Tokenises pairs and keeps all pairs of some sources apart, of at least one.

        Args:
            pairs: of at least two sources.
            held_out: how many pairs are kept apart at most, and no more than a tenth.

        Raises:
            ValueError: there is only one source.
        """
        if len(set(pairs.sources)) < 2:
            raise ValueError("pairs of one source cannot be split by their sources: expected two or more")
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
            pairs.targets,
            tokens,
            lengths,
            np.flatnonzero(is_apart),
            np.flatnonzero(~is_apart),
            pairs.sources,
            source_tokens,
            source_lengths,
        )

    def batch(self, rows: NDArray[np.int64]) -> CorpusBatch:
        """Some rows as tensors, conditioned on their sources."""
        return replace(super().batch(rows), condition=self.condition(rows))

    def condition(self, rows: NDArray[np.int64]) -> Condition:
        """The sources of some rows."""
        lengths = self.source_lengths[rows]
        tokens = self.source_tokens[rows, : int(lengths.max(initial=1))]
        return Condition(
            sources=torch.from_numpy(tokens.astype(np.int64)), source_lengths=torch.from_numpy(lengths.astype(np.int64))
        )


def pair_quality(policy: Policy, corpus: PairCorpus, draws: int, seed: int) -> dict[str, Any]:
    """What a policy makes of held-out sources: one draw each, of at most ``draws`` pairs.

    Returns:
        ``validity``: parseable / drawn; ``uniqueness``: different molecules / parseable; ``min_similarity`` and
        ``max_similarity``: the bounds between which the given targets of these sources lie;
        ``within_similarity``: drawn targets within these bounds that are not their source / drawn.
    """
    rows = np.random.default_rng(seed).permutation(corpus.held_out)[:draws]
    drawn = draw_rows(policy, len(rows), UNTRUNCATED, torch_generator(seed, "pairs"), corpus.condition(rows))
    sources, given = ([column[row] for row in rows.tolist()] for column in (corpus.sources, corpus.smiles))
    how, template = Standardisation(largest_fragment=True), ContrastiveTemplate()
    known = [each.similarity for each in judge_pairs(given, sources, (), template, how) if each.similarity is not None]
    low, high = min(known), max(known)
    judged = judge_pairs(drawn.raw, sources, (), template, how)
    parseable = [each for each in judged if each.target.smiles is not None]
    within = [
        each for each in parseable if low <= (each.similarity or 0.0) <= high and each.target.smiles != each.source
    ]
    return {
        "drawn": len(rows),
        "validity": len(parseable) / len(rows),
        "uniqueness": len({each.target.smiles for each in parseable}) / len(parseable) if parseable else None,
        "min_similarity": low,
        "max_similarity": high,
        "within_similarity": len(within) / len(rows),
    }
