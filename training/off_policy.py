"""Off-policy estimates of the mean reward of a policy, by self-normalised importance sampling of rows of others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

QUANTILE = 1.959963984540054
"""The quantile 0.975 of the standard normal distribution, for an interval of 95 %."""


@dataclass(frozen=True)
class OffPolicyEstimate:
    """An estimate of the mean reward of a policy.

    Attributes:
        mean: the estimate; None when it is refused.
        low: the lower end of its interval of 95 %; None when it is refused.
        high: the upper end of this interval; None when it is refused.
        effective_sample_size: the number of the policy's own draws that give as precise a mean; None without rows.
        rows: the number of rows with known log-probabilities.
        refused: the reason why there is no estimate; None when there is one.
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
    """Return Σ w r / Σ w with w = π(x) / μ(x), or a refusal when the effective sample size (Σ w)² / Σ w² is too small.

    μ is the behaviour policy of each row, with its temperature and truncation, so that rows of several policies may be
    mixed. The policy must not have learned from the rows: it would have made them likely, and the estimate biased. The
    estimate is the mean reward of draws that have one, since rejected draws are not among the rows. The interval is
    that of the delta method, ± 1.96 √(Σ w² (r − mean)²) / Σ w, which holds for many effective rows.

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
            f"{least_sample_size:g}: the policy is too far from the behaviour policies of the rows"
        )
        return OffPolicyEstimate(effective_sample_size=size, rows=len(ratios), refused=reason)
    mean = float(weights @ rewards)
    half = QUANTILE * float(np.sqrt(np.square(weights * (rewards - mean)).sum()))
    return OffPolicyEstimate(mean, mean - half, mean + half, size, len(ratios))
