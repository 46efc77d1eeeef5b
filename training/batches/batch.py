"""The batch a policy is trained on: rows of live builds and of the stored history, in one record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molbuffer.samplers.dataset import encode_rows
from molbuffer.samplers.models.condition import UNCONDITIONED, Condition
from molbuffer.samplers.tokens.vocabulary import PAD, Vocabulary
from molbuffer.storage.records import Build, ScoreStatus, StoredRows
from molbuffer.training.errors import UnsuitableDataError


@dataclass(frozen=True)
class RowBlock:
    """Some rows of a batch, from one origin, in the vocabulary of the policy in training.

    Attributes:
        origin: the sampler's name, or "buffer".
        tokens: unsigned [n, L]; lengths: int [n]; behaviour_log_probs: float32 [n, L]; rewards: float64 [n].
        latents: float32 [n, d], NaN for rows without; source_tokens: unsigned [n, S]; source_lengths: int [n], 0 for
            rows without a source. None when no row has any.
    """

    origin: str
    tokens: NDArray[np.unsignedinteger]
    lengths: NDArray[np.integer]
    behaviour_log_probs: NDArray[np.float32]
    rewards: NDArray[np.float64]
    latents: NDArray[np.float32] | None = None
    source_tokens: NDArray[np.unsignedinteger] | None = None
    source_lengths: NDArray[np.integer] | None = None

    def __len__(self) -> int:
        return len(self.lengths)


@dataclass(frozen=True)
class TrainingBatch:
    """What one training step sees. A row's columns belong together: they come from one block at one place.

    Attributes:
        tokens: int64 [n, L]; lengths: int64 [n]; behaviour_log_probs: float32 [n, L]; rewards: float32 [n].
        origins: what each row came from [n]: the name of a live sampler, or "buffer".
        condition: the latents and sources of the rows, as far as any row has them: NaN and length 0 where one has none.
    """

    iteration: int
    tokens: Tensor
    lengths: Tensor
    behaviour_log_probs: Tensor
    rewards: Tensor
    origins: Sequence[str]
    condition: Condition = UNCONDITIONED

    def __len__(self) -> int:
        return len(self.lengths)


def join(iteration: int, blocks: Sequence[RowBlock]) -> TrainingBatch:
    """The rows of the blocks one after another."""
    sizes = [len(block) for block in blocks]
    lengths = np.concatenate([block.lengths for block in blocks]).astype(np.int64)
    width = int(lengths.max(initial=1))
    return TrainingBatch(
        iteration,
        torch.from_numpy(_stack([block.tokens for block in blocks], sizes, width, PAD, np.int64)),
        torch.from_numpy(lengths),
        torch.from_numpy(_stack([block.behaviour_log_probs for block in blocks], sizes, width, 0, np.float32)),
        torch.from_numpy(np.concatenate([block.rewards for block in blocks]).astype(np.float32)),
        [block.origin for block in blocks for _ in range(len(block))],
        _condition(blocks, sizes),
    )


def _condition(blocks: Sequence[RowBlock], sizes: Sequence[int]) -> Condition:
    """What the rows are conditioned on; nothing is made when no row is."""
    latents = sources = source_lengths = None
    if any(block.latents is not None for block in blocks):
        size = max(block.latents.shape[1] for block in blocks if block.latents is not None)
        latents = torch.from_numpy(_stack([block.latents for block in blocks], sizes, size, np.nan, np.float32))
    if any(block.source_lengths is not None for block in blocks):
        counts = [
            np.zeros(n) if b.source_lengths is None else b.source_lengths for b, n in zip(blocks, sizes, strict=True)
        ]
        source_lengths = torch.from_numpy(np.concatenate(counts).astype(np.int64))
        width = int(source_lengths.max()) if len(source_lengths) else 0
        sources = torch.from_numpy(_stack([block.source_tokens for block in blocks], sizes, width, PAD, np.int64))
    return Condition(latents, sources, source_lengths)


def _stack(
    parts: Sequence[NDArray[Any] | None], sizes: Sequence[int], width: int, fill: float, dtype: type[np.generic]
) -> NDArray[Any]:
    """One array [sum of sizes, width] of parts [size, …], cut or filled up to it; ``fill`` where there is none."""
    stacked: NDArray[Any] = np.full((sum(sizes), width), fill, dtype)
    start = 0
    for part, size in zip(parts, sizes, strict=True):
        if part is not None:
            columns = min(width, part.shape[1])
            stacked[start : start + size, :columns] = part[:, :columns]
        start += size
    return stacked


def block_of(origin: str, rows: StoredRows) -> RowBlock:
    """Rows of the history as a block, in the vocabulary that they are in."""
    return RowBlock(
        origin,
        rows.tokens,
        rows.lengths,
        rows.log_probs,
        rows.rewards,
        latents=rows.latents,
        source_tokens=rows.source_tokens,
        source_lengths=rows.source_lengths,
    )


def live_rows(build: Build, vocabulary: Vocabulary, objective_sha256: str) -> RowBlock:
    """The kept rows of a live build whose reward is complete: one that a scorer failed on is unknown, not 0.

    Args:
        objective_sha256: whose rewards are learned from: pairs have those of their targets, and those of pairs.

    Raises:
        UnsuitableDataError: rewards of pairs are learned from, and the build has no pairs.
    """
    if objective_sha256 != build.objective_sha256 and build.samples.source_smiles is None:
        raise UnsuitableDataError(
            f"the policy in training is conditional and learns from pairs, but the sampler {build.sampler!r} draws "
            "none; set its p_batch to 0, or draw the targets of its molecules with a contrastive sampler"
        )
    complete = [each for each in build.rewards if each.status is ScoreStatus.OK]
    rewards = {each.row: each.value for each in complete if each.objective_sha256 == objective_sha256}
    rows = sorted(rewards)
    return _block(build, rows, np.array([rewards[row] for row in rows], np.float64), vocabulary)


def invalid_rows(build: Build, vocabulary: Vocabulary) -> RowBlock:
    """The rows of a live build that are no molecule, with reward 0."""
    samples = build.samples
    # What a file holds may be no molecule and have no tokens either, at either end of a pair.
    tokens = (
        samples.lengths > 0 if samples.source_lengths is None else (samples.lengths > 0) & (samples.source_lengths > 0)
    )
    rows = [row for row, smiles in enumerate(samples.smiles) if smiles is None and tokens[row]]
    return _block(build, rows, np.zeros(len(rows)), vocabulary)


def _block(build: Build, rows: list[int], rewards: NDArray[np.float64], vocabulary: Vocabulary) -> RowBlock:
    """Some rows of a build, re-encoded when they were drawn in another vocabulary, less those it cannot express."""
    samples = build.samples
    if samples.vocabulary_sha256 == vocabulary.sha256:
        return RowBlock(
            build.sampler,
            samples.tokens[rows],
            samples.lengths[rows],
            samples.log_probs[rows],
            rewards,
            latents=_some(samples.latents, rows),
            source_tokens=_some(samples.source_tokens, rows),
            source_lengths=_some(samples.source_lengths, rows),
        )
    drawn = encode_rows([samples.raw[row] for row in rows], vocabulary)
    known = drawn.lengths > 0
    if samples.source_smiles is None:
        return RowBlock(
            build.sampler, drawn.tokens[known], drawn.lengths[known], drawn.log_probs[known], rewards[known]
        )
    texts = [samples.source_smiles[row] for row in rows]
    sources = encode_rows([text or "" for text in texts], vocabulary)
    known &= (sources.lengths > 0) & np.array([bool(text) for text in texts], bool)
    # Latents belong to the model that decoded them, which speaks the other vocabulary: they are left out.
    return RowBlock(
        build.sampler,
        drawn.tokens[known],
        drawn.lengths[known],
        drawn.log_probs[known],
        rewards[known],
        source_tokens=sources.tokens[known],
        source_lengths=sources.lengths[known],
    )


def _some(column: NDArray[Any] | None, rows: list[int]) -> NDArray[Any] | None:
    return None if column is None else column[rows]
