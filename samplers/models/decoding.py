"""Drawing sequences token by token, and the likelihood of given ones: the same for every model of this package.

Rows that have ended leave the batch, so that the work falls with the number of rows that still grow.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from molbuffer.samplers.models.distribution import UNTRUNCATED, Sampling, draw_tokens, log_distribution
from molbuffer.samplers.models.protocol import Sequences, token_mask
from molbuffer.samplers.tokens.vocabulary import END, PAD, START


class DecodingStep(Protocol):
    """A model on its way through n sequences at once, with whatever state it keeps of them."""

    def __call__(self, tokens: Tensor) -> Tensor:
        """Take the last token of each row, int64 [m], and gives the logits [m, V] of the next."""
        ...

    def keep(self, rows: Tensor) -> None:
        """Go on with some of its rows only, bool [m]."""
        ...


def decode(step: DecodingStep, n: int, *, longest: int, sampling: Sampling, generator: torch.Generator) -> Sequences:
    """Draw n sequences; the result's width is that of the longest.

    Row i depends on the generator's numbers for row i alone: drawing 10 then 20 rows gives the rows that drawing 30
    gives, up to the rounding of matrix products of different shape.

    Args:
        step: the model at the beginning of n rows.
        longest: the most tokens of a row, END included.
    """
    uniform = torch.rand(n, longest, generator=generator, device=generator.device)
    tokens = torch.full((n, longest), PAD, dtype=torch.int64, device=uniform.device)
    log_probs = torch.zeros(n, longest, device=uniform.device)
    lengths = torch.full((n,), longest, dtype=torch.int64, device=uniform.device)
    alive = torch.arange(n, device=uniform.device)
    last = torch.full((n,), START, dtype=torch.int64, device=uniform.device)
    for position in range(longest):
        if not len(alive):
            break
        distribution = log_distribution(step(last), sampling)
        last = draw_tokens(distribution, uniform[alive, position])
        tokens[alive, position] = last
        log_probs[alive, position] = distribution.gather(1, last[:, None])[:, 0]
        going = last != END
        if not going.all():
            lengths[alive[~going]] = position + 1
            alive, last = alive[going], last[going]
            step.keep(going)
    width = int(lengths.max()) if n else 0
    return Sequences(tokens[:, :width], lengths, log_probs[:, :width])


def chosen_log_probs(logits: Tensor, tokens: Tensor, lengths: Tensor, sampling: Sampling = UNTRUNCATED) -> Tensor:
    """Return the log-probability [n, L] of each token of int64 [n, L] by its logits [n, L, V]; 0 at and after lengths
    [n].
    """
    distribution = log_distribution(logits, sampling)
    inside = token_mask(lengths, tokens.shape[1])
    # PAD is impossible: gathering it would put −inf where the mask wants 0, and NaN into the gradient.
    chosen = distribution.gather(-1, tokens.masked_fill(~inside, END)[..., None])[..., 0]
    return chosen.masked_fill(~inside, 0.0)


def tokens_before(tokens: Tensor) -> Tensor:
    """Return the token before each of [n, L]; START before the first."""
    return functional.pad(tokens[:, :-1], (1, 0), value=START)


def impossible_tokens(vocabulary_size: int) -> Tensor:
    """What is added to logits [V] so that PAD and START are never drawn."""
    added = torch.zeros(vocabulary_size)
    added[[PAD, START]] = -torch.inf
    return added
