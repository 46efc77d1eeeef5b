"""The distribution that a token is drawn from: a model's logits, tempered, truncated and renormalised."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from molbuffer.kinds import checked
from molbuffer.samplers.errors import DivergedPolicyError


@checked
@dataclass(frozen=True)
class Sampling:
    """The changes to a model's next-token distribution before a token is drawn.

    Attributes:
        temperature: divides the logits; > 0. Below 1 sharpens, above 1 flattens.
        top_k: keep the k most likely tokens; 0 keeps all.
        top_p: keep the smallest set of most likely tokens whose probability reaches p, in (0, 1]; 1 keeps all
            (nucleus sampling, Holtzman et al. 2020, arXiv:1904.09751). Applied after top_k.

    Example:
        >>> mb.Sampling(temperature=0.8, top_k=10).truncated
        True
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise ValueError(f"temperature must be finite and > 0, got {self.temperature}")
        if self.top_k < 0:
            raise ValueError(f"top_k must be 0 (off) or positive, got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be in (0, 1], got {self.top_p}")

    @property
    def truncated(self) -> bool:
        """Whether some tokens of positive probability under the model can never be drawn."""
        return self.top_k > 0 or self.top_p < 1


UNTRUNCATED = Sampling()
"""The model's own distribution."""


def log_distribution(logits: Tensor, sampling: Sampling) -> Tensor:
    """Return the log-probabilities [..., V] of logits [..., V] under ``sampling``.

    A token that cannot be drawn has log-probability −inf. All ties at the top_k border are kept.
    """
    if sampling.temperature != 1.0:
        logits = logits / sampling.temperature
    if 0 < sampling.top_k < logits.shape[-1]:
        smallest_kept = logits.topk(sampling.top_k, dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < smallest_kept, -torch.inf)
    if sampling.top_p < 1:
        ordered, order = logits.sort(dim=-1, descending=True, stable=True)
        before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
        dropped = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, before >= sampling.top_p)
        logits = logits.masked_fill(dropped, -torch.inf)
    return logits.log_softmax(-1)


def draw_tokens(log_probs: Tensor, uniform: Tensor) -> Tensor:
    """Draw one token a row from log-probabilities [n, V] by inversion of uniform numbers [n] in [0, 1).

    With inversion, unlike with a multinomial draw, the token of a row depends only on the random number of that row. So
    a row does not depend on the batches into which rows are split, nor on the rows that have ended.

    Raises:
        DivergedPolicyError: the log-probabilities of a row are NaN.
    """
    cumulative = log_probs.exp().cumsum(-1)
    total = cumulative[:, -1]
    if not bool(total.isfinite().all()):
        raise DivergedPolicyError(
            "a policy returned NaN, expected probabilities: its weights have diverged; lower the learning rate"
        )
    # A product that is rounded up to the total would select a token after the last one of positive probability.
    threshold = torch.minimum(uniform * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, threshold[:, None], right=True)[:, 0]
