"""Trajectory balance, the loss of generative flow networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from molbuffer.kinds import checked
from molbuffer.training.losses.base import NotNegative, Positive, ScoredSequences, ValidOn, expect_rows, row_mean

if TYPE_CHECKING:
    from torch import Tensor, nn


def trajectory_balance(
    agent: Tensor,
    prior: Tensor,
    rewards: Tensor,
    log_z: Tensor,
    beta: float,
    prior_weight: float,
    weights: Tensor | None = None,
) -> Tensor:
    """Return the mean of (log Z + log π − β · reward − w · log prior)².

    It is 0 if the agent draws each row with a probability proportional to prior^w · exp(β · reward), and log Z is the
    logarithm of the sum of these terms over all sequences. The target does not depend on the behaviour policy. With
    w = 0 this is trajectory balance for the reward exp(β · reward). A string can be built in one way only, so that
    there is no backward policy.

    Args:
        agent: log π [n] of the rows; the gradient flows through them and log_z.
        prior: log-likelihoods [n] of the rows under the prior.
        rewards: [n], in [0, 1].
        log_z: log Z, a scalar.
        beta: β, in nats: the log-likelihood that a reward of 1 adds.
        prior_weight: w, the weight of the prior in the target, at least 0.
        weights: [n], how much each row counts; None is 1 for each.

    Returns:
        A scalar.

    Source: Malkin et al. 2022, arXiv:2201.13259, equation 14; for molecules as strings Kim et al. 2024, Genetic GFN,
    arXiv:2402.05961.
    """
    expect_rows(agent=agent, prior=prior, rewards=rewards)
    if log_z.ndim != 0:
        raise ValueError(f"expected a scalar log_z, got {tuple(log_z.shape)}")
    differences = log_z + agent - beta * rewards.detach() - prior_weight * prior.detach()
    return row_mean(differences.square(), weights)


@checked
@dataclass(frozen=True)
class TrajectoryBalance:
    """Trajectory balance of a generative flow network: the policy learns to draw in proportion to prior and reward.

    Attributes:
        beta: the log-likelihood, in nats, that a reward of 1 adds.
        prior_weight: the weight of the prior's log-likelihood in the target; with 0, the probabilities of molecules
            depend on the reward alone.
        log_z: the first value of log Z, which is learned.
        z_learning_rate: the learning rate of log Z.
    """

    beta: Positive = 50.0
    prior_weight: NotNegative = 1.0
    log_z: float = 0.0
    z_learning_rate: Positive = 0.1

    valid_on: ClassVar[ValidOn] = ValidOn.ANY

    def __call__(self, rows: ScoredSequences) -> Tensor:
        made: Tensor = self.state()(rows)
        return made

    @property
    def state_learning_rate(self) -> float:
        """The learning rate of log Z."""
        return self.z_learning_rate

    def state(self) -> nn.Module:
        from molbuffer.training.losses.states import TrajectoryBalanceState

        return TrajectoryBalanceState(self)
