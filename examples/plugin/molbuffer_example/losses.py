"""A loss: the likelihood of rows, weighted by their rewards, and a term that keeps the policy near the prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt
from torch import Tensor

from molbuffer.training import ScoredSequences, ValidOn


@dataclass(frozen=True)
class RewardWeighted:
    """The mean of −w log p(row) + beta (log p(row) − log prior(row))² / 2, with w = softmax(reward / temperature) n.

    Peters and Schaal 2007, doi:10.1145/1273496.1273590, for the first term.

    Attributes:
        temperature: the difference in reward by which the weight of a row grows by the factor e.
        beta: the weight of the squared log-ratio of policy and prior.
    """

    temperature: Annotated[float, Gt(0)] = 0.1
    beta: Annotated[float, Ge(0)] = 0.001
    valid_on: ClassVar[ValidOn] = ValidOn.ANY

    def __call__(self, rows: ScoredSequences) -> Tensor:
        """Return the loss of rows, a scalar."""
        agent, prior = rows.agent.sum(1), rows.prior.sum(1)
        weights = (rows.rewards / self.temperature).softmax(0)
        return self.beta / 2 * (agent - prior).square().mean() - (weights * agent).sum()
