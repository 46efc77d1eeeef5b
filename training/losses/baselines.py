"""Baselines, which reduce the variance of a policy gradient, and regularised rewards and advantages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from molbuffer.training.losses.base import expect_rows

if TYPE_CHECKING:
    from torch import Tensor

Baseline = Callable[["Tensor", "Tensor"], "Tensor"]
"""A function of the rewards [n] and importance weights [n] of rows; it returns the value to subtract from each reward,
[n] or a scalar."""

_NOTHING = 1e-9
"""The share of the sum of all weights below which the sum of the other weights counts as 0, as a rounding error."""


def no_baseline(rewards: Tensor, weights: Tensor) -> Tensor:
    """Return zeros [n]."""
    return rewards.new_zeros(rewards.shape)


def mean_reward(rewards: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean of all rewards; 0 when all weights are 0."""
    total = weights.sum()
    return (weights * rewards).sum() / total if total > 0 else total


def leave_one_out(rewards: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean of the rewards of the other rows [n], an unbiased baseline (Kool et al. 2019).

    It is 0 for a row if the weights of all other rows are 0.
    """
    # In double precision, since the difference of the sum of all weights and a large weight may be small.
    weighted, weights = (weights * rewards).double(), weights.double()
    others = weights.sum() - weights
    mean = (weighted.sum() - weighted) / others
    return mean.where(others > _NOTHING * weights.sum(), mean.new_zeros(())).to(rewards.dtype)


BASELINES: Mapping[str, Baseline] = {"mean": mean_reward, "leave_one_out": leave_one_out, "none": no_baseline}
"""The baselines by the name that a configuration gives them."""


def regularised_rewards(
    rewards: Tensor, agent: Tensor, prior: Tensor, kl_weight: float = 0.0, entropy_weight: float = 0.0
) -> Tensor:
    """Return reward − kl_weight · (log π − log prior) − entropy_weight · log π, detached [n].

    The policy gradient of these rewards is the gradient of E[reward] − kl_weight · KL(π ‖ prior) + entropy_weight ·
    H(π), with the divergence and the entropy H of whole rows.

    Args:
        rewards: [n].
        agent: log π [n] of the rows.
        prior: log-likelihoods [n] of the rows under the prior.
        kl_weight: the weight of the divergence, in units of the reward for each nat.
        entropy_weight: the weight of the entropy, in units of the reward for each nat.

    Source: Jaques et al. 2017, Sequence Tutor, arXiv:1611.02796.
    """
    expect_rows(rewards=rewards, agent=agent, prior=prior)
    agent = agent.detach()
    return rewards.detach() - kl_weight * (agent - prior.detach()) - entropy_weight * agent


def group_advantages(rewards: Tensor, groups: Tensor | None, *, normalise: bool, smallest: float = 1e-4) -> Tensor:
    """Return the reward of each row less the mean of its group, divided by the group's standard deviation [n].

    The standard deviation is that of a sample, with n − 1; the row of a group of one has the advantage 0.

    Args:
        rewards: [n].
        groups: the number of the group of each row, int64 [n]; None is one group.
        normalise: divide by the standard deviation; false returns the difference to the mean.
        smallest: the number that is added to the standard deviation, in units of the reward.

    Source: Shao et al. 2024, arXiv:2402.03300, section 4.1.2; without division Liu et al. 2025, arXiv:2503.20783.
    """
    expect_rows(rewards=rewards)
    import torch

    rewards = rewards.detach()
    numbers = torch.zeros_like(rewards, dtype=torch.int64)
    if groups is not None:
        numbers = groups.unique(return_inverse=True)[1]  # type: ignore[no-untyped-call]
    size = int(numbers.max()) + 1 if len(rewards) else 0
    count = rewards.new_zeros(size).index_add(0, numbers, torch.ones_like(rewards))
    mean = rewards.new_zeros(size).index_add(0, numbers, rewards) / count
    centred = rewards - mean[numbers]
    if not normalise:
        return centred
    squares = rewards.new_zeros(size).index_add(0, numbers, centred.square())
    deviation = (squares / (count - 1).clamp(min=1)).sqrt()
    return centred / (deviation[numbers] + smallest)
