from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from molbuffer.scoring import (
    Aggregation,
    Component,
    Objective,
    RawScore,
    ScoringConfigurationError,
    ScoringError,
    WeightedComponent,
)
from molbuffer.scoring.components import QED, Property, SAScore, Similarity
from molbuffer.scoring.transforms import Identity, Linear, ReverseSigmoid, Sigmoid

MEANS = [each for each in Aggregation if each is not Aggregation.PARETO]


@dataclass(frozen=True)
class Stored:
    """A component whose values are all in the store already."""

    name: str
    kind: str = "stored"
    version: str = "0"
    cost: str = "low"
    bounded: bool = True
    parallel: bool = False

    def values(self, molecules: list[str]) -> list[RawScore]:
        raise AssertionError("an objective computes no scores")


def objective(aggregation: str, **weights: float) -> Objective:
    return Objective(
        tuple(WeightedComponent(Stored(name), weight) for name, weight in weights.items()),  # type: ignore[arg-type]
        aggregation,
    )


def reward(made: Objective, **raw: float) -> float:
    return float(made.rewards({name: np.array([value]) for name, value in raw.items()})[0])


def test_arithmetic_mean_by_hand() -> None:
    assert reward(objective("arithmetic_mean", a=1, b=3), a=1.0, b=0.2) == pytest.approx((1 + 3 * 0.2) / 4)


def test_geometric_mean_by_hand() -> None:
    assert reward(objective("geometric_mean", a=1, b=1), a=0.25, b=1.0) == pytest.approx(0.5)
    assert reward(objective("geometric_mean", a=1, b=2), a=0.5, b=0.8) == pytest.approx((0.5 * 0.8**2) ** (1 / 3))


def test_product_by_hand() -> None:
    assert reward(objective("product", a=1, b=2), a=0.5, b=0.8) == pytest.approx(0.5 * 0.8**2)


@pytest.mark.parametrize("aggregation", ["geometric_mean", "product"])
def test_a_zero_makes_zero_without_a_warning(aggregation: str) -> None:
    assert reward(objective(aggregation, a=1, b=2), a=0.0, b=0.9) == 0
    assert reward(objective(aggregation, a=0, b=2), a=0.0, b=1.0) == 1, "a weight of 0 does not count"


@pytest.mark.parametrize("aggregation", MEANS)
def test_r25_a_failed_component_makes_the_reward_nan(aggregation: str) -> None:
    made = objective(aggregation, a=1, b=1, unweighted=0)
    raw = {
        "a": np.array([0.5, np.nan, 0.0, 0.0, 0.5]),
        "b": np.array([0.5, 0.5, np.nan, 0.5, 0.5]),
        "unweighted": np.array([0.5, 0.5, 0.5, 0.5, np.nan]),
    }
    assert np.isnan(made.rewards(raw)).tolist() == [False, True, True, False, True]


def test_transforms_apply_before_the_aggregation() -> None:
    made = Objective((WeightedComponent(Property("logp"), 1.0, Linear(0, 4)), WeightedComponent(QED())), "product")
    assert reward(made, **{"property:logp": 3.0, "qed": 0.5}) == pytest.approx(0.375)


def test_an_identity_out_of_range_is_no_reward() -> None:
    assert np.isnan(reward(objective("arithmetic_mean", a=1), a=1.5))


@pytest.mark.parametrize("aggregation", MEANS)
@given(values=st.lists(st.floats(0, 1), min_size=3, max_size=3), weights=st.lists(st.floats(0, 1e3), min_size=3))
def test_rewards_stay_between_zero_and_one(aggregation: str, values: list[float], weights: list[float]) -> None:
    names = ["a", "b", "c"]
    made = objective(aggregation, **dict(zip(names, [weights[0] + 1e-3, *weights[1:]], strict=False)))
    assert 0 <= reward(made, **dict(zip(names, values, strict=True))) <= 1


def test_rewards_keep_the_order_of_molecules() -> None:
    values = np.random.default_rng(0).random(100)
    assert objective("geometric_mean", a=2).rewards({"a": values}) == pytest.approx(values)


def test_values_must_be_there_for_every_component() -> None:
    made = objective("product", a=1, b=1)
    with pytest.raises(KeyError, match="no raw values of component 'b'"):
        made.rewards({"a": np.ones(2)})
    with pytest.raises(ValueError, match="shape"):
        made.rewards({"a": np.ones(2), "b": np.ones(3)})
    assert made.rewards({"a": np.ones(0), "b": np.ones(0)}).shape == (0,)


