"""Drawing sequences token by token, and the likelihood of given sequences, for every model of this package.

Rows that have ended leave the batch, so that the cost follows the number of rows that still grow.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from molbuffer.samplers.models.distribution import UNTRUNCATED, Sampling, draw_tokens, log_distribution
from molbuffer.samplers.models.protocol import Sequences, token_mask
from molbuffer.samplers.tokens import END, PAD, START


class DecodingStep(Protocol):
    """The state of a model that draws n sequences at once."""

    def __call__(self, tokens: Tensor) -> Tensor:
        """Return the logits [m, V] of the next token of each row, given the last token of each, int64 [m]."""
        ...

    def keep(self, rows: Tensor) -> None:
        """Keep the rows where the mask [m] is True, and drop the others."""
        ...


def decode(
    step: DecodingStep,
    n: int,
    *,
    longest: int,
    sampling: Sampling,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
) -> Sequences:
    """Draw n sequences; the width of the result is that of the longest one.

    Row i depends only on the generator's numbers for row i: drawing 10 rows and then 20 gives the same rows as drawing
    30, up to the rounding of matrix products of different shape. The numbers come from the generator's own device, so
    that the same seed gives the same numbers, and up to rounding the same rows, on every device.

    Args:
        step: the state of the model before the first token of n rows.
        n: the number of sequences to draw.
        longest: the largest number of tokens of a row, END included.
        sampling: the changes to the token distribution.
        generator: the source of randomness.
        device: the device of the step.
    """
    return decode_by(step, uniform_numbers(n, longest, generator).to(device), sampling)


def uniform_numbers(n: int, longest: int, generator: torch.Generator) -> Tensor:
    """Return random numbers [n, longest] in [0, 1), on the device of their generator, for ``decode_by``."""
    return torch.rand(n, longest, generator=generator, device=generator.device)


def decode_by(step: DecodingStep, uniform: Tensor, sampling: Sampling) -> Sequences:
    """Draw the sequences of uniform numbers [n, longest], one number for each token; see ``decode``."""
    (n, longest), device = uniform.shape, uniform.device
    tokens = torch.full((n, longest), PAD, dtype=torch.int64, device=device)
    log_probs = torch.zeros(n, longest, device=device)
    lengths = torch.full((n,), longest, dtype=torch.int64, device=device)
    alive = torch.arange(n, device=device)
    last = torch.full((n,), START, dtype=torch.int64, device=device)
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
    """Return the log-probability [n, L] of each token of int64 [n, L], given the logits [n, L, V].

    It is 0 at and after the lengths [n].
    """
    distribution = log_distribution(logits, sampling)
    inside = token_mask(lengths, tokens.shape[1])
    # PAD is impossible: gathering it would give −inf where the mask has 0, and a NaN gradient.
    chosen = distribution.gather(-1, tokens.masked_fill(~inside, END)[..., None])[..., 0]
    return chosen.masked_fill(~inside, 0.0)


def tokens_before(tokens: Tensor) -> Tensor:
    """Return the token before each of [n, L]; START before the first."""
    return functional.pad(tokens[:, :-1], (1, 0), value=START)


def impossible_tokens(vocabulary_size: int) -> Tensor:
    """Return a vector [V] to add to logits, -inf for PAD and START, so that these are never drawn."""
    added = torch.zeros(vocabulary_size, device="cpu")
    added[[PAD, START]] = -torch.inf
    return added
