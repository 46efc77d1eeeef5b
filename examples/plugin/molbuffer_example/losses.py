"""A loss: the policy gradient with the mean reward as its baseline, and a term that keeps the policy near the prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge
from torch import Tensor

from molbuffer.training import ScoredSequences, ValidOn


@dataclass(frozen=True)
class PolicyGradient:
    """The mean of −(reward − mean reward) log p(row) + beta (log p(row) − log prior(row))² / 2.

    Williams 1992, doi:10.1007/BF00992696, for the first term.

    Attributes:
        beta: the weight of the squared log-ratio of policy and prior.
    """

    beta: Annotated[float, Ge(0)] = 0.001
    valid_on: ClassVar[ValidOn] = ValidOn.ON_POLICY

    def __call__(self, rows: ScoredSequences) -> Tensor:
        """Return the loss of rows, a scalar."""
        agent, prior = rows.agent.sum(1), rows.prior.sum(1)
        advantages = rows.rewards - rows.rewards.mean()
        return (self.beta / 2 * (agent - prior).square() - advantages * agent).mean()
