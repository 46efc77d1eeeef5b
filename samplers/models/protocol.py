"""What every generative model of the project can do, and the records that go in and come out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from molbuffer.samplers.models.condition import UNCONDITIONED, Condition, Takes
from molbuffer.samplers.models.distribution import UNTRUNCATED, Sampling


@dataclass(frozen=True)
class Sequences:
    """Token sequences drawn from a model; each tensor becomes the column of its name in ``storage.Rows``.

    Attributes:
        tokens: int64 [n, L], PAD after the end of a row.
        lengths: int64 [n], the END token counted; a row that reached the longest length allowed has no END.
        log_probs: float32 [n, L], the log-probability of each token under the distribution it was drawn from
            (tempered and truncated); 0 after the end of a row.
        latents: float32 [n, d], what a latent model decoded; None for others.
    """

    tokens: Tensor
    lengths: Tensor
    log_probs: Tensor
    latents: Tensor | None = None

    def __len__(self) -> int:
        return len(self.lengths)


@runtime_checkable
class GenerativeModel(Protocol):
    """A model that draws token sequences and tells their likelihood."""

    kind: str
    """The name under which policies of this architecture are stored."""
    takes: Takes
    """What its sequences are conditioned on."""

    def sample(
        self,
        n: int,
        *,
        condition: Condition = UNCONDITIONED,
        sampling: Sampling = UNTRUNCATED,
        generator: torch.Generator,
    ) -> Sequences:
        """Draws n sequences in evaluation mode, without a graph.

        Raises:
            ConditionError: the condition is not that of n rows of what the model takes.
        """
        ...

    def log_probs(
        self,
        tokens: Tensor,
        lengths: Tensor,
        *,
        condition: Condition = UNCONDITIONED,
        sampling: Sampling = UNTRUNCATED,
    ) -> Tensor:
        """The log-probability [n, L] of each token of [n, L]; 0 after the end of a row. Differentiable.

        Raises:
            ConditionError: the condition is not that of n rows of what the model takes.
        """
        ...

    def architecture(self) -> Mapping[str, Any]:
        """What, beside the weights, is needed to build the model again; JSON values only."""
        ...

    def as_module(self) -> nn.Module:
        """The torch module with the parameters."""
        ...


@runtime_checkable
class LatentModel(GenerativeModel, Protocol):
    """A generative model of sequences given latent vectors, which can say what latent vector a sequence has."""

    @property
    def latent_size(self) -> int:
        """d, the numbers of a latent vector."""
        ...

    def encode(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """The latent vector [n, d] that stands for each sequence of int64 [n, L]: the mean of its posterior."""
        ...


def token_mask(lengths: Tensor, width: int) -> Tensor:
    """True [n, width] where a position is inside its row."""
    return torch.arange(width, device=lengths.device) < lengths[:, None]
