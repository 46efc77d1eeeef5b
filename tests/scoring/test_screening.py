"""The distribution of a reward by the models of its components, and which candidates are picked."""

import math
from dataclasses import dataclass

import numpy as np
import pytest

from molbuffer.scoring import (
    KnownValues,
    Objective,
    Prediction,
    RawScore,
    RewardModel,
    Screening,
    WeightedComponent,
    dear_components,
    pick_molecules,
)
from molbuffer.scoring.components import QED, SAScore
from molbuffer.scoring.surrogates import Greedy
from molbuffer.scoring.transforms import Linear, ReverseSigmoid, Sigmoid

MOLECULES = ["CCO", "c1ccccc1O", "CC(=O)Nc1ccc(O)cc1", "CCCCCC"]


class Known:
    """A model that says the same of each molecule."""

    def __init__(self, mean: float, sd: float) -> None:
        self.mean, self.sd = mean, sd

    def predict(self, smiles: list[str]) -> Prediction:
        return Prediction(np.full(len(smiles), self.mean), np.full(len(smiles), self.sd))


@dataclass(frozen=True)
class Length:
    """The number of characters, as a component that may cost, and that may fail."""

    name: str = "length"
    cost: str = "high"
    bounded: bool = False
    fails: bool = False
    kind = version = "length"
    parallel = False

    def values(self, molecules: list[str]) -> list[RawScore]:
        return [RawScore(None, "no value") if self.fails else RawScore(float(len(text))) for text in molecules]


def dear(low: float, high: float) -> WeightedComponent:
    return WeightedComponent(Length(), transform=Linear(low=low, high=high))


def test_a_single_value_that_is_the_reward_is_passed_on() -> None:
    model = RewardModel(Objective([QED()]), {"qed": Known(0.3, 0.2)}, 10)
    found = model.predict(MOLECULES)
    assert found.mean.tolist() == [0.3] * 4
    assert found.sd.tolist() == [0.2] * 4


def test_a_transform_shapes_the_distribution() -> None:
    # A normal value of mean 5 and deviation 1 through a line from 0 to 10 has mean 0.5 and deviation 0.1.
    found = RewardModel(Objective([dear(0, 10)]), {"length": Known(5.0, 1.0)}, 10).predict(["CCO"])
    assert found.mean[0] == pytest.approx(0.5, abs=1e-9)
    assert found.sd[0] == pytest.approx(0.1, rel=0.02)
    # Through a line that is cut at the mean, it has the mean of a half-normal one: 0.1 / sqrt(2 pi) times 1.
    found = RewardModel(Objective([dear(5, 15)]), {"length": Known(5.0, 1.0)}, 10).predict(["CCO"])
    assert found.mean[0] == pytest.approx(0.1 / math.sqrt(2 * math.pi), rel=0.03)


def test_values_outside_of_0_and_1_are_predicted_where_a_transform_takes_them() -> None:
    # Programs and functions say that they need no transform, and may have one all the same.
    part = WeightedComponent(Length("energy", bounded=True), transform=ReverseSigmoid(low=-14, high=-6))
    found = RewardModel(Objective([part]), {"energy": Known(-10.0, 1.0)}, 10).predict(["CCO"])
    assert found.mean[0] == pytest.approx(0.5, abs=0.01)
    assert found.sd[0] > 0.1


def test_cheap_components_are_computed_and_only_the_dear_ones_predicted() -> None:
    objective = Objective([dear(0, 10), QED()])
    assert [each.component.name for each in dear_components(objective)] == ["length"]
    assert dear_components(Objective([QED()])) == Objective([QED()]).components
    found = RewardModel(objective, {"length": Known(5.0, 0.0)}, 10).predict(MOLECULES)
    qed = [each.value for each in QED().values(MOLECULES)]
    np.testing.assert_allclose(found.mean, np.sqrt(0.5 * np.array(qed)), rtol=1e-9)
    np.testing.assert_allclose(found.sd, 0.0, atol=1e-12)


def test_two_predicted_components_are_independent() -> None:
    parts = [
        dear(0, 10),
        WeightedComponent(Length(name="other"), transform=Sigmoid(low=0, high=10)),
    ]
    objective = Objective(parts, "arithmetic_mean")
    found = RewardModel(objective, {"length": Known(5.0, 1.0), "other": Known(5.0, 0.0)}, 10).predict(["CCO"])
    assert found.mean[0] == pytest.approx(0.5, abs=0.005)
    assert found.sd[0] == pytest.approx(0.05, rel=0.05)


def test_a_molecule_without_a_cheap_value_is_expected_to_have_nothing() -> None:
    objective = Objective([dear(0, 10), Length("fails", cost="low", bounded=True, fails=True)])
    found = RewardModel(objective, {"length": Known(5.0, 1.0)}, 10).predict(["CCO"])
    assert (found.mean[0], found.sd[0]) == (0.0, 0.0)


def test_smaller_values_that_are_better_are_the_ones_that_a_model_attends_to() -> None:
    parts = [WeightedComponent(SAScore(), transform=ReverseSigmoid(low=2, high=4))]
    seen = {}

    class Model:
        def fit(self, smiles: list[str], values: np.ndarray, seed: int) -> Known:
            seen["values"] = values.tolist()
            return Known(-2.0, 0.1)

    known = KnownValues(["C", "CC", "CCC"], np.array([1.5, 3.0, 4.5]))
    model = RewardModel.of(Objective(parts), Model(), {"sa_score": known}, seed=0)
    assert seen["values"] == [-1.5, -3.0, -4.5]
    assert model.predict(["CCO"]).mean[0] > 0.9, "a value of 2.0 is among the best"


def test_the_best_are_picked_and_some_by_lot() -> None:
    prediction = Prediction(np.arange(20) / 20, np.zeros(20))
    picked = pick_molecules(Screening(acquisition=Greedy(), explore=0.0), prediction, 0.0, 5, seed=1)
    assert sorted(picked.by_model.tolist()) == [15, 16, 17, 18, 19]
    assert len(picked.by_chance) == 0
    only_chance = pick_molecules(Screening(explore=1.0), prediction, 0.0, 5, seed=1)
    assert (len(only_chance.by_model), len(only_chance.by_chance)) == (0, 5)
    assert np.isnan(only_chance.values).all()
    every = pick_molecules(Screening(), prediction, 0.0, 50, seed=1)
    assert sorted([*every.by_model, *every.by_chance]) == list(range(20))
    nothing = pick_molecules(Screening(), prediction, 0.0, 0, seed=1)
    assert (len(nothing.by_model), len(nothing.by_chance)) == (0, 0)


def test_the_share_by_lot_holds_on_average_and_is_unbiased() -> None:
    prediction = Prediction(np.arange(20) / 20, np.zeros(20))
    screening = Screening(acquisition=Greedy(), explore=0.125)
    picked = [pick_molecules(screening, prediction, 0.0, 3, seed=seed) for seed in range(2000)]
    assert np.mean([len(each.by_chance) for each in picked]) == pytest.approx(0.375, abs=0.03)
    drawn = np.concatenate([each.by_chance for each in picked])
    assert drawn.mean() == pytest.approx(9.5, abs=0.7)
    for each in picked[:50]:
        best = [i for i in range(19, -1, -1) if i not in each.by_chance][: len(each.by_model)]
        assert sorted(each.by_model.tolist()) == sorted(best)
