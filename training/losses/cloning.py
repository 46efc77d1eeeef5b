"""Losses that imitate rows with high rewards: the negative log-likelihood of rows, weighted by their rewards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Gt

from molbuffer.kinds import Share, checked
from molbuffer.training.losses.augmented_likelihood import TopShare, best_rows
from molbuffer.training.losses.base import Positive, ScoredSequences, ValidOn, expect_rows, row_mean

if TYPE_CHECKING:
    from torch import Tensor

_SMALLEST_DEVIATION = 1e-6
"""The number added to the standard deviation of rewards, so that rounding errors of equal rewards do not count."""


def top_share_likelihood(agent: Tensor, rewards: Tensor, share: float, weights: Tensor | None = None) -> Tensor:
    """Return the mean negative log-likelihood of the ⌈share · n⌉ of n rows with the highest rewards.

    This is the step of hill climbing by maximum likelihood, also known as MAULI. On the best rows of the whole run, as
    the selection ``top_k`` chooses them, it is known as "best agent".

    Args:
        agent: log-likelihoods [n] under the agent; the gradient flows through them only.
        rewards: [n]; of rows with equal rewards, the earlier counts as higher.
        share: the share of the rows that count, in (0, 1].
        weights: [n], how much each row counts; None is 1 for each.

    Returns:
        A scalar.

    Source: Neil et al. 2018 (Hillclimb-MLE, https://openreview.net/forum?id=Bk0xiI1Dz); Brown et al. 2019,
    arXiv:1811.09621.
    """
    expect_rows(agent=agent, rewards=rewards)
    best = best_rows(rewards, share)
    return -row_mean(agent[best], None if weights is None else weights[best])


def filtered_cloning(agent: Tensor, rewards: Tensor, threshold: float, weights: Tensor | None = None) -> Tensor:
    """Return −1/n Σ [reward ≥ threshold] · log π: behaviour cloning of rows with a reward of at least a threshold.

    Args:
        agent: log π [n] of the rows; the gradient flows through them only.
        rewards: [n].
        threshold: the least reward of a row that counts.
        weights: [n], how much each row counts; None is 1 for each.

    Returns:
        A scalar; 0 when no row counts.

    Source: Chen et al. 2020, BAIL, arXiv:1910.12179, and Wang et al. 2020, CRR, arXiv:2006.15134, "binary", with a
    fixed threshold instead of a learned value.
    """
    expect_rows(agent=agent, rewards=rewards)
    return -row_mean((rewards >= threshold) * agent, weights)


def advantage_weighted(
    agent: Tensor, rewards: Tensor, temperature: float, max_weight: float, weights: Tensor | None = None
) -> Tensor:
    """Return −1/n Σ min(exp(A / temperature), max_weight) · log π, A = (reward − mean reward) / standard deviation.

    Args:
        agent: log π [n] of the rows; the gradient flows through them only.
        rewards: [n]; their mean is the estimate of the value of the behaviour policy.
        temperature: β, in standard deviations of the rewards; the smaller, the more the best rows count.
        max_weight: the largest exponential weight.
        weights: [n], the row weights, which multiply the exponential weights; None is 1 for each.

    Returns:
        A scalar.

    Source: Peng et al. 2019, advantage-weighted regression, arXiv:1910.00177, equation 11, with standardised
    advantages, so that one temperature suits rewards of any spread.
    """
    expect_rows(agent=agent, rewards=rewards)
    return -row_mean(_exponential(rewards, temperature).clamp(max=max_weight) * agent, weights)


def _exponential(rewards: Tensor, temperature: float) -> Tensor:
    """Return exp(A / temperature) [n], without a bound; 1 if all rewards are equal."""
    advantages = (rewards - rewards.mean()).detach()
    return (advantages / (temperature * (advantages.std(correction=0) + _SMALLEST_DEVIATION))).exp()


@checked
@dataclass(frozen=True)
class TopShareLikelihood:
    """The negative log-likelihood of the rows of the batch with the highest rewards: hill climbing.

    Attributes:
        share: the share of the batch that the loss learns from, in (0, 1].
    """

    share: TopShare = 0.25

    valid_on: ClassVar[ValidOn] = ValidOn.ANY

    def __call__(self, rows: ScoredSequences) -> Tensor:
        return top_share_likelihood(rows.agent.sum(1), rows.rewards, self.share, rows.weights)


@checked
@dataclass(frozen=True)
class FilteredCloning:
    """The negative log-likelihood of the rows whose reward reaches a threshold: filtered behaviour cloning.

    Attributes:
        threshold: the least reward of a row that the loss learns from, in [0, 1].
    """

    threshold: Share = 0.5

    valid_on: ClassVar[ValidOn] = ValidOn.ANY

    def __call__(self, rows: ScoredSequences) -> Tensor:
        return filtered_cloning(rows.agent.sum(1), rows.rewards, self.threshold, rows.weights)


@checked
@dataclass(frozen=True)
class AdvantageWeighted:
    """The negative log-likelihood of rows, weighted by the exponential of the advantage: advantage-weighted regression.

    Attributes:
        temperature: the rise of a reward, in standard deviations of the rewards of the batch, that multiplies the
            weight of a row by e.
        max_weight: the largest weight of a row.
    """

    temperature: Positive = 0.5
    max_weight: Annotated[float, Gt(0)] = 20.0

    valid_on: ClassVar[ValidOn] = ValidOn.ANY

    def __call__(self, rows: ScoredSequences) -> Tensor:
        return advantage_weighted(rows.agent.sum(1), rows.rewards, self.temperature, self.max_weight, rows.weights)

    def clipped(self, rows: ScoredSequences) -> Tensor:
        """Return the share of the rows whose weight is bounded."""
        return (_exponential(rows.rewards, self.temperature) > self.max_weight).float().mean()
