"""How right predictions were, by molecules that were scored after them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from molbuffer.scoring.surrogates.base import Prediction

HALF_WIDTH = 1.6448536269514722
"""Half the width of the interval that has 90 % of a normal distribution, in standard deviations."""
FEWEST_RANKS = 3
"""The number of molecules from which on a correlation of ranks says anything."""
FEWEST_ERRORS = 8
"""The number of molecules of a batch from which on their errors say how wide an interval has to be."""
INFLATION_RATE = 0.3
"""How far a batch moves the factor on deviations, in [0, 1]."""
MOST_INFLATION = 10.0
"""The largest factor on deviations."""


@dataclass(frozen=True)
class Calibration:
    """How right the predictions of n molecules were.

    Attributes:
        n: the number of molecules.
        coverage_90: the share of the values within the interval that should have 90 % of them; None without any.
        rank_correlation: Spearman's, of the means with the values, in [-1, 1]; None of fewer than 3 molecules, and
            where all means or all values are the same.
        rmse: the root of the mean squared error of the means, in the unit of the raw value; None without any.
    """

    n: int
    coverage_90: float | None
    rank_correlation: float | None
    rmse: float | None


def calibration(prediction: Prediction, values: NDArray[np.float64]) -> Calibration:
    """Return how right a prediction of n molecules was.

    Args:
        prediction: made before the molecules were scored.
        values: float64 [n], their raw values; NaN where there is none, which does not count.
    """
    values = np.asarray(values, np.float64)
    if values.shape != prediction.mean.shape:
        raise ValueError(f"expected a value of each of {len(prediction)} molecules, got values of shape {values.shape}")
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return Calibration(0, None, None, None)
    prediction, values = prediction.of(known), values[known]
    errors = values - prediction.mean
    inside = np.abs(errors) <= HALF_WIDTH * np.hypot(prediction.sd, prediction.noise_sd)
    rmse = float(np.sqrt(np.mean(errors**2)))
    return Calibration(len(known), float(inside.mean()), _rank_correlation(prediction.mean, values), rmse)


def inflation(errors: Iterable[Sequence[float]]) -> float:
    """Return the factor by which deviations are to be multiplied, so that intervals have their share of the values.

    A model that is asked for what it expects most of is asked where it errs. After each batch the factor f becomes
    f (q / 1.645)^0.3, within [1, 10], where q is the 0.9 quantile of the absolute errors of the batch: at 1.645 an
    interval of 90 % has 90 % of the values.

    Args:
        errors: of each batch in order, the errors of its molecules over the deviations that were told then, with the
            factor of then; batches of fewer than 8 do not count.
    """
    factor = 1.0
    for batch in errors:
        if len(batch) >= FEWEST_ERRORS:
            wide = float(np.quantile(np.abs(batch), 0.9)) / HALF_WIDTH
            factor = min(max(factor * wide**INFLATION_RATE, 1.0), MOST_INFLATION)
    return factor


def _rank_correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float | None:
    from scipy.stats import rankdata  # half a second, which only those pay who have predicted something

    ranks = np.stack([rankdata(a), rankdata(b)])
    if len(a) < FEWEST_RANKS or not ranks.std(axis=1).all():
        return None
    return float(np.corrcoef(ranks)[0, 1])
