"""Losses that move the agent's log-likelihood to the augmented one: the prior's plus the scaled reward."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Gt, Le

from molbuffer.kinds import Share, checked
from molbuffer.training.losses.base import Positive, ScoredSequences, ValidOn, expect_rows, row_mean
from molbuffer.training.losses.ratios import truncated_weights

if TYPE_CHECKING:
    from torch import Tensor

TopShare = Annotated[float, Gt(0), Le(1)]


def reinvent(agent: Tensor, prior: Tensor, rewards: Tensor, sigma: float, weights: Tensor | None = None) -> Tensor:
    """Return the REINVENT loss, the mean of (prior + σ·reward − agent)².

    It is also known as the difference between augmented and posterior (DAP): it moves the agent's log-likelihood to the
    prior's plus the scaled reward. This target does not depend on the behaviour policy, so that the loss is valid on
    stored rows, too.

    Args:
        agent: log-likelihoods [n] under the agent; the gradient flows through them only.
        prior: log-likelihoods [n] under the prior.
        rewards: [n], in [0, 1].
        sigma: the weight of the reward against the prior, in nats.
        weights: [n], how much each row counts; None is 1 for each.

    Returns:
        A scalar.

    Source: Olivecrona et al. 2017, arXiv:1704.07555, equation 6; Fialková et al. 2022, arXiv:2107.08007 (DAP).
    """
    return row_mean(_squared_differences(agent, prior, rewards, sigma), weights)


def augmented_hill_climb(
    agent: Tensor, prior: Tensor, rewards: Tensor, sigma: float, share: float, weights: Tensor | None = None
) -> Tensor:
    """Return the REINVENT loss, as the mean over the ⌈share · n⌉ of n rows with the highest rewards.

    Args:
        agent: log-likelihoods [n] under the agent; the gradient flows through them only.
        prior: log-likelihoods [n] under the prior.
        rewards: [n], in [0, 1]; of rows with equal rewards, the earlier counts as higher.
        sigma: the weight of the reward against the prior, in nats.
        share: the share of the rows that count, in (0, 1].
        weights: [n], how much each row counts; None is 1 for each.

    Returns:
        A scalar.

    Source: Thomas et al. 2022, doi:10.1186/s13321-022-00646-z.
    """
    squares = _squared_differences(agent, prior, rewards, sigma)
    best = best_rows(rewards, share)
    return row_mean(squares[best], None if weights is None else weights[best])


def off_policy_reinvent(
    agent: Tensor,
    prior: Tensor,
    behaviour: Tensor,
    rewards: Tensor,
    sigma: float,
    max_weight: float,
    weights: Tensor | None = None,
) -> Tensor:
    """Return the mean of min(π/μ, max_weight) · (prior + σ·reward − agent)², the importance-weighted REINVENT loss.

    The weights are detached. They weigh a stored row by how often the agent would draw it, up to the bound, which
    ``reinvent`` does not.

    Args:
        agent: log π [n] of the rows; the gradient flows through them only.
        prior: log-likelihoods [n] under the prior.
        behaviour: log μ [n], under the distribution that drew the rows.
        rewards: [n], in [0, 1].
        sigma: the weight of the reward against the prior, in nats.
        max_weight: the largest weight.
        weights: [n], the row weights, which multiply the importance weights; None is 1 for each.

    Returns:
        A scalar.

    Source: for the loss, see ``reinvent``; for the weights, Ionides 2008, doi:10.1198/106186008X320456.
    """
    expect_rows(agent=agent, behaviour=behaviour)
    squares = _squared_differences(agent, prior, rewards, sigma)
    return row_mean(truncated_weights(agent - behaviour, max_weight) * squares, weights)


def best_agent_reminder(
    agent: Tensor,
    prior: Tensor,
    best: Tensor,
    reminders: Tensor,
    rewards: Tensor,
    sigma: float,
    share: float,
    weights: Tensor | None = None,
) -> Tensor:
    """Return the REINVENT loss with the best agent in the place of the prior on rows that the best agent drew.

    It is (1 − share) · mean of (prior + σ·reward − agent)² over the other rows + share · mean of (best + σ·reward −
    agent)² over the rows of the best agent. The second part keeps the agent close to the best agent.

    Args:
        agent: log-likelihoods [n] under the agent; the gradient flows through them only.
        prior: log-likelihoods [n] under the prior.
        best: log-likelihoods [n] under the best agent; only those of the rows that it drew are used.
        reminders: bool [n], whether the best agent drew the row.
        rewards: [n], in [0, 1].
        sigma: the weight of the reward, in nats.
        share: the weight of the second part, in [0, 1].
        weights: [n], how much each row counts; None is 1 for each.

    Returns:
        A scalar; a part without rows is 0.

    Source: Atance et al. 2022, doi:10.1021/acs.jcim.2c00838, equation 3.
    """
    expect_rows(agent=agent, best=best, reminders=reminders)
    squares = _squared_differences(agent, best.where(reminders, prior), rewards, sigma)
    counted = squares if weights is None else weights.detach() * squares
    drawn, of_best = ((counted * rows).sum() / rows.sum().clamp(min=1) for rows in (~reminders, reminders))
    return (1 - share) * drawn + share * of_best


def _squared_differences(agent: Tensor, prior: Tensor, rewards: Tensor, sigma: float) -> Tensor:
    expect_rows(agent=agent, prior=prior, rewards=rewards)
    return (prior.detach() + sigma * rewards.detach() - agent).square()


def best_rows(rewards: Tensor, share: float) -> Tensor:
    """Return the positions of the ⌈share · n⌉ highest of n rewards, int64; of equal ones, the earlier comes first."""
    return rewards.argsort(descending=True, stable=True)[: math.ceil(share * len(rewards))]


@checked
@dataclass(frozen=True)
class Reinvent:
    """The squared difference of the policy's log-likelihood and the prior's plus sigma x reward.

    Attributes:
        sigma: the log-likelihood, in nats, that a reward of 1 adds.

    Example:
        >>> str(mb.Reinvent(sigma=60.0).valid_on)
        'any'
    """

    sigma: Positive = 128.0

    valid_on: ClassVar[ValidOn] = ValidOn.ANY

    def __call__(self, rows: ScoredSequences) -> Tensor:
        return reinvent(rows.agent.sum(1), rows.prior.sum(1), rows.rewards, self.sigma, rows.weights)


@checked
@dataclass(frozen=True)
class AugmentedHillClimb:
    """The loss of reinvent on the rows of the batch with the highest rewards.

    Attributes:
        sigma: the log-likelihood, in nats, that a reward of 1 adds.
        share: the share of the batch that the loss learns from, in (0, 1].
    """

    sigma: Positive = 60.0
    share: TopShare = 0.5

    valid_on: ClassVar[ValidOn] = ValidOn.ANY

    def __call__(self, rows: ScoredSequences) -> Tensor:
        agent, prior = rows.agent.sum(1), rows.prior.sum(1)
        return augmented_hill_climb(
            agent=agent, prior=prior, rewards=rows.rewards, sigma=self.sigma, share=self.share, weights=rows.weights
        )


@checked
@dataclass(frozen=True)
class OffPolicyReinvent:
    """The loss of reinvent with each row weighted by its importance weight.

    Attributes:
        sigma: the log-likelihood, in nats, that a reward of 1 adds.
        max_weight: the largest importance weight of a row.
        allow_truncated: also learn from rows drawn with top_k or top_p, with which some molecules cannot be drawn.
    """

    sigma: Positive = 128.0
    max_weight: Positive = 2.0
    allow_truncated: bool = False

    valid_on: ClassVar[ValidOn] = ValidOn.BEHAVIOUR

    def __call__(self, rows: ScoredSequences) -> Tensor:
        agent, prior, behaviour = rows.agent.sum(1), rows.prior.sum(1), rows.behaviour.sum(1)
        return off_policy_reinvent(
            agent=agent,
            prior=prior,
            behaviour=behaviour,
            rewards=rows.rewards,
            sigma=self.sigma,
            max_weight=self.max_weight,
            weights=rows.weights,
        )

    def clipped(self, rows: ScoredSequences) -> Tensor:
        """Return the share of the rows whose weight is bounded."""
        return ((rows.agent - rows.behaviour).detach().sum(1) > math.log(self.max_weight)).float().mean()


@checked
@dataclass(frozen=True)
class BestAgentReminder:
    """The loss of reinvent, with the best agent of the run in the place of the prior on rows that the best agent drew.

    These are live rows of samplers with the policy "best", at temperature 1 and from all tokens.

    Attributes:
        sigma: the log-likelihood, in nats, that a reward of 1 adds.
        share: the weight of the rows of the best agent, in [0, 1], whatever their number.
    """

    sigma: Positive = 60.0
    share: Share = 0.5

    valid_on: ClassVar[ValidOn] = ValidOn.ANY
    needs_reminders: ClassVar[bool] = True

    def __call__(self, rows: ScoredSequences) -> Tensor:
        agent, prior, best = rows.agent.sum(1), rows.prior.sum(1), rows.behaviour.sum(1)
        reminders = agent.new_zeros(agent.shape).bool() if rows.reminders is None else rows.reminders
        return best_agent_reminder(
            agent=agent,
            prior=prior,
            best=best,
            reminders=reminders,
            rewards=rows.rewards,
            sigma=self.sigma,
            share=self.share,
            weights=rows.weights,
        )
