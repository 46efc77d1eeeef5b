"""Terms added to a loss that keep the policy close to the rows of its data, or to the prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from molbuffer.training.losses.base import (
    CriticLoss,
    Loss,
    NotNegative,
    ScoredSequences,
    StatefulLoss,
    ValidOn,
    expect_tokens,
)
from molbuffer.training.losses.ratios import kl_k3

if TYPE_CHECKING:
    from torch import Tensor, nn


def conservative_terms(agent: Tensor, prior: Tensor, cloning_weight: float, kl_weight: float) -> Tensor:
    """Return the mean over rows x of −α log π(x) + β Σ_t (q_t/π_t − log(q_t/π_t) − 1).

    The first term is behaviour cloning (TD3+BC, Fujimoto & Gu 2021, arXiv:2106.06860): it keeps the policy close to the
    rows, whatever their reward. The second is the estimator k3 of Schulman 2020 for each token: on rows of any policy,
    it is 0 if the policy equals the prior and positive otherwise; on rows that π drew, it estimates KL(π ‖ q).

    Args:
        agent: log π of the tokens [n, L], 0 after the end; the gradient flows through it alone.
        prior: log q of the tokens [n, L].
        cloning_weight: α, at least 0.
        kl_weight: β, at least 0.

    Returns:
        A scalar.
    """
    expect_tokens(agent=agent, prior=prior)
    return cloning_weight * -agent.sum(1).mean() + kl_weight * kl_k3(agent, prior).sum(1).mean()


@dataclass(frozen=True)
class Conservative:
    """A loss without state, plus the terms of ``conservative_terms``.

    Attributes:
        loss: the loss.
        cloning_weight: the weight of the negative log-likelihood of the rows.
        kl_weight: the weight of the divergence from the prior.
    """

    loss: Loss
    cloning_weight: NotNegative = 0.0
    kl_weight: NotNegative = 0.0

    def __call__(self, rows: ScoredSequences) -> Tensor:
        return self.loss(rows) + self.terms(rows)

    def terms(self, rows: ScoredSequences) -> Tensor:
        """Return the terms that are added to the loss, a scalar."""
        return conservative_terms(rows.agent, rows.prior, self.cloning_weight, self.kl_weight)

    @property
    def valid_on(self) -> ValidOn:
        """The data that the loss is valid on; the terms are valid on any rows."""
        return self.loss.valid_on

    @property
    def allow_truncated(self) -> bool:
        """Whether the loss accepts rows that were drawn with top_k or top_p."""
        return bool(getattr(self.loss, "allow_truncated", False))

    @property
    def needs_reminders(self) -> bool:
        """Whether the loss learns from rows of the best agent."""
        return bool(getattr(self.loss, "needs_reminders", False))

    @property
    def clipped(self) -> Any:
        """The method ``clipped`` of the loss; None if it has none."""
        return getattr(self.loss, "clipped", None)


@dataclass(frozen=True)
class ConservativeWithState(Conservative):
    """A loss with state, plus the terms of ``conservative_terms``."""

    @property
    def state_learning_rate(self) -> float:
        """The learning rate of the parameters of the loss."""
        return cast(StatefulLoss, self.loss).state_learning_rate

    def state(self) -> nn.Module:
        """Return a module with the state of the loss, whose value includes the terms."""
        from molbuffer.training.losses.states import ConservativeState

        return ConservativeState(cast(StatefulLoss, self.loss).state(), self)


@dataclass(frozen=True)
class ConservativeWithCritic(Conservative):
    """A loss that may have a critic, plus the terms of ``conservative_terms``."""

    @property
    def state_learning_rate(self) -> float:
        """The learning rate of the critic."""
        return cast(CriticLoss, self.loss).state_learning_rate

    def critic_state(self, vocabulary_size: int) -> nn.Module | None:
        """Return a module with the critic of the loss, whose value includes the terms; None without a critic."""
        from molbuffer.training.losses.states import ConservativeState

        inner = cast(CriticLoss, self.loss).critic_state(vocabulary_size)
        return None if inner is None else ConservativeState(inner, self)


def conservative(loss: Loss, cloning_weight: float = 0.0, kl_weight: float = 0.0) -> Loss:
    """Return a loss plus terms that keep the policy close to its rows and to the prior; the loss itself for weights 0.

    Args:
        loss: the loss.
        cloning_weight: the weight of the negative log-likelihood of the rows, at least 0.
        kl_weight: the weight of the divergence from the prior on the rows, at least 0.

    Raises:
        ValueError: a weight is negative.
    """
    if cloning_weight < 0 or kl_weight < 0:
        raise ValueError(
            f"expected weights of at least 0, got cloning_weight {cloning_weight} and kl_weight {kl_weight}"
        )
    if not cloning_weight and not kl_weight:
        return loss
    kind = ConservativeWithState if isinstance(loss, StatefulLoss) else Conservative
    if isinstance(loss, CriticLoss):
        kind = ConservativeWithCritic
    return cast(Loss, kind(loss, cloning_weight, kl_weight))
