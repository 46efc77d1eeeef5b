"""ModelSampler: draws from any generative model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from molbuffer.samplers.base import Drawn, SamplerSize
from molbuffer.samplers.errors import ConditionError
from molbuffer.samplers.models.condition import UNCONDITIONED, Condition, Takes
from molbuffer.samplers.models.distribution import UNTRUNCATED, Sampling
from molbuffer.samplers.models.protocol import Sequences
from molbuffer.samplers.policies.policy import Policy
from molbuffer.samplers.seeds import torch_generator
from molbuffer.samplers.tokens.vocabulary import Vocabulary
from molbuffer.storage.rows import COLUMNS, Rows

ROWS_AT_ONCE = 512
"""Rows a model draws together: more gains no speed on CPUs and costs memory."""


@dataclass(frozen=True)
class ModelSampler:
    """Draws sequences from a policy at a temperature.

    Attributes:
        policy: gives the policy as it is at the time of the draw; the one in training changes under the sampler.
        unique: a build keeps each molecule once, and draws others for its repetitions (``builds.judging``).
    """

    name: str
    policy: Callable[[], Policy]
    size: SamplerSize = SamplerSize()
    sampling: Sampling = UNTRUNCATED
    unique: bool = False
    kind: str = "model"

    def __post_init__(self) -> None:
        model = self.policy().model
        if model.takes is Takes.SOURCES:
            raise ConditionError(
                f"the policy of the sampler {self.name!r} is of kind {model.kind!r}, which takes {model.takes}: make "
                "it the output_model of a contrastive sampler, which draws sources for it"
            )

    @property
    def policy_sha256(self) -> str:
        return self.policy().sha256

    def draw(self, n: int, seed: int) -> Drawn:
        """Draws exactly n rows with the log-probabilities of the distribution really sampled."""
        return draw_rows(self.policy(), n, self.sampling, torch_generator(seed))


def draw_rows(
    policy: Policy,
    n: int,
    sampling: Sampling,
    generator: torch.Generator,
    condition: Condition = UNCONDITIONED,
) -> Drawn:
    """Draws n rows from a policy, each on its part of the condition, some hundreds at once."""
    parts = [
        policy.model.sample(
            min(ROWS_AT_ONCE, n - start),
            condition=condition[start : start + ROWS_AT_ONCE],
            sampling=sampling,
            generator=generator,
        )
        for start in range(0, n, ROWS_AT_ONCE)
    ]
    rows = Rows.concat([_rows_of(part, policy.vocabulary) for part in parts])
    rows = replace(rows, vocabulary_sha256=policy.vocabulary.sha256)
    return Drawn(policy.vocabulary.decode(rows.tokens, rows.lengths), rows)


def _rows_of(sequences: Sequences, vocabulary: Vocabulary) -> Rows:
    """What a model drew, as rows: each of its tensors is the column of that name."""
    dtypes = {name: column.dtypes[0] for name, column in COLUMNS.items()} | {"tokens": np.dtype(vocabulary.dtype)}
    there = {name: tensor.numpy() for name, tensor in vars(sequences).items() if tensor is not None}
    columns: dict[str, Any] = {name: array.astype(dtypes[name]) for name, array in there.items()}
    return Rows(**columns)
