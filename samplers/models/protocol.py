"""The base classes of generative models, and the sequences that a model draws."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from molbuffer.samplers.models.condition import UNCONDITIONED, Condition, ConditionKind
from molbuffer.samplers.models.distribution import UNTRUNCATED, Sampling


@dataclass(frozen=True)
class Sequences:
    """Token sequences drawn from a model; each tensor becomes the column of the same name in ``storage.Rows``.

    Attributes:
        tokens: int64 [n, L], PAD after the end of a row.
        lengths: int64 [n], END counted; a row of the greatest length allowed has no END.
        log_probs: float32 [n, L], the log-probability of each token under the tempered and truncated distribution;
            0 after the end of a row.
        latents: float32 [n, d], the latent vectors that a latent model decoded; None for other models.
    """

    tokens: Tensor
    lengths: Tensor
    log_probs: Tensor
    latents: Tensor | None = None

    def __len__(self) -> int:
        return len(self.lengths)


class GenerativeModel(nn.Module, ABC):
    """A torch module that draws token sequences and computes their likelihood.

    Attributes:
        kind: the name under which policies of this architecture are stored.
        condition_kind: the kind of condition of the model's sequences.
    """

    kind: str
    condition_kind: ConditionKind

    @abstractmethod
    def sample(
        self,
        n: int,
        *,
        condition: Condition = UNCONDITIONED,
        sampling: Sampling = UNTRUNCATED,
        generator: torch.Generator,
    ) -> Sequences:
        """Draw n sequences without a gradient graph; the model is in evaluation mode.

        Args:
            n: the number of sequences to draw.
            condition: the condition of each sequence, on the model's device.
            sampling: the changes to the token distribution.
            generator: the source of randomness, on the CPU whatever the device of the model.

        Raises:
            ConditionError: the condition does not fit n rows of the model's ``condition_kind``.
        """

    @abstractmethod
    def log_probs(
        self,
        tokens: Tensor,
        lengths: Tensor,
        *,
        condition: Condition = UNCONDITIONED,
        sampling: Sampling = UNTRUNCATED,
    ) -> Tensor:
        """Return the log-probability [n, L] of each token of [n, L], differentiable; 0 after the end of a row.

        Raises:
            ConditionError: the condition does not fit n rows of the model's ``condition_kind``.
        """

    @property
    def device(self) -> torch.device:
        """The device of the weights; tokens, conditions and draws of the model are there, too."""
        tensor = next(chain(self.parameters(), self.buffers()), None)
        return torch.device("cpu") if tensor is None else tensor.device

    @abstractmethod
    def architecture(self) -> Mapping[str, Any]:
        """Return the sizes from which a model of the same shape can be built, as JSON values."""


class LatentModel(GenerativeModel):
    """A generative model of sequences given latent vectors, with an encoder from sequences to latent vectors."""

    @property
    @abstractmethod
    def latent_size(self) -> int:
        """The size d of a latent vector."""

    @abstractmethod
    def encode(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Return the latent vector [n, d] of each sequence of int64 [n, L]: the mean of its posterior."""


def token_mask(lengths: Tensor, width: int) -> Tensor:
    """Return a mask [n, width], True where a position is inside its row."""
    return torch.arange(width, device=lengths.device) < lengths[:, None]
