"""The batch that a policy learns from: rows of live builds and of the stored history, in one record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molbuffer.samplers import Vocabulary, encode_rows, tensors
from molbuffer.samplers.models import Condition
from molbuffer.storage import Build, Rows, ScoreStatus
from molbuffer.training.errors import UnsuitableDataError


@dataclass(frozen=True)
class TrainingBatch:
    """The rows of one training step. Row i of every column belongs to the same sample.

    Attributes:
        iteration: the iteration that the batch is for.
        columns: the columns of ``Rows`` that some row of the batch has, by name: whole numbers as int64, others as
            float32. They are as wide as the longest row; a row without a value has the fill of the column.
        origins: the origin of each row [n]: the name of a live sampler, or "buffer".
    """

    iteration: int
    columns: Mapping[str, Tensor]
    origins: Sequence[str]

    def __len__(self) -> int:
        return len(self.origins)

    def to(self, device: torch.device) -> TrainingBatch:
        """Return the batch with its columns on a device."""
        return replace(self, columns={name: column.to(device) for name, column in self.columns.items()})

    @property
    def tokens(self) -> Tensor:
        """The token numbers, int64 [n, L], PAD after the end of a row."""
        return self.columns["tokens"]

    @property
    def lengths(self) -> Tensor:
        """The number of tokens of each row, END included, int64 [n]."""
        return self.columns["lengths"]

    @property
    def behaviour_log_probs(self) -> Tensor:
        """The log-probability of each token under the behaviour policy, float32 [n, L]; NaN where it is not known."""
        return self.columns["log_probs"]

    @property
    def rewards(self) -> Tensor:
        """The rewards under the objective of the training, float32 [n]."""
        return self.columns["rewards"]

    @property
    def learned_rewards(self) -> Tensor:
        """The rewards that the loss uses, float32 [n]: with the bonuses and penalties of the diversity memory."""
        penalties, bonuses = self.columns.get("penalties"), self.columns.get("bonuses")
        raised = self.rewards if bonuses is None else self.rewards + bonuses
        return raised if penalties is None else raised * penalties

    @property
    def condition(self) -> Condition:
        """The latent vectors and sources of the rows, None if no row has any; NaN and length 0 for a row without."""
        return Condition(*map(self.columns.get, ("latents", "source_tokens", "source_lengths")))


@dataclass(frozen=True, eq=False)
class Block:
    """Rows of a batch that have one origin.

    Attributes:
        origin: the name of a live sampler, or "buffer".
        rows: the rows [n].
        smiles: returns their canonical SMILES [n], None for a string that is not a molecule.
    """

    origin: str
    rows: Rows
    smiles: Callable[[], Sequence[str | None]]

    def __len__(self) -> int:
        return len(self.rows)


def join(iteration: int, blocks: Sequence[Block]) -> TrainingBatch:
    """Join blocks of rows into one batch, in the order of the blocks."""
    rows = Rows.concat([block.rows for block in blocks]).trimmed()
    return TrainingBatch(iteration, tensors(rows), [block.origin for block in blocks for _ in range(len(block))])


@dataclass(frozen=True, eq=False)
class NumberedRows:
    """Some rows of a build.

    Attributes:
        numbers: their places in the build, ascending, int32 [n].
        rows: the rows [n].
    """

    numbers: NDArray[np.int32]
    rows: Rows

    def __len__(self) -> int:
        return len(self.rows)

    def smiles(self, build: Build) -> list[str | None]:
        """Return the canonical SMILES of the rows; None for a string that is not a molecule.

        Args:
            build: the build that the rows are of.
        """
        return [build.samples.smiles[row] for row in self.numbers.tolist()]


def live_rows(build: Build, vocabulary: Vocabulary, objective_sha256: str) -> NumberedRows:
    """Return the kept rows of a live build that have a reward.

    A row whose score failed is left out: its reward is unknown, not 0.

    Args:
        build: the live build.
        vocabulary: the vocabulary of the policy in training.
        objective_sha256: the objective whose rewards count; a pair has a reward of its target and one of its own.

    Raises:
        UnsuitableDataError: the rewards of pairs count, and the build has no pairs.
    """
    if objective_sha256 != build.objective_sha256 and build.samples.source_smiles is None:
        raise UnsuitableDataError(
            f"the policy in training is conditional and learns from pairs, but the sampler {build.sampler!r} draws "
            "molecules without a source; set its p_batch to 0, or draw the targets of its molecules with a contrastive "
            "sampler",
            rows={build.sampler: len(build.samples)},
        )
    complete = [each for each in build.rewards if each.status is ScoreStatus.OK]
    rewards = {each.row: each.value for each in complete if each.objective_sha256 == objective_sha256}
    rows = sorted(rewards)
    return _rewarded(build, rows, np.array([rewards[row] for row in rows], np.float64), vocabulary)


def invalid_rows(build: Build, vocabulary: Vocabulary) -> NumberedRows:
    """Return the rows of a live build whose strings are not molecules, with reward 0."""
    samples, sources = build.samples, build.samples.rows.source_lengths
    # An invalid string of a file may have no tokens; of a pair, the source and the target may have none.
    tokens = samples.rows.lengths > 0 if sources is None else (samples.rows.lengths > 0) & (sources > 0)
    rows = [row for row, smiles in enumerate(samples.smiles) if smiles is None and tokens[row]]
    return _rewarded(build, rows, np.zeros(len(rows)), vocabulary)


def _rewarded(build: Build, rows: list[int], rewards: NDArray[np.float64], vocabulary: Vocabulary) -> NumberedRows:
    """Return rows of a build with rewards, in a vocabulary; leave out rows that the vocabulary cannot express."""
    samples, numbers = build.samples, np.array(rows, np.int32)
    if samples.vocabulary_sha256 == vocabulary.sha256:
        truncated = np.ones(len(rows), np.uint8) if build.truncated else None
        return NumberedRows(numbers, replace(samples.rows.take(rows), rewards=rewards, truncated=truncated))
    sources = None if samples.source_smiles is None else [samples.source_smiles[row] for row in rows]
    # Latent vectors are left out: they belong to the model that decoded them, which has the other vocabulary.
    encoded = replace(encode_rows([samples.raw[row] for row in rows], vocabulary, sources), rewards=rewards)
    known = encoded.lengths > 0
    if sources is not None and encoded.source_lengths is not None:
        known &= (encoded.source_lengths > 0) & np.array([bool(text) for text in sources], bool)
    return NumberedRows(numbers[known], encoded.take(known))
