"""The states of losses: modules that the learner calls, moves to its device, optimises and saves in checkpoints."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from molbuffer.training.losses.balance import TrajectoryBalance, trajectory_balance
from molbuffer.training.losses.base import ScoredSequences
from molbuffer.training.losses.baselines import BASELINES, regularised_rewards
from molbuffer.training.losses.conservatism import Conservative
from molbuffer.training.losses.policy_gradients import Reinforce, reinforce


class ReinforceState(nn.Module):
    """The state of REINFORCE: the moving mean of the rewards of earlier batches.

    Attributes:
        mean: the moving mean, a scalar.
        batches: the number of batches in it, int64.
    """

    mean: Tensor
    batches: Tensor

    def __init__(self, settings: Reinforce) -> None:
        super().__init__()
        self._settings = settings
        self.register_buffer("mean", torch.zeros((), device="cpu"))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64, device="cpu"))

    def forward(self, rows: ScoredSequences) -> Tensor:
        """Return the loss of rows, and update the moving mean with their rewards."""
        of, agent = self._settings, rows.agent.sum(1)
        rewards = regularised_rewards(rows.rewards, agent, rows.prior.sum(1), of.kl_weight, of.entropy_weight)
        baseline = self._moving if of.baseline == "moving" else BASELINES[of.baseline]
        return reinforce(agent, rewards, baseline, rows.weights)

    def _moving(self, rewards: Tensor, weights: Tensor) -> Tensor:
        """Update the moving mean; return its value before these rewards, or for the first batch their own mean."""
        now = rewards.mean()
        before = now if self.batches == 0 else self.mean.clone()
        self.mean.copy_(before + (1 - self._settings.decay) * (now - before))
        self.batches += 1
        return before


class TrajectoryBalanceState(nn.Module):
    """The state of trajectory balance: a learned log Z.

    Attributes:
        log_z: log Z, a scalar parameter.
    """

    def __init__(self, settings: TrajectoryBalance) -> None:
        super().__init__()
        self._settings = settings
        self.log_z = nn.Parameter(torch.tensor(settings.log_z, device="cpu"))

    def forward(self, rows: ScoredSequences) -> Tensor:
        """Return the loss of rows."""
        of, agent, prior = self._settings, rows.agent.sum(1), rows.prior.sum(1)
        return trajectory_balance(
            agent=agent,
            prior=prior,
            rewards=rows.rewards,
            log_z=self.log_z,
            beta=of.beta,
            prior_weight=of.prior_weight,
            weights=rows.weights,
        )


class ConservativeState(nn.Module):
    """The state of a loss to which terms are added that keep the policy close to its rows and to the prior.

    Attributes:
        inner: the state of the loss.
    """

    def __init__(self, inner: nn.Module, settings: Conservative) -> None:
        super().__init__()
        self.inner, self._settings = inner, settings

    def forward(self, rows: ScoredSequences) -> Tensor:
        """Return the loss of rows plus the terms."""
        found: Tensor = self.inner(rows) + self._settings.terms(rows)
        return found

    @property
    def metrics(self) -> Mapping[str, Tensor]:
        """The metrics of the state of the loss, scalars by name."""
        found: Mapping[str, Tensor] = getattr(self.inner, "metrics", {})
        return found