BASE = Objective((WeightedComponent(QED()), WeightedComponent(Similarity("CCO"), 2, Sigmoid(0.2, 0.6))), "product")


def test_r5_the_hash_of_an_objective_is_of_all_that_decides_rewards() -> None:
    qed, similar = BASE.components
    others = [
        replace(BASE, aggregation="geometric_mean"),
        replace(BASE, components=(replace(qed, weight=3), similar)),
        replace(BASE, components=(qed, replace(similar, transform=Sigmoid(0.2, 0.7)))),
        replace(BASE, components=(qed, replace(similar, transform=ReverseSigmoid(0.2, 0.6)))),
        replace(BASE, components=(qed, replace(similar, component=Similarity("CCN")))),
        replace(BASE, components=(qed,)),
    ]
    assert len({BASE.sha256, *(other.sha256 for other in others)}) == 1 + len(others)


def test_the_hash_of_an_objective_is_not_of_names_or_spellings() -> None:
    qed, similar = BASE.components
    renamed = replace(similar, component=Similarity("OCC", name="alcohol"), weight=2.0)
    assert replace(BASE, components=[qed, renamed], aggregation=Aggregation.PRODUCT).sha256 == BASE.sha256


def test_the_hash_of_an_objective_is_the_same_in_every_process() -> None:
    """Rewards are stored under it: should it change, then on purpose, since stored rewards are not found any more."""
    assert BASE.sha256.startswith("dd75151b6bf4")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Objective(()), "at least one component"),
        (lambda: objective("median", a=1), "unknown aggregation 'median'"),
        (lambda: objective("geometric", a=1), "did you mean 'geometric_mean'"),
        (lambda: objective("product", a=0, b=0), "positive weight"),
        (lambda: objective("product", a=-1), "the weight of 'a' must be at least 0, got -1"),
        (lambda: objective("product", a=float("nan")), "the weight of 'a' must be a finite number"),
        (lambda: Objective((WeightedComponent(QED()), WeightedComponent(QED()))), "got twice: qed"),
        (lambda: WeightedComponent(SAScore()), "'sa_score' are not limited to"),
        (lambda: WeightedComponent(Property("logp"), transform=Identity()), "give it a transform"),
    ],
)
def test_an_objective_that_cannot_be_is_refused(make: object, message: str) -> None:
    with pytest.raises(ScoringConfigurationError, match=message):
        make()  # type: ignore[operator]


def test_the_default_is_the_geometric_mean() -> None:
    assert Objective((WeightedComponent(QED()),)).aggregation is Aggregation.GEOMETRIC_MEAN


def test_any_class_with_the_right_attributes_is_a_component() -> None:
    assert isinstance(Stored("a"), Component)


@dataclass(frozen=True)
class Shifted:
    """A transform of somebody else."""

    by: float
    rows: int | None = None
    kind: str = "shifted"

    def settings(self) -> dict[str, object]:
        return {"kind": self.kind, "by": self.by}

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return (values + self.by)[: self.rows]


def test_a_transform_that_leaves_its_range_gives_no_value_and_one_of_another_length_is_named() -> None:
    values = np.array([0.0, 0.5, np.nan])
    made = WeightedComponent(Stored("a"), transform=Shifted(0.6)).transformed(values)  # type: ignore[arg-type]
    assert made.tolist()[0] == 0.6 and np.isnan(made[1:]).all()
    with pytest.raises(ScoringError, match="shifted"):
        WeightedComponent(Stored("a"), transform=Shifted(0.6, 2)).transformed(values)  # type: ignore[arg-type]


class Bare:
    """A component of somebody else that says no more than it must."""

    name = "bare"
    version = "1"

    def values(self, molecules: list[str]) -> list[float | None]:
        if "CCC" in molecules:
            raise ValueError("too long")
        return [1 / len(each) for each in molecules]


def test_a_component_that_says_little_is_completed_and_fails_for_the_molecule_at_fault_alone() -> None:
    (part,) = Objective([Bare()]).components  # type: ignore[list-item]
    assert (part.component.cost, part.component.bounded, part.component.parallel) == ("low", True, False)
    scores = part.component.values(["C", "CCC", "CC"])
    assert [score.value for score in scores] == [1.0, None, 0.5]
    assert "too long" in str(scores[1].error)
    for wrong in (Bare, lambda smiles: 0.5, "qed"):
        with pytest.raises(ScoringConfigurationError, match="expected a component"):
            Objective([wrong])  # type: ignore[list-item]
