"""Policy gradients of the reward: on the agent's own draws, and on stored rows with importance weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge, Lt

from molbuffer.kinds import checked
from molbuffer.training.losses.base import (
    NotNegative,
    Positive,
    ScoredSequences,
    ValidOn,
    expect_rows,
    expect_tokens,
    row_mean,
)
from molbuffer.training.losses.baselines import BASELINES, Baseline, mean_reward, regularised_rewards
from molbuffer.training.losses.ratios import truncated_weights, vtrace_weights

if TYPE_CHECKING:
    from torch import Tensor, nn


def reinforce(
    log_probs: Tensor, rewards: Tensor, baseline: Baseline = mean_reward, weights: Tensor | None = None
) -> Tensor:
    """Return the mean of −w · log p · (reward − baseline), whose gradient estimates the gradient of −E[reward].

    Args:
        log_probs: log p of the draws [n]; the gradient flows through it alone, so that the draws must be detached.
        rewards: [n].
        baseline: the function of rewards and weights that is subtracted from the rewards.
        weights: the importance weights w [n], such as ``truncated_weights``; None is 1 for each, for draws from p.

    Returns:
        A scalar.

    Source: Williams 1992, REINFORCE (doi:10.1007/BF00992696).
    """
    weights = rewards.new_ones(rewards.shape) if weights is None else weights.detach()
    expect_rows(log_probs=log_probs, rewards=rewards, weights=weights)
    rewards = rewards.detach()
    return -(weights * log_probs * (rewards - baseline(rewards, weights))).mean()


def importance_weighted(
    agent: Tensor, weights: Tensor, advantages: Tensor, row_weights: Tensor | None = None
) -> Tensor:
    """Return the mean over rows of −advantage · Σ_t w_t · log π_t, the policy gradient on rows of another policy.

    Args:
        agent: log π [n, L] of the tokens, 0 after the end of a row; the gradient flows through it alone.
        weights: the importance weights w [n, L] of the tokens; weights of whole rows are equal within a row.
        advantages: [n], the reward of a row less a baseline.
        row_weights: [n], the row weights, which multiply the importance weights; None is 1 for each.

    Returns:
        A scalar.

    Source: token weights as in Yao et al. 2025 (truncated importance sampling,
    https://fengyao.notion.site/off-policy-rl); row weights Ionides 2008, doi:10.1198/106186008X320456; V-trace
    Espeholt et al. 2018, arXiv:1802.01561.
    """
    expect_tokens(agent=agent, weights=weights)
    expect_rows(advantages=advantages, rows=agent[:, 0])
    return -row_mean(advantages.detach() * (weights.detach() * agent).sum(1), row_weights)


@checked
@dataclass(frozen=True)
class Reinforce:
    """The policy gradient of the reward less a baseline: REINFORCE.

    Attributes:
        baseline: the baseline that is subtracted from each reward. mean: the mean over all rows; leave_one_out: the
            mean over the other rows; moving: the moving mean of earlier batches; none: 0.
        decay: for the moving mean, the weight of its value before a batch, in [0, 1).
        kl_weight: the reward that is subtracted for a nat of divergence from the prior.
        entropy_weight: the reward that is added for a nat of entropy of the policy.
    """

    baseline: Literal["mean", "leave_one_out", "moving", "none"] = "leave_one_out"
    decay: Annotated[float, Ge(0), Lt(1)] = 0.9
    kl_weight: NotNegative = 0.0
    entropy_weight: NotNegative = 0.0

    valid_on: ClassVar[ValidOn] = ValidOn.ON_POLICY
    state_learning_rate: ClassVar[float] = 0.0

    def __call__(self, rows: ScoredSequences) -> Tensor:
        made: Tensor = self.state()(rows)
        return made

    def state(self) -> nn.Module:
        from molbuffer.training.losses.states import ReinforceState

        return ReinforceState(self)


@checked
@dataclass(frozen=True)
class ImportanceWeighted:
    """The policy gradient on rows of any policy, with importance weights.

    Attributes:
        form: what has a weight. token: each token its own ratio; sequence: the whole row; vtrace: each token its own
            ratio and those of the later tokens, as in V-trace.
        max_weight: the largest weight of a token or of a row.
        max_trace: for vtrace, the largest ratio of a later token.
        baseline: the baseline that is subtracted from each reward. mean: the weighted mean over all rows;
            leave_one_out: the weighted mean over the other rows; none: 0.
        kl_weight: the reward that is subtracted for a nat of divergence from the prior.
        entropy_weight: the reward that is added for a nat of entropy of the policy.
        allow_truncated: also learn from rows drawn with top_k or top_p, with which some molecules cannot be drawn.
    """

    form: Literal["token", "sequence", "vtrace"] = "sequence"
    max_weight: Positive = 2.0
    max_trace: Positive = 1.0
    baseline: Literal["mean", "leave_one_out", "none"] = "mean"
    kl_weight: NotNegative = 0.0
    entropy_weight: NotNegative = 0.0
    allow_truncated: bool = False

    valid_on: ClassVar[ValidOn] = ValidOn.BEHAVIOUR

    def __call__(self, rows: ScoredSequences) -> Tensor:
        agent, prior = rows.agent.sum(1), rows.prior.sum(1)
        log_ratios = (rows.agent - rows.behaviour).detach()
        of_rows = truncated_weights(log_ratios.sum(1), self.max_weight)
        if self.form == "token":
            weights = truncated_weights(log_ratios, self.max_weight)
        elif self.form == "vtrace":
            weights = vtrace_weights(log_ratios, rows.lengths, self.max_weight, self.max_trace)
        else:
            weights = of_rows[:, None].expand_as(rows.agent)
        rewards = regularised_rewards(rows.rewards, agent, prior, self.kl_weight, self.entropy_weight)
        advantages = rewards - BASELINES[self.baseline](rewards, of_rows)
        return importance_weighted(rows.agent, weights, advantages, rows.weights)

    def clipped(self, rows: ScoredSequences) -> Tensor:
        """Return the share of the tokens, or of the rows, whose ratio is above ``max_weight``."""
        log_ratios = (rows.agent - rows.behaviour).detach()
        if self.form == "sequence":
            return (log_ratios.sum(1) > math.log(self.max_weight)).float().mean()
        return (log_ratios > math.log(self.max_weight)).sum() / rows.lengths.sum()
