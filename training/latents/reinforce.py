"""REINFORCE, the policy gradient of an expected reward, and the baselines that reduce its variance."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Baseline = Callable[[Tensor, Tensor], Tensor]
"""A function of rewards [n] and the weights [n] of their rows to what is subtracted from each reward: [n], or a
scalar."""

_NOTHING = 1e-9
"""Share of all weights below which the weights of the other rows count as 0: what is left is a rounding error."""


def no_baseline(rewards: Tensor, weights: Tensor) -> Tensor:
    """Return zeros [n]."""
    return torch.zeros_like(rewards)


def mean_reward(rewards: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean of all rewards; 0 when all weights are 0."""
    total = weights.sum()
    return (weights * rewards).sum() / total if total > 0 else total


def leave_one_out(rewards: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean of the other rewards [n], which leaves the gradient without bias (Kool et al. 2019).

    It is 0 for a row when the weights of all others are 0.
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
    """Return the mean of −w · log p · (reward − baseline); its gradient is an estimate of that of −E[reward].

    Args:
        log_probs: [n], of the draws; the gradient flows through them only, so the draws themselves must be detached.
        rewards: [n].
        baseline: what is subtracted from each reward.
        weights: w [n], such as those of ``clipped_ratio``; None is 1 for each, for rows drawn from p itself.

    Source: Williams 1992, REINFORCE (doi:10.1007/BF00992696).
    """
    weights = torch.ones_like(rewards) if weights is None else weights.detach()
    if not (log_probs.ndim == 1 and log_probs.shape == rewards.shape == weights.shape):
        shapes = ", ".join(str(list(each.shape)) for each in (log_probs, rewards, weights))
        raise ValueError(f"expected one shape [n] of log_probs, rewards and weights, got {shapes}")
    rewards = rewards.detach()
    return -(weights * log_probs * (rewards - baseline(rewards, weights))).mean()


def clipped_ratio(log_probs_now: Tensor, log_probs_then: Tensor, clip: float) -> Tensor:
    """Return min(p_now / p_then, clip) [n], detached: the weight of draws from an earlier distribution.

    Without the bound, one draw that was unlikely then could outweigh all others; with it, draws that were rare then
    remain underweighted.

    Args:
        log_probs_now: [n], under the present distribution.
        log_probs_then: [n], under the distribution that drew.
        clip: the largest weight, > 0.

    Source: Ionides 2008, truncated importance sampling (doi:10.1198/106186008X320456).
    """
    return (log_probs_now.detach() - log_probs_then).exp().clamp(max=clip)
