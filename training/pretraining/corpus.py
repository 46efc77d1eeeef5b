"""Corpora: the molecules of a file, standardised, tokenised and split for pretraining."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molbuffer.samplers import SMILES, FileRow, Grammar, UnknownTokenError, Vocabulary
from molbuffer.samplers.models import UNCONDITIONED, Condition
from molbuffer.scoring import LENGTH, MAX_LENGTH, Standardisation, reason_against, standardise_many


@dataclass(frozen=True)
class RejectedRow:
    """A row of a file that was left out.

    Attributes:
        line: the line in the file.
        smiles: the string of the row.
        reason: why it was left out.
    """

    line: int
    smiles: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.smiles!r}: {self.reason}"


@dataclass(frozen=True)
class CleanMolecules:
    """The distinct molecules of a file, and the rows that were left out.

    Attributes:
        smiles: the canonical SMILES of the molecules, in the order of the file.
        rejected: the rows that were left out.
        duplicates: the number of rows that repeat an earlier molecule.
    """

    smiles: Sequence[str]
    rejected: Sequence[RejectedRow]
    duplicates: int


def clean_molecules(
    rows: Sequence[FileRow], vocabulary: Vocabulary | None = None, grammar: Grammar = SMILES
) -> CleanMolecules:
    """Standardise the molecules of a file.

    Salts are cut down to their largest fragment. A row is rejected if it is not a molecule, or if the vocabulary cannot
    express it.

    Args:
        rows: the rows of the file.
        vocabulary: the vocabulary that must express the molecules; None checks only that the grammar can split them.
        grammar: the grammar, for None as the vocabulary.
    """
    found = clean_rows(rows, vocabulary, grammar)
    rejected = [each for each in found if isinstance(each, RejectedRow)]
    smiles = dict.fromkeys(each for each in found if isinstance(each, str))
    return CleanMolecules(list(smiles), rejected, len(rows) - len(rejected) - len(smiles))


def clean_rows(
    rows: Sequence[FileRow], vocabulary: Vocabulary | None = None, grammar: Grammar = SMILES
) -> list[str | RejectedRow]:
    """Return the canonical SMILES or the rejection of each row; equal strings are standardised once."""
    distinct = list(dict.fromkeys(row.smiles for row in rows))
    molecules: dict[str, str] = {}
    reasons: dict[str, str] = {}
    standardised = standardise_many(distinct, Standardisation(largest_fragment=True))
    for text, molecule in zip(distinct, standardised, strict=True):
        if molecule is None:
            too_long = reason_against(text) == LENGTH
            reasons[text] = f"has more than {MAX_LENGTH:,} characters" if too_long else "is no molecule"
        elif reason := _inexpressible(molecule, vocabulary, grammar):
            reasons[text] = reason
        else:
            molecules[text] = molecule
    return [
        RejectedRow(row.line, row.smiles, reasons[row.smiles]) if row.smiles in reasons else molecules[row.smiles]
        for row in rows
    ]


def _inexpressible(smiles: str, vocabulary: Vocabulary | None, grammar: Grammar) -> str | None:
    try:
        if vocabulary is None:
            grammar.split(smiles)
        else:
            vocabulary.encode(smiles)
    except UnknownTokenError as error:
        return str(error)
    return None


@dataclass(frozen=True)
class CorpusBatch:
    """A batch of sequences to train on.

    Attributes:
        tokens: the tokens, int64 [b, L], as wide as the longest sequence.
        lengths: the number of tokens of each sequence, END included, int64 [b].
        condition: the condition of each sequence.
    """

    tokens: Tensor
    lengths: Tensor
    condition: Condition = UNCONDITIONED

    def to(self, device: torch.device) -> CorpusBatch:
        """Return the batch on a device."""
        return CorpusBatch(self.tokens.to(device), self.lengths.to(device), self.condition.to(device))


@dataclass(frozen=True)
class Corpus:
    """Tokenised molecules, split at random into a training and a held-out part.

    Attributes:
        smiles: the strings [n].
        tokens: the tokens of the strings, unsigned integers [n, L].
        lengths: the number of tokens of each string, END included, int32 [n].
        held_out: the row numbers of the held-out part, int64.
        training: the row numbers of the training part, int64.
    """

    smiles: Sequence[str]
    tokens: NDArray[np.unsignedinteger]
    lengths: NDArray[np.int32]
    held_out: NDArray[np.int64]
    training: NDArray[np.int64]

    @classmethod
    def split(cls, smiles: Sequence[str], vocabulary: Vocabulary, held_out: int, seed: int) -> Corpus:
        """Tokenise strings, and split off ``held_out`` random ones, at most a tenth and at least one."""
        tokens, lengths = vocabulary.encode_many(smiles)
        order = np.random.default_rng(seed).permutation(len(smiles))
        kept_apart = max(1, min(held_out, len(smiles) // 10))
        return cls(smiles, tokens, lengths, order[:kept_apart], order[kept_apart:])

    def batch(self, rows: NDArray[np.int64]) -> CorpusBatch:
        """Return some rows as a batch of tensors."""
        lengths = self.lengths[rows]
        tokens = self.tokens[rows, : int(lengths.max())]
        return CorpusBatch(torch.from_numpy(tokens.astype(np.int64)), torch.from_numpy(lengths.astype(np.int64)))
