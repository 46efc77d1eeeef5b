"""Likelihood ratios of the agent and the behaviour policy, and weights and estimates made of them.

A ratio is w = π(x) / μ(x), of a token or of a whole row: π is the agent at temperature 1 and untruncated, μ the
behaviour policy with the temperature and truncation of the draw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from molbuffer.training.losses.base import expect_rows, expect_tokens

if TYPE_CHECKING:
    from torch import Tensor


def inside(lengths: Tensor, width: int) -> Tensor:
    """Return a mask of the tokens before the end of each row, bool [n, width], given the lengths [n]."""
    import torch

    return torch.arange(width, device=lengths.device) < lengths[:, None]


def truncated_weights(log_ratios: Tensor, largest: float) -> Tensor:
    """Return min(w, largest), detached: the weights of truncated importance sampling.

    Without the bound, one row that was unlikely under μ could outweigh all others; with the bound, such rows are
    underweighted.

    Args:
        log_ratios: log w, of any shape.
        largest: the largest weight, > 0.

    Source: Ionides 2008, doi:10.1198/106186008X320456.
    """
    return log_ratios.detach().exp().clamp(max=largest)


def vtrace_weights(log_ratios: Tensor, lengths: Tensor, largest: float, largest_trace: float) -> Tensor:
    """Return the V-trace weight of the policy gradient of each token [n, L], detached; 0 after the end of a row.

    The weight of token t is min(w_t, largest) · Π_{t < i < T} min(w_i, largest_trace) · min(w_T, largest), and that of
    the last token T is min(w_T, largest) alone. This is V-trace for one reward, after the last token, without discount
    and with one value for all states: it is the factor of (reward − value) in ρ_t (r_t + v_{t+1} − V).

    Args:
        log_ratios: log w [n, L] of the tokens.
        lengths: the number of tokens of each row, int64 [n].
        largest: ρ̄, the bound of the ratios of token t and of the last token.
        largest_trace: c̄, the bound of the ratios of the tokens in between.

    Source: Espeholt et al. 2018, IMPALA, arXiv:1802.01561, section 4.1.
    """
    expect_tokens(log_ratios=log_ratios)
    import math

    import torch

    log_ratios = log_ratios.detach()
    width = log_ratios.shape[1]
    steps = torch.arange(width, device=lengths.device)
    last = steps == lengths[:, None] - 1
    own = log_ratios.clamp(max=math.log(largest))
    traces = torch.where(last, own, log_ratios.clamp(max=math.log(largest_trace)))
    traces = traces.masked_fill(steps >= lengths[:, None], 0.0)
    later = traces.flip(1).cumsum(1).flip(1) - traces
    return (own + later).exp() * inside(lengths, width)


def effective_sample_size(log_ratios: Tensor) -> Tensor:
    """Return the effective sample size as a share of the rows, (Σ w)² / (n Σ w²), in [1/n, 1].

    Args:
        log_ratios: log w [n] of the rows.

    Source: Kong 1992; Owen 2013, Monte Carlo theory, methods and examples, equation 9.13.
    """
    expect_rows(log_ratios=log_ratios)
    return (2 * log_ratios.logsumexp(0) - (2 * log_ratios).logsumexp(0)).exp() / len(log_ratios)


def kl_k3(agent: Tensor, other: Tensor) -> Tensor:
    """Return q/π − log(q/π) − 1 of each token, at least 0, whose mean over draws from π estimates KL(π ‖ q).

    Args:
        agent: log π, of any shape.
        other: log q, of the same shape.

    Source: Schulman 2020, http://joschu.net/blog/kl-approx.html (k3); Shao et al. 2024, arXiv:2402.03300, equation 4.
    """
    difference = other.detach() - agent
    return difference.exp() - difference - 1
