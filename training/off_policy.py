"""What a policy would earn, estimated from rows that others drew: self-normalised importance sampling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

QUANTILE = 1.959963984540054
"""Of the standard normal distribution, for an interval of 95 %."""


@dataclass(frozen=True)
class OffPolicyEstimate:
    """An estimate of the mean reward of a policy.

    Attributes:
        mean: the estimate; None when it is refused.
        low: the lower end of its interval of 95 %.
        high: the upper end.
        effective_sample_size: the number of the policy's own draws that the rows are worth; None without rows.
        rows: the number of rows with known log-probabilities.
        refused: why there is no estimate; None when there is one.
    """

    mean: float | None = None
    low: float | None = None
    high: float | None = None
    effective_sample_size: float | None = None
    rows: int = 0
    refused: str | None = None


def off_policy_estimate(
    log_ratios: NDArray[np.floating], rewards: NDArray[np.floating], least_sample_size: float
) -> OffPolicyEstimate:
    """Return Σ w r / Σ w with w = π(x) / μ(x), or refuse it when (Σ w)² / Σ w² is too small.

    μ is the distribution that each row was really drawn from, so that rows of several policies may stand side by side.
    The rows must be others than those that π has learned from: it makes these likely whatever their kind would earn.
    The estimate is of the mean reward of those draws that get one; rejected draws are not among the rows. The interval
    is that of the delta method, ± 1.96 √(Σ w² (r − mean)²) / Σ w, and holds for many effective rows.

    Args:
        log_ratios: log π(x) − log μ(x) [n], in nats; NaN for rows whose μ is not known.
        rewards: [n].
        least_sample_size: the least effective sample size of an estimate.

    Source: Owen 2013, Monte Carlo theory, methods and examples, equations 9.6, 9.9 and 9.13.
    """
    known = ~np.isnan(log_ratios)
    ratios, rewards = log_ratios[known].astype(np.float64), rewards[known].astype(np.float64)
    if not len(ratios):
        return OffPolicyEstimate(refused="no held-out row has behaviour log-probabilities")
    weights = np.exp(ratios - ratios.max())
    weights /= weights.sum()
    size = float(1 / np.square(weights).sum())
    if size < least_sample_size:
        reason = (
            f"the effective sample size of {len(ratios)} held-out rows is {size:.3g}, expected at least "
            f"{least_sample_size:g}: the policy is too far from those that drew them"
        )
        return OffPolicyEstimate(effective_sample_size=size, rows=len(ratios), refused=reason)
    mean = float(weights @ rewards)
    half = QUANTILE * float(np.sqrt(np.square(weights * (rewards - mean)).sum()))
    return OffPolicyEstimate(mean, mean - half, mean + half, size, len(ratios))
