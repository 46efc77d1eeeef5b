"""Stored rows for samplers, in the vocabulary of the policy in training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from molbuffer.samplers.base import encode_rows
from molbuffer.samplers.tokens import Vocabulary
from molbuffer.storage import HistoryIndex, Positions, Rows


def expressible(index: HistoryIndex, vocabulary: Vocabulary, *, unparseable: bool = False) -> HistoryIndex:
    """Return the index without the rows of other vocabularies that a vocabulary cannot express.

    Args:
        index: the rows.
        vocabulary: the vocabulary of the policy in training.
        unparseable: whether the index has rows that are no molecule. Whether these are expressible was not checked
            when they were drawn, and a row of a file may have no tokens at all.
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

    Rows that are encoded again keep nothing of the model that drew them: log-probabilities and latents are NaN.

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
