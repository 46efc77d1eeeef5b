"""Losses: one function each, with its formula and its paper, and the kinds that a configuration names.

Names: ``agent`` is the policy in training, ``prior`` the fixed policy that it is held to, ``behaviour`` whichever
policy drew a row. Log-likelihoods are of whole sequences, END included, in nats, untempered.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, ClassVar, Protocol, runtime_checkable

from annotated_types import Gt

from molbuffer.kinds import Family, class_with

if TYPE_CHECKING:
    from torch import Tensor


class ValidOn(StrEnum):
    """The data that a loss is valid on."""

    ON_POLICY = "on_policy"
    """Rows that the agent itself has just drawn."""
    BEHAVIOUR = "behaviour"
    """Any rows whose behaviour log-probabilities are stored."""
    ANY = "any"
    """Any rows with a reward, under whichever policy they were drawn."""


@dataclass(frozen=True)
class ScoredSequences:
    """The rows of a training step, as a loss sees them. Row i of every column belongs to the same sample.

    Attributes:
        agent: float32 [n, L], the log-probability of each token under the agent; 0 after the end of a row. Gradients
            flow through it only.
        prior: float32 [n, L], under the prior.
        behaviour: float32 [n, L], under the policy that drew the row, tempered and truncated as it was drawn; NaN where
            that is not known.
        lengths: int64 [n], END counted.
        rewards: float32 [n], in [0, 1].
    """

    agent: Tensor
    prior: Tensor
    behaviour: Tensor
    lengths: Tensor
    rewards: Tensor


@runtime_checkable
class Loss(Protocol):
    """A loss with its settings: most often a frozen dataclass, whose fields are the keys in a configuration.

    Attributes:
        valid_on: the data that it is valid on.
    """

    valid_on: ClassVar[ValidOn]

    def __call__(self, rows: ScoredSequences) -> Tensor:
        """Return the loss of rows, a scalar."""


def reinvent(agent: Tensor, prior: Tensor, rewards: Tensor, sigma: float) -> Tensor:
    """Return the REINVENT loss ("difference between augmented and posterior"): the mean of (prior + σ·reward −
    agent)².

    It draws the agent's log-likelihood towards the prior's, augmented by the scaled reward. The target does not
    depend on the behaviour policy, so the loss is valid on stored rows too.

    Args:
        agent: log-likelihoods [n] under the agent; the gradient flows through them only.
        prior: log-likelihoods [n] under the prior.
        rewards: [n], in [0, 1].
        sigma: the weight of the reward against the prior, in nats.

    Returns:
        A scalar.

    Source: Olivecrona et al. 2017, arXiv:1704.07555, equation 6; Fialková et al. 2022, arXiv:2107.08007 (DAP).
    """
    if not (agent.ndim == 1 and agent.shape == prior.shape == rewards.shape):
        got = [tuple(tensor.shape) for tensor in (agent, prior, rewards)]
        raise ValueError(f"agent, prior and rewards must have one shape [n], got {got}")
    augmented = prior.detach() + sigma * rewards.detach()
    return (augmented - agent).square().mean()


@dataclass(frozen=True)
class Reinvent:
    """The squared difference of the policy's log-likelihood and the prior's plus sigma x reward.

    Attributes:
        sigma: the log-likelihood, in nats, that a reward of 1 adds.

    Example:
        >>> str(mb.Reinvent(sigma=60.0).valid_on)
        'any'
    """

    sigma: Annotated[float, Gt(0)] = 128.0

    valid_on: ClassVar[ValidOn] = ValidOn.ANY

    def __call__(self, rows: ScoredSequences) -> Tensor:
        return reinvent(rows.agent.sum(1), rows.prior.sum(1), rows.rewards, self.sigma)


LOSSES = Family("losses", class_with("valid_on", "__call__"))
"""The kinds of losses."""
