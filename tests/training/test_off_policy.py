"""The off-policy estimate: values by hand, and when it is refused."""

import math

import numpy as np
import pytest

from molbuffer.training.off_policy import off_policy_estimate


def test_the_estimate_its_interval_and_its_sample_size_by_hand() -> None:
    # The weights are 1 and 3: (0 + 3) / 4, 16 / 10, and the root of (1 * 0.75² + 9 * 0.25²) / 16.
    found = off_policy_estimate(np.log([1.0, 3.0]), np.array([0.0, 1.0]), 1.0)
    assert found.mean == pytest.approx(0.75)
    assert found.effective_sample_size == pytest.approx(1.6)
    half = 1.959963984540054 * math.sqrt(1.125 / 16)
    assert (found.low, found.high) == pytest.approx((0.75 - half, 0.75 + half))
    assert (found.rows, found.refused) == (2, None)


def test_large_ratios_do_not_overflow_and_a_constant_factor_changes_nothing() -> None:
    found = off_policy_estimate(np.log([1.0, 3.0]) + 5000, np.array([0.0, 1.0]), 1.0)
    assert found.mean == pytest.approx(0.75)


def test_rows_without_known_likelihoods_do_not_count() -> None:
    found = off_policy_estimate(np.array([0.0, math.nan, 0.0]), np.array([0.25, 1.0, 0.75]), 2.0)
    assert (found.mean, found.rows) == (pytest.approx(0.5), 2)
    none = off_policy_estimate(np.array([math.nan]), np.array([1.0]), 1.0)
    assert none.mean is none.effective_sample_size is None
    assert "behaviour" in str(none.refused)


def test_too_small_a_sample_is_refused_with_its_size() -> None:
    found = off_policy_estimate(np.log([1.0, 3.0]), np.array([0.0, 1.0]), 1.7)
    assert found.mean is found.low is found.high is None
    assert found.effective_sample_size == pytest.approx(1.6)
    assert "1.6" in str(found.refused)
    assert "1.7" in str(found.refused)


def test_the_estimate_is_that_of_the_other_policy() -> None:
    """Three outcomes drawn with 0.6, 0.3, 0.1; the policy would draw them with 0.1, 0.3, 0.6: it earns 0.75."""
    behaviour, policy, earns = np.array([0.6, 0.3, 0.1]), np.array([0.1, 0.3, 0.6]), np.array([0.0, 0.5, 1.0])
    drawn = np.random.default_rng(1).choice(3, 20_000, p=behaviour)
    found = off_policy_estimate(np.log(policy / behaviour)[drawn], earns[drawn], 100)
    assert found.mean == pytest.approx(0.75, abs=0.02)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.75 < found.high
    assert found.high - found.low < 0.03
