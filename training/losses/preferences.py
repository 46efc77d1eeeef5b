"""Direct preference optimisation on pairs of rows of a batch, which the rewards rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from molbuffer.kinds import Share, checked
from molbuffer.training.losses.base import Positive, ScoredSequences, ValidOn, expect_rows

if TYPE_CHECKING:
    from torch import Tensor


def dpo(chosen: Tensor, rejected: Tensor, beta: float, weights: Tensor | None = None) -> Tensor:
    """Return the mean of −log σ(β · (log π/q of the chosen row − log π/q of the rejected row)); 0 without pairs.

    Args:
        chosen: log π − log q [m] of the better rows of m pairs, q being the prior; it has a gradient.
        rejected: log π − log q [m] of the worse rows of the pairs; it has a gradient.
        beta: β, the weight of the divergence from the prior.
        weights: [m], how much each pair counts; None is 1 for each.

    Returns:
        A scalar.

    Source: Rafailov et al. 2023, arXiv:2305.18290, equation 7.
    """
    expect_rows(chosen=chosen, rejected=rejected)
    margins = beta * (chosen - rejected)
    # −log σ(x) = log(1 + exp(−x)); the sum of no terms is 0, and has a gradient.
    losses = (-margins).logaddexp(margins.new_zeros(()))
    return (losses if weights is None else weights.detach() * losses).sum() / max(len(margins), 1)


def ranked_pairs(rewards: Tensor, groups: Tensor | None, margin: float) -> tuple[Tensor, Tensor]:
    """Return the positions of the better and of the worse rows of m pairs, each int64 [m].

    The best row is paired with the worst, the second best with the second worst, and so on.

    Args:
        rewards: [n]; of rows with equal rewards, the earlier ranks higher.
        groups: the number of the group of each row, int64 [n], within which pairs are made; None is one group.
        margin: the reward by which the better row must exceed the worse one.
    """
    expect_rows(rewards=rewards)
    import torch

    of_groups = torch.zeros_like(rewards, dtype=torch.int64) if groups is None else groups
    better, worse = [], []
    for group in of_groups.unique():  # type: ignore[no-untyped-call]
        members = (of_groups == group).nonzero()[:, 0]
        ranked = members[rewards[members].argsort(descending=True, stable=True)]
        half = len(ranked) // 2
        better.append(ranked[:half])
        worse.append(ranked.flip(0)[:half])
    first, second = torch.cat(better), torch.cat(worse)
    apart = rewards[first] - rewards[second] > margin
    return first[apart], second[apart]


@checked
@dataclass(frozen=True)
class DPO:
    """The preference of better rows of the batch over worse ones: direct preference optimisation.

    Attributes:
        beta: the weight of the divergence from the prior; the smaller it is, the further the policy moves.
        margin: the reward by which the better row of a pair must exceed the worse row, in [0, 1].
    """

    beta: Positive = 0.1
    margin: Share = 0.0

    valid_on: ClassVar[ValidOn] = ValidOn.ANY

    def __call__(self, rows: ScoredSequences) -> Tensor:
        log_ratios = rows.agent.sum(1) - rows.prior.detach().sum(1)
        better, worse = ranked_pairs(rows.rewards, rows.groups, self.margin)
        weights = None if rows.weights is None else rows.weights[better] * rows.weights[worse]
        return dpo(log_ratios[better], log_ratios[worse], self.beta, weights)
