"""Policy gradients with bounded ratios to the behaviour policy: PPO, GRPO and GSPO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_types import Gt, Lt

from molbuffer.kinds import Share, checked
from molbuffer.training.losses.base import (
    NotNegative,
    Positive,
    ScoredSequences,
    ValidOn,
    expect_rows,
    expect_tokens,
    row_mean,
)
from molbuffer.training.losses.baselines import BASELINES, group_advantages, regularised_rewards
from molbuffer.training.losses.ratios import inside, kl_k3

if TYPE_CHECKING:
    from torch import Tensor, nn

Clip = Annotated[float, Gt(0), Lt(1)]


def ppo(
    agent: Tensor,
    behaviour: Tensor,
    advantages: Tensor,
    lengths: Tensor,
    clip: float,
    weights: Tensor | None = None,
) -> Tensor:
    """Return the mean over rows of −Σ_t min(w_t A, clamp(w_t, 1 − clip, 1 + clip) A), w_t = π / μ of token t.

    If π = μ, its gradient equals that of REINFORCE, or with advantages of tokens that of the actor of A2C.

    Args:
        agent: log π [n, L] of the tokens, 0 after the end of a row; the gradient flows through it alone.
        behaviour: log μ [n, L] of the tokens, 0 after the end of a row.
        advantages: A [n], the reward of a row less a baseline, or A [n, L], the advantages of tokens.
        lengths: the number of tokens of each row, END included, int64 [n].
        clip: the largest distance of a ratio from 1, in (0, 1); beyond it, the ratio has no gradient.
        weights: [n], how much each row counts; None is 1 for each.

    Returns:
        A scalar.

    Source: Schulman et al. 2017, arXiv:1707.06347, equation 7, for whole rows: the sum over their tokens.
    """
    terms = _clipped_terms(agent, behaviour, advantages, clip, clip)
    return -row_mean((terms * inside(lengths, agent.shape[1])).sum(1), weights)


def grpo(
    agent: Tensor,
    prior: Tensor,
    behaviour: Tensor,
    advantages: Tensor,
    lengths: Tensor,
    clip: float,
    clip_high: float,
    kl_weight: float,
    weights: Tensor | None = None,
) -> Tensor:
    """Return the mean over rows of −1/|row| Σ_t [min(w_t A, clamp(w_t, 1 − clip, 1 + clip_high) A) − β · KL_t].

    KL_t is the estimate k3 of the divergence from the prior.

    Args:
        agent: log π [n, L] of the tokens, 0 after the end of a row; the gradient flows through it alone.
        prior: log-probabilities [n, L] of the tokens under the prior.
        behaviour: log μ [n, L] of the tokens.
        advantages: A [n], relative to the group of each row.
        lengths: int64 [n], END counted.
        clip: how far a ratio may fall below 1.
        clip_high: how far a ratio may rise above 1.
        kl_weight: β.
        weights: [n], how much each row counts; None is 1 for each.

    Returns:
        A scalar.

    Source: Shao et al. 2024, arXiv:2402.03300, equation 3; the two bounds Yu et al. 2025, DAPO, arXiv:2503.14476.
    """
    expect_tokens(agent=agent, prior=prior, behaviour=behaviour)
    terms = _clipped_terms(agent, behaviour, advantages, clip, clip_high) - kl_weight * kl_k3(agent, prior)
    return -row_mean((terms * inside(lengths, agent.shape[1])).sum(1) / lengths, weights)


def gspo(
    agent: Tensor,
    behaviour: Tensor,
    advantages: Tensor,
    lengths: Tensor,
    clip: float,
    clip_high: float,
    weights: Tensor | None = None,
) -> Tensor:
    """Return the mean over rows of −min(s A, clamp(s, 1 − clip, 1 + clip_high) A), s = (π / μ)^(1 / |row|) of the row.

    Args:
        agent: log π [n, L] of the tokens, 0 after the end of a row; the gradient flows through them only.
        behaviour: log μ [n, L] of the tokens, 0 after the end of a row.
        advantages: A [n], relative to the group of each row.
        lengths: int64 [n], END counted.
        clip: how far a ratio may fall below 1.
        clip_high: how far a ratio may rise above 1.
        weights: [n], how much each row counts; None is 1 for each.

    Returns:
        A scalar.

    Source: Zheng et al. 2025, arXiv:2507.18071, equations 5 and 7.
    """
    expect_tokens(agent=agent, behaviour=behaviour)
    expect_rows(advantages=advantages, lengths=lengths)
    of_rows = (agent.sum(1) / lengths, behaviour.sum(1) / lengths)
    terms = _clipped_terms(of_rows[0][:, None], of_rows[1][:, None], advantages, clip, clip_high)
    return -row_mean(terms[:, 0], weights)


def _clipped_terms(agent: Tensor, behaviour: Tensor, advantages: Tensor, clip: float, clip_high: float) -> Tensor:
    expect_tokens(agent=agent, behaviour=behaviour)
    if advantages.ndim == 1:
        expect_rows(advantages=advantages, rows=agent[:, 0])
        advantages = advantages[:, None]
    else:
        expect_tokens(agent=agent, advantages=advantages)
    advantages = advantages.detach()
    ratios = (agent - behaviour.detach()).exp()
    return (ratios * advantages).minimum(ratios.clamp(1 - clip, 1 + clip_high) * advantages)


def share_outside(log_ratios: Tensor, advantages: Tensor, counted: Tensor, clip: float, clip_high: float) -> Tensor:
    """Return the share of the ratios without a gradient: above the band with A > 0, or below it with A < 0."""
    ratios = log_ratios.detach().exp()
    outside = ((ratios > 1 + clip_high) & (advantages > 0)) | ((ratios < 1 - clip) & (advantages < 0))
    return (outside & counted).sum() / counted.sum()


@checked
@dataclass(frozen=True)
class PPO:
    """The policy gradient with clipped likelihood ratios of policy and behaviour policy: PPO.

    Attributes:
        clip: the largest distance of the ratio of a token from 1; beyond it, the token has no gradient.
        baseline: the baseline that is subtracted from each reward. mean: the mean over all rows; leave_one_out: the
            mean over the other rows; none: 0; critic: for each token, the value that a learned critic estimates.
        kl_weight: the reward that is subtracted for a nat of divergence from the prior.
        entropy_weight: the reward that is added for a nat of entropy of the policy.
        trace: with the critic, lambda, how far the advantage of a token looks ahead: 1 to the reward of the row, 0 to
            the value of the next state.
        discount: with the critic, gamma, the factor on a reward for each token between it and the present token.
        critic_learning_rate: the learning rate of the critic.
        allow_truncated: also learn from rows drawn with top_k or top_p, with which some molecules cannot be drawn.
    """

    clip: Clip = 0.2
    baseline: Literal["mean", "leave_one_out", "none", "critic"] = "mean"
    kl_weight: NotNegative = 0.0
    entropy_weight: NotNegative = 0.0
    trace: Share = 0.95
    discount: Share = 1.0
    critic_learning_rate: Positive = 1e-3
    allow_truncated: bool = False

    valid_on: ClassVar[ValidOn] = ValidOn.BEHAVIOUR

    def __call__(self, rows: ScoredSequences) -> Tensor:
        if (state := self.critic_state(rows.vocabulary_size)) is not None:
            made: Tensor = state(rows)
            return made
        return ppo(
            agent=rows.agent,
            behaviour=rows.behaviour,
            advantages=self._advantages(rows),
            lengths=rows.lengths,
            clip=self.clip,
            weights=rows.weights,
        )

    @property
    def state_learning_rate(self) -> float:
        """The learning rate of the critic."""
        return self.critic_learning_rate

    def critic_state(self, vocabulary_size: int) -> nn.Module | None:
        if self.baseline != "critic":
            return None
        from molbuffer.training.losses.critics import PPOState

        return PPOState(self, vocabulary_size)

    @property
    def clipped(self) -> Any:
        """A function that returns the share of tokens without a gradient; None with a critic, whose state has it."""
        return None if self.baseline == "critic" else self._clipped

    def _clipped(self, rows: ScoredSequences) -> Tensor:
        advantages, counted = self._advantages(rows)[:, None], inside(rows.lengths, rows.agent.shape[1])
        return share_outside(rows.agent - rows.behaviour, advantages, counted, self.clip, self.clip)

    def _advantages(self, rows: ScoredSequences) -> Tensor:
        agent, prior = rows.agent.sum(1), rows.prior.sum(1)
        rewards = regularised_rewards(rows.rewards, agent, prior, self.kl_weight, self.entropy_weight)
        return rewards - BASELINES[self.baseline](rewards, rewards.new_ones(rewards.shape))


@checked
@dataclass(frozen=True)
class GRPO:
    """The clipped policy gradient with rewards relative to their group, which needs no critic: GRPO.

    The rows that a conditional policy draws for one source are a group; the draws of any other policy are one group.

    Attributes:
        clip: how far the ratio of a token may fall below 1; beyond it, the token has no gradient.
        clip_high: how far the ratio may rise above 1.
        kl_weight: the weight of the divergence from the prior, for each token.
        normalise: divide rewards by the standard deviation of their group.
        allow_truncated: also learn from rows drawn with top_k or top_p, with which some molecules cannot be drawn.
    """

    clip: Clip = 0.2
    clip_high: Positive = 0.2
    kl_weight: NotNegative = 0.04
    normalise: bool = True
    allow_truncated: bool = False

    valid_on: ClassVar[ValidOn] = ValidOn.BEHAVIOUR

    def __call__(self, rows: ScoredSequences) -> Tensor:
        advantages = group_advantages(rows.rewards, rows.groups, normalise=self.normalise)
        return grpo(
            agent=rows.agent,
            prior=rows.prior,
            behaviour=rows.behaviour,
            advantages=advantages,
            lengths=rows.lengths,
            clip=self.clip,
            clip_high=self.clip_high,
            kl_weight=self.kl_weight,
            weights=rows.weights,
        )

    def clipped(self, rows: ScoredSequences) -> Tensor:
        """Return the share of the tokens without a gradient, a scalar."""
        advantages = group_advantages(rows.rewards, rows.groups, normalise=self.normalise)[:, None]
        counted = inside(rows.lengths, rows.agent.shape[1])
        return share_outside(rows.agent - rows.behaviour, advantages, counted, self.clip, self.clip_high)


@checked
@dataclass(frozen=True)
class GSPO:
    """The clipped policy gradient of GRPO with one ratio for a row, the geometric mean of those of its tokens: GSPO.

    Attributes:
        clip: how far the ratio of a row may fall below 1; beyond it, the row has no gradient.
        clip_high: how far the ratio may rise above 1.
        kl_weight: the reward that is subtracted for a nat of divergence from the prior.
        normalise: divide rewards by the standard deviation of their group.
        allow_truncated: also learn from rows drawn with top_k or top_p, with which some molecules cannot be drawn.
    """

    clip: Clip = 0.05
    clip_high: Positive = 0.05
    kl_weight: NotNegative = 0.0
    normalise: bool = True
    allow_truncated: bool = False

    valid_on: ClassVar[ValidOn] = ValidOn.BEHAVIOUR

    def __call__(self, rows: ScoredSequences) -> Tensor:
        advantages = self._advantages(rows)
        return gspo(
            agent=rows.agent,
            behaviour=rows.behaviour,
            advantages=advantages,
            lengths=rows.lengths,
            clip=self.clip,
            clip_high=self.clip_high,
            weights=rows.weights,
        )

    def clipped(self, rows: ScoredSequences) -> Tensor:
        """Return the share of the rows without a gradient, a scalar."""
        advantages = self._advantages(rows)
        log_ratios = (rows.agent - rows.behaviour).sum(1) / rows.lengths
        return share_outside(log_ratios, advantages, advantages.isfinite(), self.clip, self.clip_high)

    def _advantages(self, rows: ScoredSequences) -> Tensor:
        rewards = regularised_rewards(rows.rewards, rows.agent.sum(1), rows.prior.sum(1), self.kl_weight)
        return group_advantages(rewards, rows.groups, normalise=self.normalise)
