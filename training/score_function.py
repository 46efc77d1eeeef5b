"""The score-function gradient of an expected reward, and what is subtracted from the reward to make it less noisy."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Baseline = Callable[[Tensor], Tensor]
"""Of rewards [n]: what is subtracted from each [n], or a scalar."""


def no_baseline(rewards: Tensor) -> Tensor:
    """0."""
    return torch.zeros_like(rewards)


def mean_reward(rewards: Tensor) -> Tensor:
    """The mean of all rewards."""
    return rewards.mean()


def leave_one_out(rewards: Tensor) -> Tensor:
    """The mean of the other rewards, so that the gradient has no bias; 0 for a single row (Kool et al. 2019)."""
    return (rewards.sum() - rewards) / max(len(rewards) - 1, 1)


BASELINES: Mapping[str, Baseline] = {"mean": mean_reward, "leave_one_out": leave_one_out, "none": no_baseline}
"""The baselines by the name that a configuration gives them."""


def score_function_loss(log_probs: Tensor, rewards: Tensor, baseline: Baseline = mean_reward) -> Tensor:
    """The mean of −log p · (reward − baseline): its gradient is an estimate of that of −E[reward].

    Args:
        log_probs: [n], of what was drawn; the gradient flows through them only, so what was drawn has to be detached.
        rewards: [n].

    Source: Williams 1992, REINFORCE (doi:10.1007/BF00992696).
    """
    if not (log_probs.ndim == 1 and log_probs.shape == rewards.shape):
        raise ValueError(f"expected one shape [n], got {list(log_probs.shape)} and {list(rewards.shape)}")
    rewards = rewards.detach()
    return -(log_probs * (rewards - baseline(rewards))).mean()
