"""Penalties: the published formulas by hand, and what all of them have in common."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from molbuffer.training.diversity.penalties import PENALTIES

# N, m, and the factor by hand, with erf and tanh from tables.
GOLDEN = [
    ("step", 25, 25, 1.0),
    ("step", 26, 25, 0.0),
    ("linear", 1, 25, 0.96),
    ("linear", 10, 25, 0.6),
    ("linear", 30, 25, 0.0),
    ("sigmoid", 5, 10, 0.5),
    ("sigmoid", 10, 10, 0.0012710),  # 1 / (1 + exp(1 / 0.15))
    ("tanh", 1, 10, 1.0),
    ("tanh", 11, 10, 0.0049452),  # 1 - tanh 3
    ("erf", 1, 10, 1.0),
    ("erf", 10, 10, 0.2101141),  # 1 + erf(0.1772454) - erf(1.7724539) = 1 + 0.1979220 - 0.9878079
]


@pytest.mark.parametrize(("name", "count", "size", "factor"), GOLDEN)
def test_the_factor_is_that_of_the_formula(name, count, size, factor):
    assert PENALTIES[name](np.array([float(count)]), size) == pytest.approx([factor], abs=1e-6)


@given(st.sampled_from(sorted(PENALTIES)), st.integers(1, 100), st.integers(2, 300))
def test_factors_are_in_0_to_1_and_fall_with_the_number_of_molecules(name, size, most):
    factors = PENALTIES[name](np.arange(1.0, most + 1), size)
    assert ((factors >= 0) & (factors <= 1)).all()
    assert (np.diff(factors) <= 0).all()
