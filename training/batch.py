"""The batch a policy is trained on: rows of live builds and of the stored history, in one record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samplers.dataset import encode_rows
from samplers.vocabulary import PAD, Vocabulary
from storage.records import Build, ScoreStatus


@dataclass(frozen=True)
class RowBlock:
    """Some rows of a batch, from one origin, in the vocabulary of the policy in training.

    Attributes:
        origin: the sampler's name, or "buffer".
        tokens: unsigned [n, L]; lengths: int [n]; behaviour_log_probs: float32 [n, L]; rewards: float64 [n].
    """

    origin: str
    tokens: NDArray[np.unsignedinteger]
    lengths: NDArray[np.integer]
    behaviour_log_probs: NDArray[np.float32]
    rewards: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.lengths)


@dataclass(frozen=True)
class TrainingBatch:
    """What one training step sees. A row's columns belong together: they come from one block at one place.

    Attributes:
        tokens: int64 [n, L]; lengths: int64 [n]; behaviour_log_probs: float32 [n, L]; rewards: float32 [n].
        origins: what each row came from [n]: the name of a live sampler, or "buffer".
    """

    iteration: int
    tokens: Tensor
    lengths: Tensor
    behaviour_log_probs: Tensor
    rewards: Tensor
    origins: Sequence[str]

    def __len__(self) -> int:
        return len(self.lengths)


def join(iteration: int, blocks: Sequence[RowBlock]) -> TrainingBatch:
    """The rows of the blocks one after another."""
    n, width = sum(map(len, blocks)), max(int(block.lengths.max(initial=1)) for block in blocks)
    tokens = torch.full((n, width), PAD, dtype=torch.int64)
    behaviour = torch.zeros(n, width)
    start = 0
    for block in blocks:
        rows, columns = slice(start, start + len(block)), min(width, block.tokens.shape[1])
        tokens[rows, :columns] = torch.from_numpy(block.tokens[:, :columns].astype(np.int64))
        behaviour[rows, :columns] = torch.from_numpy(np.ascontiguousarray(block.behaviour_log_probs[:, :columns]))
        start += len(block)
    return TrainingBatch(
        iteration,
        tokens,
        torch.from_numpy(np.concatenate([block.lengths for block in blocks]).astype(np.int64)),
        behaviour,
        torch.from_numpy(np.concatenate([block.rewards for block in blocks]).astype(np.float32)),
        [block.origin for block in blocks for _ in range(len(block))],
    )


def live_rows(build: Build, vocabulary: Vocabulary) -> RowBlock:
    """The kept rows of a live build whose reward is complete: one that a scorer failed on is unknown, not 0."""
    rewards = {reward.row: reward.value for reward in build.rewards if reward.status is ScoreStatus.OK}
    rows = sorted(rewards)
    return _block(build, rows, np.array([rewards[row] for row in rows], np.float64), vocabulary)


def invalid_rows(build: Build, vocabulary: Vocabulary) -> RowBlock:
    """The rows of a live build that are no molecule, with reward 0."""
    samples = build.samples
    # What a file holds may be no molecule and have no tokens either.
    rows = [row for row, smiles in enumerate(samples.smiles) if smiles is None and samples.lengths[row] > 0]
    return _block(build, rows, np.zeros(len(rows)), vocabulary)


def _block(build: Build, rows: list[int], rewards: NDArray[np.float64], vocabulary: Vocabulary) -> RowBlock:
    """Some rows of a build, re-encoded when they were drawn in another vocabulary, less those it cannot express."""
    samples = build.samples
    if samples.vocabulary_sha256 == vocabulary.sha256:
        return RowBlock(build.sampler, samples.tokens[rows], samples.lengths[rows], samples.log_probs[rows], rewards)
    drawn = encode_rows([samples.raw[row] for row in rows], vocabulary)
    known = drawn.lengths > 0
    return RowBlock(build.sampler, drawn.tokens[known], drawn.lengths[known], drawn.log_probs[known], rewards[known])
