"""The critic, and the states of losses with a critic, which are modules as in ``states``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import torch
from torch import Tensor, nn

from molbuffer.samplers.models import tokens_before
from molbuffer.training.losses.actor_critic import (
    A2C,
    advantage_actor,
    generalised_advantages,
    token_rewards,
    value_error,
)
from molbuffer.training.losses.base import ScoredSequences
from molbuffer.training.losses.proximal import PPO, ppo, share_outside
from molbuffer.training.losses.ratios import inside

_EMBEDDING, _HIDDEN = 32, 64
"""The sizes of the critic. It is smaller than a policy, since a value is simpler than a distribution of next tokens."""


class Critic(nn.Module):
    """A network that estimates the value of the beginning of a row: an embedding of its tokens, a GRU, a linear head.

    All values are 0 at first, so that the first step equals that of a loss without a baseline. The other first weights
    are the same in every training, and do not depend on the generators of the process.
    """

    def __init__(self, vocabulary_size: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.embedding = nn.Embedding(vocabulary_size, _EMBEDDING, device="cpu")
            self.recurrent = nn.GRU(_EMBEDDING, _HIDDEN, batch_first=True, device="cpu")
            self.head = nn.Linear(_HIDDEN, 1, device="cpu")
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the values [n, L] of the states before the tokens int64 [n, L]."""
        values: Tensor = self.head(self.recurrent(self.embedding(tokens_before(tokens)))[0])
        return values[..., 0]


class _Settings(Protocol):
    """The settings of a loss with a critic from which its advantages are computed."""

    @property
    def kl_weight(self) -> float: ...
    @property
    def entropy_weight(self) -> float: ...
    @property
    def discount(self) -> float: ...
    @property
    def trace(self) -> float: ...


class _WithCritic(nn.Module, ABC):
    """The base class of the states of losses with a critic.

    Attributes:
        critic: the critic.
        metrics: the metrics of the last step: ``value_error``, the loss of the critic, and ``explained_variance``, the
            share of the variance of the returns that the values explain.
    """

    def __init__(self, settings: _Settings, vocabulary_size: int) -> None:
        super().__init__()
        self._advantages = settings
        self.critic = Critic(vocabulary_size)
        self.metrics: dict[str, Tensor] = {}

    def forward(self, rows: ScoredSequences) -> Tensor:
        """Return the sum of the losses of the actor and of the critic, which share no parameters."""
        advantages, error = self._judged(rows)
        return self.actor(rows, advantages) + error

    @abstractmethod
    def actor(self, rows: ScoredSequences, advantages: Tensor) -> Tensor:
        """Return the loss of the actor, a scalar, from the advantages [n, L] of the tokens, detached."""

    def _judged(self, rows: ScoredSequences) -> tuple[Tensor, Tensor]:
        """Return the advantages [n, L] of the tokens, detached, and the loss of the critic, a scalar."""
        if rows.tokens is None:
            raise ValueError("a loss with a critic needs the tokens of its rows, got rows without tokens")
        values, settings = self.critic(rows.tokens), self._advantages
        rewards = token_rewards(rows, settings.kl_weight, settings.entropy_weight)
        advantages = generalised_advantages(rewards, values, rows.lengths, settings.discount, settings.trace)
        returns = advantages + values.detach()
        error = value_error(values, returns, rows.lengths, rows.weights)
        counted = inside(rows.lengths, values.shape[1])
        explained = 1 - advantages[counted].var() / returns[counted].var().clamp(min=1e-12)
        self.metrics = {"value_error": error.detach(), "explained_variance": explained}
        return advantages, error


class A2CState(_WithCritic):
    """The state of A2C: its critic."""

    def __init__(self, settings: A2C, vocabulary_size: int) -> None:
        super().__init__(settings, vocabulary_size)

    def actor(self, rows: ScoredSequences, advantages: Tensor) -> Tensor:
        return advantage_actor(rows.agent, advantages, rows.weights)


class PPOState(_WithCritic):
    """The state of PPO with a critic instead of a baseline."""

    def __init__(self, settings: PPO, vocabulary_size: int) -> None:
        super().__init__(settings, vocabulary_size)
        self._clip = settings.clip

    def actor(self, rows: ScoredSequences, advantages: Tensor) -> Tensor:
        clip, counted = self._clip, inside(rows.lengths, rows.agent.shape[1])
        self.metrics["clipped"] = share_outside(rows.agent - rows.behaviour, advantages, counted, clip, clip)
        return ppo(
            agent=rows.agent,
            behaviour=rows.behaviour,
            advantages=advantages,
            lengths=rows.lengths,
            clip=clip,
            weights=rows.weights,
        )
