"""The score-function gradient of an expected reward, and what is subtracted from the reward to make it less noisy."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Baseline = Callable[[Tensor, Tensor], Tensor]
"""Of rewards [n] and the weights [n] of their rows: what is subtracted from each [n], or a scalar."""

_NOTHING = 1e-9
"""Share of all weights below which those of the other rows are 0 but for rounding."""


def no_baseline(rewards: Tensor, weights: Tensor) -> Tensor:
    """0."""
    return torch.zeros_like(rewards)


def mean_reward(rewards: Tensor, weights: Tensor) -> Tensor:
    """The weighted mean of all rewards; 0 when no row counts."""
    total = weights.sum()
    return (weights * rewards).sum() / total if total > 0 else total


def leave_one_out(rewards: Tensor, weights: Tensor) -> Tensor:
    """The weighted mean of the other rewards, so that the gradient has no bias (Kool et al. 2019).

    It is 0 for a row beside which no other counts.
    """
    # In double precision: what is left when a large weight is taken from the sum of all may be small.
    weighted, weights = (weights * rewards).double(), weights.double()
    others = weights.sum() - weights
    mean = (weighted.sum() - weighted) / others
    return torch.where(others > _NOTHING * weights.sum(), mean, 0.0).to(rewards.dtype)


BASELINES: Mapping[str, Baseline] = {"mean": mean_reward, "leave_one_out": leave_one_out, "none": no_baseline}
"""The baselines by the name that a configuration gives them."""


def reinforce_loss(
    log_probs: Tensor, rewards: Tensor, baseline: Baseline = mean_reward, weights: Tensor | None = None
) -> Tensor:
    """The mean of −w · log p · (reward − baseline): its gradient is an estimate of that of −E[reward].

    Args:
        log_probs: [n], of what was drawn; the gradient flows through them only, so what was drawn has to be detached.
        rewards: [n].
        weights: w [n], such as ``clipped_ratio`` has them; 1 for rows drawn from p itself, as all are by default.

    Source: Williams 1992, REINFORCE (doi:10.1007/BF00992696).
    """
    weights = torch.ones_like(rewards) if weights is None else weights.detach()
    if not (log_probs.ndim == 1 and log_probs.shape == rewards.shape == weights.shape):
        shapes = ", ".join(str(list(each.shape)) for each in (log_probs, rewards, weights))
        raise ValueError(f"expected one shape [n] of log_probs, rewards and weights, got {shapes}")
    rewards = rewards.detach()
    return -(weights * log_probs * (rewards - baseline(rewards, weights))).mean()


def clipped_ratio(log_probs_now: Tensor, log_probs_then: Tensor, clip: float) -> Tensor:
    """min(p_now / p_then, clip) [n], detached: what a draw from an earlier distribution weighs for the present one.

    Without the bound, one draw that was unlikely then could outweigh all others; with it, what was drawn too rarely
    then stays too rare.

    Args:
        log_probs_now, log_probs_then: [n], under the present distribution and under the one that drew.
        clip: > 0.

    Source: Ionides 2008, truncated importance sampling (doi:10.1198/106186008X320456).
    """
    return (log_probs_now.detach() - log_probs_then).exp().clamp(max=clip)
