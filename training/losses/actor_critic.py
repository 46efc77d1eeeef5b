"""A2C: advantages of tokens from a learned value, and the losses of the actor and the critic.

The state before token t is the sequence of earlier tokens, and V its value: a critic's estimate of the reward that is
still to come. The reward of a token is the reward or cost of its divergence from the prior and of its entropy; the last
token of a row also has the reward of the row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

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
from molbuffer.training.losses.ratios import inside

if TYPE_CHECKING:
    from torch import Tensor, nn


def token_rewards(rows: ScoredSequences, kl_weight: float = 0.0, entropy_weight: float = 0.0) -> Tensor:
    """Return the reward [n, L] of each token, detached; 0 after the end of a row.

    It is −kl_weight · (log π − log prior) − entropy_weight · log π, plus the row's reward at its last token, so that
    the sum over a row is the value of ``regularised_rewards``.

    Args:
        rows: the rows.
        kl_weight: the weight of the divergence, in units of the reward for each nat.
        entropy_weight: the weight of the entropy, in units of the reward for each nat.
    """
    import torch

    agent = rows.agent.detach()
    costs = -kl_weight * (agent - rows.prior.detach()) - entropy_weight * agent
    last = torch.arange(agent.shape[1], device=agent.device) == rows.lengths[:, None] - 1
    return costs * inside(rows.lengths, agent.shape[1]) + last * rows.rewards.detach()[:, None]


def generalised_advantages(rewards: Tensor, values: Tensor, lengths: Tensor, discount: float, trace: float) -> Tensor:
    """Return A_t = Σ_k (γλ)^k δ_{t+k}, δ_t = r_t + γ V_{t+1} − V_t, [n, L], detached; 0 after the end of a row.

    V after the last token of a row is 0. With λ = 1, A_t is the return less V_t; with λ = 0, the error of one step; in
    between, a weighted mean of the n-step advantages for all n. V_t is trained towards the λ-return A_t + V_t.

    Args:
        rewards: r [n, L] of the tokens.
        values: V [n, L] of the states before the tokens.
        lengths: the number of tokens of each row, int64 [n].
        discount: γ, in [0, 1].
        trace: λ, in [0, 1].

    Source: Schulman et al. 2016, arXiv:1506.02438, equation 16.
    """
    expect_tokens(rewards=rewards, values=values)
    expect_rows(lengths=lengths, rows=rewards[:, 0])
    import torch

    mask = inside(lengths, rewards.shape[1])
    values = (values * mask).detach()
    errors = rewards.detach() * mask + discount * torch.nn.functional.pad(values[:, 1:], (0, 1)) - values
    advantages = torch.zeros_like(errors)
    later = errors.new_zeros(len(errors))
    for token in range(errors.shape[1] - 1, -1, -1):
        later = errors[:, token] + discount * trace * later
        advantages[:, token] = later
    return advantages * mask


def advantage_actor(agent: Tensor, advantages: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean over rows of −Σ_t A_t log π_t, the loss of the actor of A2C.

    Args:
        agent: log π [n, L] of the tokens, 0 after the end of a row; the gradient flows through it alone.
        advantages: A [n, L] of the tokens.
        weights: [n], how much each row counts; None is 1 for each.

    Returns:
        A scalar.

    Source: Mnih et al. 2016, arXiv:1602.01783, section 4 (A3C), with one worker.
    """
    expect_tokens(agent=agent, advantages=advantages)
    return -row_mean((advantages.detach() * agent).sum(1), weights)


def value_error(values: Tensor, returns: Tensor, lengths: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean over rows of 1/|row| Σ_t (V_t − G_t)², the loss of a critic.

    Args:
        values: V [n, L] of the states before the tokens; the gradient flows through it alone.
        returns: the returns G [n, L].
        lengths: the number of tokens of each row, int64 [n].
        weights: [n], how much each row counts; None is 1 for each.

    Returns:
        A scalar.
    """
    expect_tokens(values=values, returns=returns)
    squares = (values - returns.detach()).square() * inside(lengths, values.shape[1])
    return row_mean(squares.sum(1) / lengths, weights)


@checked
@dataclass(frozen=True)
class A2C:
    """The policy gradient of each token with a learned critic as baseline: advantage actor-critic.

    The critic is a separate small network, which reads the earlier tokens.

    Attributes:
        trace: lambda, how far the advantage of a token looks ahead: 1 to the reward of the row, 0 to the value of the
            next state.
        discount: gamma, the factor on a reward for each token between it and the present token.
        critic_learning_rate: the learning rate of the critic.
        kl_weight: the reward that is subtracted for a nat of divergence from the prior.
        entropy_weight: the reward that is added for a nat of entropy of the policy.
    """

    trace: Share = 0.95
    discount: Share = 1.0
    critic_learning_rate: Positive = 1e-3
    kl_weight: NotNegative = 0.0
    entropy_weight: NotNegative = 0.0

    valid_on: ClassVar[ValidOn] = ValidOn.ON_POLICY

    def __call__(self, rows: ScoredSequences) -> Tensor:
        made: Tensor = self.critic_state(rows.vocabulary_size)(rows)
        return made

    @property
    def state_learning_rate(self) -> float:
        """The learning rate of the critic."""
        return self.critic_learning_rate

    def critic_state(self, vocabulary_size: int) -> nn.Module:
        from molbuffer.training.losses.critics import A2CState

        return A2CState(self, vocabulary_size)
