"""Components that give a value with its standard deviation: both are stored, and pessimism takes the worse end."""

import numpy as np
import pytest

from molbuffer.samplers import Scorer
from molbuffer.scoring import Objective, RawScore, ScoringConfigurationError, WeightedComponent
from molbuffer.scoring.components import QED
from molbuffer.scoring.transforms import DoubleSigmoid, Linear, ReverseSigmoid
from molbuffer.storage import SampleStore

MOLECULES = ["C", "CC", "CCC"]


class Uncertain:
    """Gives 5 and a standard deviation that grows with the molecule; none for the last."""

    name, kind, version = "uncertain", "uncertain", "1"
    bounded, parallel = False, False

    def __init__(self, cost: str = "low") -> None:
        self.cost = cost

    def values(self, molecules: list[str]) -> list[object]:
        return [5.0 if m == "CCC" else (5.0, float(len(m))) for m in molecules]


@pytest.mark.parametrize("cost", ["low", "high"])
def test_standard_deviations_are_stored_and_known_again(store: SampleStore, cost: str) -> None:
    weighted = WeightedComponent(Uncertain(cost), transform=Linear(0, 10), pessimism=2.0)  # type: ignore[arg-type]
    objective = Objective([weighted])
    for _ in range(2):
        scored = Scorer(objective, store).score(MOLECULES)
        np.testing.assert_allclose(scored.rewards, [0.3, 0.1, np.nan])
        np.testing.assert_array_equal(scored.stds["uncertain"], [1.0, 2.0, np.nan])
        assert scored.errors.keys() == {"CCC"}
        assert scored.errors["CCC"].startswith("uncertain: got 5.0") and "pessimism = 2" in scored.errors["CCC"]
        store.record_scores(scored.new)
    assert store.query("SELECT smiles, value, std FROM scores ORDER BY smiles").rows() == [
        ("C", 5.0, 1.0),
        ("CC", 5.0, 2.0),
        ("CCC", 5.0, None),
    ]


def test_the_bound_is_that_at_the_worse_end() -> None:
    values, stds = np.array([5.0, 5.0]), np.array([1.0, 0.0])

    def bound(transform: object, k: float) -> list[float]:
        weighted = WeightedComponent(Uncertain(), transform=transform, pessimism=k)  # type: ignore[arg-type]
        return weighted.transformed(values, stds).tolist()

    rising, falling, between = Linear(0, 10), ReverseSigmoid(4, 6), DoubleSigmoid(2, 7)
    assert bound(rising, 2) == [0.3, 0.5]
    assert bound(falling, 1) == pytest.approx(falling(np.array([6.0, 5.0])).tolist())
    assert bound(between, 2) == pytest.approx([min(between(np.array([3.0, 7.0]))), between(np.array([5.0]))[0]])
    assert bound(rising, 0) == [0.5, 0.5]


def test_a_bound_of_a_value_without_a_transform_stays_between_zero_and_one() -> None:
    weighted = WeightedComponent(QED(), pessimism=2.0)
    found = weighted.transformed(np.array([0.9, 0.1, 0.9]), np.array([0.2, 0.2, np.nan]))
    np.testing.assert_allclose(found, [0.5, 0.0, np.nan])


def test_pessimism_is_part_of_the_identity_and_not_negative() -> None:
    assert Objective([WeightedComponent(QED(), pessimism=1.0)]).sha256 != Objective([QED()]).sha256
    with pytest.raises(ScoringConfigurationError, match="pessimism of 'qed' must be at least 0"):
        WeightedComponent(QED(), pessimism=-1.0)


@pytest.mark.parametrize(
    ("result", "error"),
    [
        ((0.5, -0.1), "the standard deviation: got -0.1, expected at least 0"),
        ((0.5, None), "the standard deviation: got None, expected a number"),
        ((0.5, float("inf")), "the standard deviation: got inf, expected a finite number"),
        ((float("nan"), 0.1), "got nan, expected a finite number"),
        ((0.5, 0.1, 0.1), "got tuple, expected a number"),
        (["a", 0.1], "got 'a', expected a number"),
    ],
)
def test_a_pair_that_is_no_value_with_its_standard_deviation_fails(result: object, error: str) -> None:
    score = RawScore.of(result)
    assert (score.value, str(score.error).startswith(error)) == (None, True)
