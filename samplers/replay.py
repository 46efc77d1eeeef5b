"""Rows of the history in the vocabulary of the policy in training, whatever vocabulary they were stored in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molbuffer.samplers.dataset import encode_rows
from molbuffer.samplers.tokens.vocabulary import Vocabulary
from molbuffer.storage.history.index import HistoryIndex, Positions
from molbuffer.storage.records import StoredRows


def expressible(index: HistoryIndex, vocabulary: Vocabulary, *, unparseable: bool = False) -> HistoryIndex:
    """The index less the rows that a vocabulary cannot express: stored in another one with tokens that it lacks.

    Args:
        index: its rows. vocabulary: of the policy in training.
        unparseable: the index has rows that are no molecule. Nobody asked that of them when they were drawn: of a
            file, such a row may have no tokens at all.
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


def stored_rows(index: HistoryIndex, positions: Positions, vocabulary: Vocabulary) -> StoredRows:
    """Rows of an index, those of another vocabulary encoded again: both ends of pairs, with log-probs NaN.

    Their latents are NaN too: these belong to a model that speaks the other vocabulary.

    Args:
        index: rows that the vocabulary can express. positions: int64 [n].
        vocabulary: of the policy in training.
    """
    rows = index.gather(positions)
    native = np.array([sha256 == vocabulary.sha256 for sha256 in index.vocabularies], bool)
    foreign = np.flatnonzero(~native[rows.vocabulary])
    if not len(foreign):
        return rows
    encoded = encode_rows(index.raw(positions[foreign]), vocabulary)
    tokens, lengths = _encoded_again(rows.tokens, rows.lengths, foreign, encoded.tokens, encoded.lengths)
    width = tokens.shape[1]
    log_probs = _widened(rows.log_probs, width)
    log_probs[foreign] = _widened(encoded.log_probs, width)
    rows = replace(rows, tokens=tokens.astype(vocabulary.dtype), lengths=lengths, log_probs=log_probs)
    for name in ("latents", "latent_log_probs"):
        if (numbers := getattr(rows, name)) is not None:
            numbers[foreign] = np.nan
    if rows.source_tokens is None or rows.source_lengths is None:
        return rows
    sources = _encoded_sources(index.read("source_smiles", positions[foreign]), vocabulary)
    tokens, lengths = _encoded_again(rows.source_tokens, rows.source_lengths, foreign, *sources)
    return replace(rows, source_tokens=tokens.astype(vocabulary.dtype), source_lengths=lengths)


def _encoded_sources(
    smiles: Sequence[str | None], vocabulary: Vocabulary
) -> tuple[NDArray[np.unsignedinteger], NDArray[np.int32]]:
    """The tokens of sources, of length 0 where there is none."""
    encoded = encode_rows([text or "" for text in smiles], vocabulary)
    there = np.array([text is not None for text in smiles], bool)
    return np.where(there[:, None], encoded.tokens, 0), np.where(there, encoded.lengths, 0).astype(np.int32)


def _encoded_again(
    tokens: NDArray[np.unsignedinteger],
    lengths: NDArray[np.int32],
    rows: NDArray[np.int64],
    new_tokens: NDArray[np.unsignedinteger],
    new_lengths: NDArray[np.int32],
) -> tuple[NDArray[np.unsignedinteger], NDArray[np.int32]]:
    """Tokens and lengths of which some rows are replaced."""
    width = max(tokens.shape[1], new_tokens.shape[1])
    tokens = _widened(tokens, width).astype(np.result_type(tokens.dtype, new_tokens.dtype))
    tokens[rows] = _widened(new_tokens, width)
    lengths = lengths.copy()
    lengths[rows] = new_lengths
    return tokens, lengths


def _widened(rows: NDArray[Any], width: int) -> NDArray[Any]:
    return np.pad(rows, ((0, 0), (0, width - rows.shape[1])))
