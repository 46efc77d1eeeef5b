import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from molbuffer.scoring import ScoringConfigurationError, Transform
from molbuffer.scoring.transforms import (
    Desirability,
    DoubleSigmoid,
    Gaussian,
    Identity,
    Linear,
    ReverseSigmoid,
    Sigmoid,
    Step,
)

ALL: list[Transform] = [
    Identity(),
    Sigmoid(0.2, 0.6),
    ReverseSigmoid(1, 10),
    DoubleSigmoid(200, 500),
    Linear(0, 4),
    Step(1, 2),
    Gaussian(3, 0.5),
    Desirability(2, 1, 4, 3, 0.5),
    Desirability(2, high=4),
    Desirability(2, low=1),
]


def at(transform: Transform, *values: float) -> list[float]:
    return transform(np.array(values)).tolist()


def test_identity() -> None:
    assert at(Identity(), 0, 0.25, 1) == [0, 0.25, 1]
    assert np.isnan(at(Identity(), -0.01, 1.01, np.inf)).all()


def test_sigmoid_by_hand() -> None:
    """low 0, high 2, k 0.5: the exponent is 2.5 (x − 1)."""
    expected = [1 / (1 + 10**2.5), 1 / (1 + 10**1.25), 0.5, 1 / (1 + 10**-2.5)]
    assert at(Sigmoid(0, 2), 0, 0.5, 1, 2) == pytest.approx(expected)
    assert at(Sigmoid(0, 2), 0, 2) == pytest.approx([0.0031523, 0.9968477], abs=1e-7)


def test_sigmoid_is_that_of_reinvent() -> None:
    """REINVENT's own test, with low 0, high 3 and k 0.25, has 0.053, 0.5 and 0.947 at 0, 1.5 and 3."""
    assert at(Sigmoid(0, 3, steepness=0.25), 0, 1.5, 3) == pytest.approx([0.0532, 0.5, 0.9468], abs=1e-4)


def test_reverse_sigmoid_is_the_rest_to_one() -> None:
    values = np.linspace(-3, 15, 50)
    assert ReverseSigmoid(1, 10)(values) == pytest.approx(1 - Sigmoid(1, 10)(values))


def test_double_sigmoid_by_hand() -> None:
    """low 0, high 10, k 2: flanks of 10^(−2 x) and 10^(−2 (10 − x))."""
    assert at(DoubleSigmoid(0, 10), -1, 0, 1, 5, 10, 11) == pytest.approx([1 / 101, 0.5, 100 / 101, 1, 0.5, 1 / 101])
    skewed = DoubleSigmoid(0, 10, steepness_low=1, steepness_high=2)
    assert at(skewed, -1, 11) == pytest.approx([1 / 11, 1 / 101])


def test_linear_by_hand() -> None:
    assert at(Linear(2, 4), -1e9, 2, 2.5, 3, 4, 1e9) == [0, 0, 0.25, 0.5, 1, 1]


def test_step_includes_its_ends() -> None:
    assert at(Step(1, 2), 0.999, 1, 1.5, 2, 2.001) == [0, 1, 1, 1, 0]
    assert at(Step(3, 3), 2, 3, 4) == [0, 1, 0]


def test_gaussian_by_hand() -> None:
    assert at(Gaussian(3, 0.5), 3, 3.5, 2) == pytest.approx([1, np.exp(-0.5), np.exp(-2)])


def test_desirability_by_hand() -> None:
    both = Desirability(target=2, low=0, high=6, exponent_low=2, exponent_high=0.5)
    assert at(both, -1, 0, 1, 2, 5, 6, 7) == [0, 0, 0.25, 1, 0.5, 0, 0]
    assert at(Desirability(target=2, high=6), -1e9, 2, 4, 6) == [1, 1, 0.5, 0]
    assert at(Desirability(target=2, low=0), 0, 1, 2, 1e9) == [0, 0.5, 1, 1]


@pytest.mark.parametrize("transform", ALL, ids=lambda transform: transform.kind)
def test_r25_nan_stays_nan_and_shapes_stay(transform: Transform) -> None:
    assert isinstance(transform, Transform)
    assert np.isnan(transform(np.array([np.nan, 1.0, np.nan]))).tolist() == [True, False, True] or isinstance(
        transform, Identity
    )
    assert transform(np.full((2, 3), np.nan)).shape == (2, 3)
    assert transform(np.array([])).shape == (0,)
    assert transform(np.array([0.5])).dtype == np.float64


@pytest.mark.parametrize("transform", ALL[1:], ids=lambda transform: transform.kind)
@given(value=st.floats(allow_nan=False))
def test_every_number_lands_in_zero_to_one_without_a_warning(transform: Transform, value: float) -> None:
    assert 0 <= at(transform, value)[0] <= 1


@pytest.mark.parametrize("rising", [Sigmoid(-1, 3), Linear(-1, 3)])
@given(values=st.lists(st.floats(-1e6, 1e6), min_size=2))
def test_rising_transforms_rise(rising: Transform, values: list[float]) -> None:
    assert (np.diff(rising(np.array(sorted(values)))) >= 0).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sigmoid(1, 1), "low of a sigmoid transform must be below its high, got 1 and 1"),
        (lambda: ReverseSigmoid(2, 1), "below"),
        (lambda: DoubleSigmoid(2, 1), "below"),
        (lambda: Linear(2, 1), "below"),
        (lambda: Step(2, 1), "at most"),
        (lambda: Sigmoid(0, 1, steepness=0), "steepness of a sigmoid transform must be positive"),
        (lambda: DoubleSigmoid(0, 1, steepness_high=-1), "positive"),
        (lambda: Desirability(1), "needs a low or a high end"),
        (lambda: Desirability(1, low=1), "low of a desirability transform must be below its target"),
        (lambda: Desirability(1, high=0), "the target of a desirability transform must be below its high"),
        (lambda: Desirability(1, low=0, exponent_low=0), "exponent_low"),
        (lambda: Gaussian(0, 0), "sigma of a gaussian transform must be positive"),
        (lambda: Gaussian(float("nan"), 1), "finite number"),
        (lambda: Linear(0, float("inf")), "finite number"),
        (lambda: Linear(True, 2), "finite number"),
        (lambda: Linear("0", 2), "finite number"),  # type: ignore[arg-type]
    ],
)
def test_parameters_that_cannot_be_are_refused(make: object, message: str) -> None:
    with pytest.raises(ScoringConfigurationError, match=message):
        make()  # type: ignore[operator]


def test_settings_are_plain_and_tell_everything() -> None:
    assert Sigmoid(0, 1).settings() == {"kind": "sigmoid", "low": 0.0, "high": 1.0, "steepness": 0.5}
    assert repr(Sigmoid(0, 1).settings()["low"]) == "0.0", "1 and 1.0 are one setting"
