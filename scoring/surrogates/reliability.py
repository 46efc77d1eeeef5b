"""The reliability of predictions, measured on molecules that were scored afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from molbuffer.scoring.surrogates.base import Prediction

HALF_WIDTH = 1.6448536269514722
"""Half the width of the central 90 % interval of a normal distribution, in standard deviations."""
FEWEST_RANKS = 3
"""The least number of molecules for a rank correlation."""
FEWEST_ERRORS = 8
"""The least number of molecules of a batch whose errors change the factor on standard deviations."""
INFLATION_RATE = 0.3
"""The exponent, in [0, 1], by which a batch changes the factor on standard deviations."""
MOST_INFLATION = 10.0
"""The largest factor on standard deviations."""


@dataclass(frozen=True)
class Calibration:
    """The reliability of the predictions of n molecules.

    Attributes:
        n: the number of molecules.
        coverage_90: the share of the values inside of the predicted 90 % interval; None without molecules.
        rank_correlation: Spearman's rank correlation of the means with the values, in [-1, 1]; None for fewer than 3
            molecules, or if all means or all values are equal.
        rmse: the root mean squared error of the means, in the unit of the raw value; None without molecules.
    """

    n: int
    coverage_90: float | None
    rank_correlation: float | None
    rmse: float | None


def calibration(prediction: Prediction, values: NDArray[np.float64]) -> Calibration:
    """Return the reliability of a prediction of n molecules.

    Args:
        prediction: the prediction, made before the molecules were scored.
        values: float64 [n], the raw values of the molecules; a NaN is left out.

    Raises:
        ValueError: the numbers of predictions and values differ.
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
    """Return the factor by which standard deviations are multiplied, so that 90 % intervals contain 90 % of the values.

    The molecules with the best predictions are scored, among which large errors are frequent. After each batch the
    factor f becomes f (q / 1.645)^0.3, within [1, 10], where q is the 0.9 quantile of the absolute errors of the batch
    in standard deviations. It is 1.645 if 90 % intervals contain 90 % of the values.

    Args:
        errors: for each batch in order, the errors of its molecules divided by their predicted standard deviations,
            which included the factor of that time; batches of fewer than 8 molecules are ignored.
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
