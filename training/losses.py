"""Losses: one function each, with its formula and its paper.

Names: ``agent`` is the policy in training, ``prior`` the fixed policy it started from, ``behaviour`` whichever policy
drew a row. Log-likelihoods are of whole sequences, END included, in nats, untempered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from torch import Tensor


class ValidOn(StrEnum):
    """The data that a loss is valid on."""

    ON_POLICY = "on_policy"
    """Rows that the agent itself has just drawn."""
    BEHAVIOUR = "behaviour"
    """Any rows whose behaviour log-probabilities are stored."""
    ANY = "any"
    """Any rows with a reward, under whichever policy they were drawn."""


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
class Loss:
    """A loss as the fit loop calls it.

    Attributes:
        function: a function of (agent, prior, rewards, sigma) to a scalar.
        valid_on: the data that it is valid on.
    """

    function: Callable[[Tensor, Tensor, Tensor, float], Tensor]
    valid_on: ValidOn


LOSSES: Mapping[str, Loss] = {"reinvent": Loss(reinvent, ValidOn.ANY)}
"""The losses by the name that a configuration gives them."""
