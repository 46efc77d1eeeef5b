"""Policy gradients that bound how far a step may leave the policy that drew the rows: PPO, GRPO and GSPO."""

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

    Where π = μ its gradient is that of REINFORCE, and with advantages of tokens that of the actor of A2C.

    Args:
        agent: log π [n, L] of the tokens, 0 after the end of a row; the gradient flows through them only.
        behaviour: log μ [n, L] of the tokens, 0 after the end of a row.
        advantages: A [n], the reward of a row less a baseline, or [n, L], those of tokens.
        lengths: int64 [n], END counted.
        clip: how far a ratio may leave 1 before it has no gradient.
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
        agent: log π [n, L] of the tokens, 0 after the end of a row; the gradient flows through them only.
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
    """Return the share of the ratios that have no gradient: too high with a good reward, or too low with a bad one."""
    ratios = log_ratios.detach().exp()
    outside = ((ratios > 1 + clip_high) & (advantages > 0)) | ((ratios < 1 - clip) & (advantages < 0))
    return (outside & counted).sum() / counted.sum()


@checked
@dataclass(frozen=True)
class PPO:
    """The policy gradient with clipped ratios of the policy now and when the rows were drawn.

    Attributes:
        clip: how far the ratio of a token may leave 1 before it has no gradient.
        baseline: what is subtracted from each reward: the mean over all rows, the mean over the other rows, nothing, or
            of each token what a learned critic expects.
        kl_weight: the reward that a nat of divergence from the prior costs.
        entropy_weight: the reward that a nat of entropy of the policy brings.
        trace: with the critic: how far the advantage of a token looks ahead, lambda: 1 to the reward of the row, 0 to
            the value of the next state.
        discount: with the critic: what a reward is worth a token earlier.
        critic_learning_rate: the learning rate of the critic.
        allow_truncated: learn from rows that were drawn with top_k or top_p too, from which some molecules cannot come.
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
        """That of the critic."""
        return self.critic_learning_rate

    def critic_state(self, vocabulary_size: int) -> nn.Module | None:
        if self.baseline != "critic":
            return None
        from molbuffer.training.losses.critics import PPOState

        return PPOState(self, vocabulary_size)

    @property
    def clipped(self) -> Any:
        """A function that returns the share of the tokens that have no gradient; with a critic, its state tells."""
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
    """The clipped policy gradient with rewards relative to their group, which needs no value function.

    The rows that a conditional policy makes of one source are a group; the draws of any other policy are one group.

    Attributes:
        clip: how far the ratio of a token may fall below 1 before it has no gradient.
        clip_high: how far it may rise above 1.
        kl_weight: the weight of the divergence from the prior, for each token.
        normalise: divide rewards by the standard deviation of their group.
        allow_truncated: learn from rows that were drawn with top_k or top_p too, from which some molecules cannot come.
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
        """Return the share of the tokens that have no gradient."""
        advantages = group_advantages(rows.rewards, rows.groups, normalise=self.normalise)[:, None]
        counted = inside(rows.lengths, rows.agent.shape[1])
        return share_outside(rows.agent - rows.behaviour, advantages, counted, self.clip, self.clip_high)


@checked
@dataclass(frozen=True)
class GSPO:
    """The clipped policy gradient of GRPO with one ratio for a whole row, the mean one of its tokens.

    Attributes:
        clip: how far the ratio of a row may fall below 1 before it has no gradient.
        clip_high: how far it may rise above 1.
        kl_weight: the reward that a nat of divergence from the prior costs.
        normalise: divide rewards by the standard deviation of their group.
        allow_truncated: learn from rows that were drawn with top_k or top_p too, from which some molecules cannot come.
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
        """Return the share of the rows that have no gradient."""
        advantages = self._advantages(rows)
        log_ratios = (rows.agent - rows.behaviour).sum(1) / rows.lengths
        return share_outside(log_ratios, advantages, advantages.isfinite(), self.clip, self.clip_high)

    def _advantages(self, rows: ScoredSequences) -> Tensor:
        rewards = regularised_rewards(rows.rewards, rows.agent.sum(1), rows.prior.sum(1), self.kl_weight)
        return group_advantages(rewards, rows.groups, normalise=self.normalise)
