"""Calibration: shares and correlations that can be counted by hand."""

import numpy as np
import pytest

from molbuffer.scoring import Calibration, Prediction, calibration, inflation


def test_the_figures_are_those_of_the_molecules_with_a_value() -> None:
    prediction = Prediction(np.array([0.0, 1.0, 2.0, 3.0, 9.0]), np.full(5, 0.5))
    found = calibration(prediction, np.array([0.8, 1.9, 1.5, 3.0, np.nan]))
    # Within 1.645 · 0.5 = 0.82: the first, third and fourth. The ranks of the values are 1, 3, 2, 4: 1 - 6 · 2 / 60.
    assert found.n == 4
    assert found.coverage_90 == 0.75
    assert found.rank_correlation == pytest.approx(0.8)
    assert found.rmse == pytest.approx(np.sqrt((0.64 + 0.81 + 0.25) / 4))


def test_the_interval_is_that_of_what_is_measured() -> None:
    values = np.array([0.9, -0.9])
    assert calibration(Prediction(np.zeros(2), np.full(2, 0.3)), values).coverage_90 == 0
    assert calibration(Prediction(np.zeros(2), np.full(2, 0.3), noise_sd=0.5), values).coverage_90 == 1


def test_too_few_molecules_have_none() -> None:
    assert calibration(Prediction(np.zeros(2), np.ones(2)), np.full(2, np.nan)) == Calibration(0, None, None, None)
    assert calibration(Prediction(np.zeros(0), np.ones(0)), np.zeros(0)) == Calibration(0, None, None, None)
    two = calibration(Prediction(np.arange(2.0), np.ones(2)), np.arange(2.0))
    assert (two.n, two.coverage_90, two.rank_correlation, two.rmse) == (2, 1.0, None, 0.0)


@pytest.mark.parametrize("same", ["means", "values"])
def test_where_all_are_the_same_no_rank_is_right(same: str) -> None:
    rising, level = np.arange(5.0), np.ones(5)
    mean, values = (level, rising) if same == "means" else (rising, level)
    assert calibration(Prediction(mean, np.ones(5)), values).rank_correlation is None


def test_values_of_other_molecules_are_refused() -> None:
    with pytest.raises(ValueError, match=r"a value of each of 2 molecules, got values of shape \(3,\)"):
        calibration(Prediction(np.zeros(2), np.ones(2)), np.zeros(3))


def test_deviations_are_multiplied_until_intervals_have_their_share() -> None:
    rng = np.random.default_rng(0)
    assert inflation([]) == inflation([[9.0] * 7]) == 1, "a few molecules say nothing"
    assert inflation([rng.standard_normal(200) for _ in range(50)]) == pytest.approx(1, abs=0.1)
    told: list[list[float]] = []
    for _ in range(60):  # a model whose deviations are a third of its errors
        told.append((3 * rng.standard_normal(200) / inflation(told)).tolist())
    assert inflation(told) == pytest.approx(3, rel=0.15)
    assert inflation([[1e9] * 20] * 50) == 10
    assert inflation([*told, *([[0.01] * 20] * 50)]) == 1, "it falls again"
