"""What every generative model of the project can do, and the records that go in and come out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from samplers.models.distribution import UNTRUNCATED, Sampling


@dataclass(frozen=True)
class Sequences:
    """Token sequences drawn from a model.

    Attributes:
        tokens: int64 [n, L], PAD after the end of a row.
        lengths: int64 [n], the END token counted; a row that reached the longest length allowed has no END.
        log_probs: float32 [n, L], the log-probability of each token under the distribution it was drawn from
            (tempered and truncated); 0 after the end of a row.
    """

    tokens: Tensor
    lengths: Tensor
    log_probs: Tensor

    def __len__(self) -> int:
        return len(self.lengths)


@runtime_checkable
class GenerativeModel(Protocol):
    """A model that draws token sequences and tells their likelihood."""

    kind: str
    """The name under which policies of this architecture are stored."""

    def sample(self, n: int, *, sampling: Sampling = UNTRUNCATED, generator: torch.Generator) -> Sequences:
        """Draws n sequences in evaluation mode, without a graph."""
        ...

    def log_probs(self, tokens: Tensor, lengths: Tensor, *, sampling: Sampling = UNTRUNCATED) -> Tensor:
        """The log-probability [n, L] of each token of [n, L]; 0 after the end of a row. Differentiable."""
        ...

    def architecture(self) -> Mapping[str, Any]:
        """What, beside the weights, is needed to build the model again; JSON values only."""
        ...

    def as_module(self) -> nn.Module:
        """The torch module with the parameters."""
        ...


def token_mask(lengths: Tensor, width: int) -> Tensor:
    """True [n, width] where a position is inside its row."""
    return torch.arange(width, device=lengths.device) < lengths[:, None]
