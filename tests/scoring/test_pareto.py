"""Pareto ranks among a fixed reference: the reward of a molecule is that of no other molecule's company."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from molbuffer.scoring import Objective, ScoringConfigurationError, WeightedComponent
from molbuffer.scoring.components import QED, SAScore
from molbuffer.scoring.pareto import ParetoFronts
from molbuffer.scoring.transforms import Linear

# Two fronts: a staircase of three, and two points behind it.
POINTS = np.array([[0.1, 0.9], [0.5, 0.5], [0.9, 0.1], [0.4, 0.4], [0.2, 0.3]])


def reward(*point: float) -> float:
    return float(ParetoFronts(POINTS).rewards(np.array([point]))[0])


def test_fronts_are_those_of_non_dominated_sorting() -> None:
    fronts = ParetoFronts(POINTS)
    assert len(fronts) == 3
    # Rank and crowding by hand, of three fronts: (3 - r + c) / 4.
    assert reward(1.0, 1.0) == 1.0, "beyond the first front"
    assert reward(0.6, 0.3) == pytest.approx((3 - 0 + np.mean([0.4, 0.4])) / 4), "between two points of the first front"
    assert reward(0.45, 0.45) == pytest.approx((3 - 1 + 1.0) / 4), "behind the first, beyond the second front"
    assert reward(0.4, 0.4) == pytest.approx((3 - 1 + 1.0) / 4), "a point of the reference is not dominated by itself"
    assert reward(0.1, 0.1) == 0.0, "behind the last front"


UNIT = st.floats(0, 1, width=16)


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float64, st.tuples(st.integers(1, 12), st.just(3)), elements=UNIT),
    arrays(np.float64, (6, 3), elements=UNIT),
)
def test_what_dominates_is_worth_less_by_crowding_alone(reference: np.ndarray, points: np.ndarray) -> None:
    fronts = ParetoFronts(reference)
    found = fronts.rewards(points)
    assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_array_equal(fronts.rewards(points[:1]), found[:1])
    for a, b in np.ndindex(6, 6):
        if (points[a] >= points[b]).all():
            assert found[a] >= found[b] - 1 / (len(fronts) + 1) - 1e-12


def objective(**reference: list[float]) -> Objective:
    parts = [QED(), WeightedComponent(SAScore(), transform=Linear(1, 10))]
    return Objective(parts, "pareto", reference or {"qed": [0.2, 0.8], "sa_score": [8.0, 2.0]})


def test_an_objective_ranks_among_its_reference() -> None:
    raw = {"qed": np.array([0.9, 0.1, np.nan]), "sa_score": np.array([9.0, 1.5, 3.0])}
    np.testing.assert_array_equal(objective().rewards(raw), [1.0, 0.0, np.nan])


def test_the_reference_is_part_of_the_identity_and_its_order_is_not() -> None:
    assert objective().sha256 == objective(qed=[0.8, 0.2], sa_score=[2.0, 8.0]).sha256
    assert objective().sha256 != objective(qed=[0.8, 0.3], sa_score=[2.0, 8.0]).sha256
    assert objective().sha256 != Objective(objective().components).sha256


def test_a_component_of_weight_0_has_no_part_in_a_rank() -> None:
    parts = [QED(), WeightedComponent(SAScore(), 0.0, Linear(1, 10))]
    alone = Objective(parts, "pareto", {"qed": [0.2, 0.8], "sa_score": [1.0, 1.0]})
    raw = {"qed": np.array([0.9, 0.1]), "sa_score": np.array([1.0, 10.0])}
    np.testing.assert_array_equal(alone.rewards(raw), [1.0, 0.0])


def test_a_reference_is_a_table_of_the_best_molecules(tmp_path: Path) -> None:
    table = tmp_path / "front.csv"
    table.write_text(
        "smiles,reward,raw_qed,transformed_qed,raw_sa_score\nC,0.5,0.2,0.2,8\nCC,0.5,0.8,0.8,2\nN,0.1,,,\n"
    )
    of_table = Objective(objective().components, "pareto", table)
    raw = {"qed": np.array([0.9, 0.5]), "sa_score": np.array([9.0, 5.0])}
    np.testing.assert_array_equal(of_table.rewards(raw), objective().rewards(raw))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("smiles,raw_qed\nC,0.5\n", "has no column 'raw_sa_score'"),
        ("raw_qed,raw_sa_score\n", "a reference has 1 to 5000 molecules"),
        ("raw_qed,raw_sa_score\n,3\n", "no molecule of the reference has values of all components"),
        ("raw_qed,raw_sa_score\nhigh,3\n", "cannot be read: could not convert"),
        (None, "cannot be read: .*No such file"),
    ],
)
def test_a_reference_that_cannot_be_is_refused(tmp_path: Path, text: str | None, expected: str) -> None:
    table = tmp_path / "front.csv"
    if text is not None:
        table.write_text(text)
    with pytest.raises(ScoringConfigurationError, match=expected):
        Objective(objective().components, "pareto", table)


def test_only_pareto_has_a_reference() -> None:
    with pytest.raises(ScoringConfigurationError, match="pareto needs a reference"):
        Objective([QED()], "pareto")
    with pytest.raises(ScoringConfigurationError, match="product has no use for a reference"):
        Objective([QED()], "product", {"qed": [0.5]})
    with pytest.raises(ScoringConfigurationError, match="no values of component 'sa_score'"):
        Objective(objective().components, "pareto", {"qed": [0.5]})
