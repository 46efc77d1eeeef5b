"""Stored rows for samplers, in the vocabulary of the policy in training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from molbuffer.samplers.base import encode_rows
from molbuffer.samplers.tokens import Vocabulary
from molbuffer.scoring import random_smiles
from molbuffer.storage import HistoryIndex, Positions, Rows

LARGEST_SEED = 2**31 - 1
"""The largest seed that RDKit takes."""


def expressible(index: HistoryIndex, vocabulary: Vocabulary, *, unparseable: bool = False) -> HistoryIndex:
    """Return the index without the rows of other vocabularies that a vocabulary cannot express.

    Args:
        index: the rows.
        vocabulary: the vocabulary of the policy in training.
        unparseable: whether the index has rows that are no molecule. These were not checked for tokens when they were
            drawn, so that a row of a file may have none; they are checked here.
    """
    vocabularies = [sha256 != vocabulary.sha256 for sha256 in index.builds["vocabulary_sha256"].to_pylist()]
    without_policy = [unparseable and sha256 is None for sha256 in index.policy_sha256s]
    foreign_builds = np.array(vocabularies, bool) | np.array(without_policy, bool)
    foreign = np.flatnonzero(foreign_builds[index.build_numbers])
    raw = index.raw(foreign) if len(foreign) else []
    lacking = {at for at, text in zip(foreign.tolist(), raw, strict=True) if not vocabulary.can_encode(text)}
    if index.sources and len(foreign):
        sources = zip(foreign.tolist(), index.read("source_smiles", foreign), strict=True)
        lacking |= {at for at, text in sources if text is not None and not vocabulary.can_encode(text)}
    return index.without(np.array(sorted(lacking), np.int64)) if lacking else index


def stored_rows(index: HistoryIndex, positions: Positions, vocabulary: Vocabulary) -> Rows:
    """Return rows of an index in a vocabulary; rows of another vocabulary are encoded again, both ends of pairs.

    Rows that are encoded again lose the columns of the model that drew them: log-probabilities and latents are NaN.

    Args:
        index: rows that the vocabulary can express.
        positions: int64 [n], the rows to return.
        vocabulary: the vocabulary of the policy in training.
    """
    rows = index.gather(positions)
    if (truncated := index.truncated[positions]).any():
        rows = replace(rows, truncated=truncated.astype(np.uint8))
    native = np.array([sha256 == vocabulary.sha256 for sha256 in index.vocabularies], bool)
    foreign = np.flatnonzero(~native[index.vocabulary_numbers(positions)])
    if len(foreign):
        sources = None if rows.source_tokens is None else index.read("source_smiles", positions[foreign])
        encoded = encode_rows(index.raw(positions[foreign]), vocabulary, sources)
        encoded = replace(encoded, rewards=index.rewards[positions[foreign]])
        rows = Rows.placed(len(rows), [(slice(None), rows), (foreign, encoded)])
    return replace(rows, vocabulary_sha256=vocabulary.sha256)


def randomised(rows: Rows, vocabulary: Vocabulary, rng: np.random.Generator) -> Rows:
    """Return each row as a randomised SMILES of its molecule, with its reward, source and weight.

    Such a row loses the columns of the policy that drew it: log-probabilities and latents are NaN, and it counts as not
    truncated. A row that is no molecule, or whose randomised SMILES the vocabulary cannot express, stays as it is.

    Args:
        rows: rows [n] in the vocabulary.
        vocabulary: the vocabulary.
        rng: the source of randomness for the order of atoms of each row.
    """
    texts = vocabulary.decode(rows.tokens, rows.lengths)
    others = random_smiles(texts, rng.integers(1, LARGEST_SEED, len(rows)).tolist())
    encoded = encode_rows([text or "" for text in others], vocabulary)
    changed = np.flatnonzero((encoded.lengths > 0) & np.array([text is not None for text in others], bool))
    if not len(changed):
        return rows
    kept = rows.take(changed)
    beside = {name: getattr(kept, name) for name in ("rewards", "source_tokens", "source_lengths", "weights")}
    encoded = replace(encoded.take(changed), **beside)
    return replace(
        Rows.placed(len(rows), [(slice(None), rows), (changed, encoded)]), vocabulary_sha256=vocabulary.sha256
    )
