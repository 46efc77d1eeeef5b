"""A molecule that a gate refuses is never scored by the dear component, has a reward, and counts as complete."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import polars as pl
import pytest

from molbuffer.lab import described_run
from molbuffer.samplers import ScoredMolecules, Scorer, score_again
from molbuffer.scoring import Objective, RawScore, ScorerUnavailableError, WeightedComponent
from molbuffer.scoring.transforms import Linear
from molbuffer.storage import Build, Commit, Event, Reward, RunKind, Samples, SampleStore, Score, ScoreStatus, now
from molbuffer.storage.rows import Rows


class Dear:
    """A component that counts its calls, and fails or is lost for some molecules."""

    kind = "dear"
    bounded, parallel = True, False

    def __init__(self, name: str, value: Callable[[str], float], cost: str = "high") -> None:
        self.name, self.version, self.cost, self.value = name, f"{name}-1", cost, value
        self.calls: Counter[str] = Counter()
        self.down: dict[str, Exception] = {}

    def values(self, molecules: list[str]) -> list[RawScore]:
        self.calls.update(molecules)
        return [RawScore.failed(self.down[m]) if m in self.down else RawScore(self.value(m)) for m in molecules]


@pytest.fixture
def cheap() -> Dear:
    return Dear("length", lambda smiles: len(smiles) / 10, "low")


@pytest.fixture(params=["high", "low"])
def dear(request: pytest.FixtureRequest) -> Dear:
    return Dear("dear", lambda smiles: 0.5, request.param)


@pytest.fixture
def objective(cheap: Dear, dear: Dear) -> Objective:
    # The gated one comes first in the configuration, and last in the computation.
    gated = WeightedComponent(dear, after="length > 0.2", otherwise=0.1)  # type: ignore[arg-type]
    return Objective([gated, cheap], "product")


def test_a_gated_molecule_is_not_scored_and_has_the_reward_of_the_rule(
    store: SampleStore, objective: Objective, dear: Dear, cheap: Dear
) -> None:
    scored = Scorer(objective, store).score(["CCC", "C", "CCCC"])
    np.testing.assert_allclose(scored.rewards, [0.15, 0.01, 0.2])
    np.testing.assert_array_equal(scored.values["dear"], [0.5, np.nan, 0.5])
    assert list(scored.values) == ["dear", "length"]
    assert (dict(scored.gated), dict(scored.errors)) == ({"dear": {"C"}}, {})
    assert dear.calls == {"CCC": 1, "CCCC": 1}
    store.record_scores(scored.new)
    assert store.query("SELECT count(*) FROM scores WHERE component = 'dear' AND smiles = 'C'").item() == 0
    # A score that another objective has paid for changes nothing.
    store.record_scores([Score("C", "dear", "dear-1", 0.9)])
    again = Scorer(objective, store).score(["CCC", "C"])
    np.testing.assert_allclose(again.rewards, [0.15, 0.01])
    assert (again.new, sum(dear.calls.values()), sum(cheap.calls.values())) == ([], 2, 3)


def test_nobody_claims_a_gated_molecule(store: SampleStore, objective: Objective) -> None:
    assert store.claims.claim("dear", "dear-1", ["C"], "another", 60.0) == {"C"}
    assert Scorer(objective, store).score(["C"]).rewards.tolist() == [pytest.approx(0.01)]


def test_a_gate_that_cannot_be_decided_is_closed_until_the_scores_it_needs_come(
    store: SampleStore, objective: Objective, dear: Dear, cheap: Dear
) -> None:
    cheap.down = {"CCC": ScorerUnavailableError("no licence"), "C": ScorerUnavailableError("no licence")}
    scored = Scorer(objective, store, "run-1").score(["CCC", "C"])
    assert np.isnan(scored.rewards).all()
    assert (scored.errors.keys(), dear.calls) == ({"CCC", "C"}, {})
    store.record_scores(scored.new, run_id="run-1")
    cheap.down = {}
    found = score_again(Scorer(objective, store, "run-2"), "run-2", statuses=[ScoreStatus.LOST])
    # The gate has opened for one of them, whose dear score came with it.
    assert (found.tried, found.scored, dear.calls) == (3, 3, {"CCC": 1})
    np.testing.assert_allclose(Scorer(objective, store, computes="nothing").score(["CCC", "C"]).rewards, [0.15, 0.01])


def test_failed_scores_of_gated_molecules_are_not_tried_again(
    store: SampleStore, objective: Objective, dear: Dear
) -> None:
    store.record_scores([Score(m, "dear", "dear-1", None, ScoreStatus.FAILED, "no") for m in ("C", "CCC")])
    found = score_again(Scorer(objective, store, "run-2"), "run-2", statuses=[ScoreStatus.FAILED])
    assert (found.tried, dear.calls) == (1, {"CCC": 1})


def test_without_computing_only_what_a_molecule_lacks_makes_it_unknown(
    store: SampleStore, objective: Objective, dear: Dear, cheap: Dear
) -> None:
    dear.cost = "high"
    looked = replace(Scorer(objective, store), computes="nothing").score(["C", "CCC"])
    assert looked.unknown == {"C", "CCC"}
    offline = replace(Scorer(objective, store), computes="cheap").score(["C", "CCC"])
    assert (offline.unknown, offline.computed, dear.calls) == ({"CCC"}, 2, {})
    np.testing.assert_allclose(offline.rewards, [0.01, np.nan])


def test_cheap_scores_are_not_computed_for_molecules_that_stay_without_a_dear_one(
    store: SampleStore, dear: Dear, cheap: Dear
) -> None:
    dear.cost = "high"
    store.record_scores([Score("CCC", "dear", "dear-1", 0.5)])
    scored = Scorer(Objective([cheap, dear]), store, computes="cheap").score(["C", "CCC"])  # type: ignore[list-item]
    assert (scored.unknown, cheap.calls) == ({"C"}, {"CCC": 1})


def test_components_come_by_cost_as_the_store_knows_it(store: SampleStore) -> None:
    order: list[str] = []

    def noting(name: str, cost: str) -> Dear:
        component = Dear(name, lambda smiles: 0.5, cost)
        component.value = lambda smiles: float(bool(order.append(name)))
        return component

    names = [("slow", "high"), ("fast", "high"), ("cheap", "low")]
    parts = [noting(*each) for each in names]
    for name, seconds in (("slow", 60.0), ("fast", 2.0)):
        store.record_scores([Score("N", name, f"{name}-1", 0.5, seconds=seconds)])
    Scorer(Objective(parts), store).score(["C"])  # type: ignore[arg-type]
    assert order == ["cheap", "fast", "slow"]


def test_sql_shows_what_was_gated(store: SampleStore, objective: Objective) -> None:
    store.start_run(described_run("run-1", "gates", RunKind.BUILD, "{}", 0, objective=objective))
    store.commit(Commit([scored_build(objective, Scorer(objective, store, "run-1").score(["CCC", "C"]))]))
    # A score that another objective has paid for has no part in this one.
    store.record_scores([Score("C", "dear", "dear-1", 0.9)])
    rows = store.query(
        """SELECT smiles, component, status, raw_value, round(transformed_value, 6), round(reward, 6)
        FROM molecule_scores ORDER BY smiles, position"""
    ).rows()
    assert rows == [
        ("C", "dear", "gated", None, 0.1, 0.01),
        ("C", "length", "ok", 0.1, 0.1, 0.01),
        ("CCC", "dear", "ok", 0.5, 0.5, 0.15),
        ("CCC", "length", "ok", 0.3, 0.3, 0.15),
    ]
    best = store.best_molecules(5)
    assert best.select("smiles", "raw_dear", pl.col("transformed_dear").round(6)).rows() == [
        ("CCC", 0.5, 0.5),
        ("C", None, 0.1),
    ]


def scored_build(objective: Objective, scored: ScoredMolecules) -> Build:
    """A build of kept molecules with their rewards."""
    smiles, rewards = list(scored.smiles), scored.rewards.tolist()
    return Build(
        run_id="run-1",
        iteration=0,
        event=Event.BUILD_BUFFER,
        sampler="file",
        sampler_kind="dataset",
        objective_sha256=objective.sha256,
        samples=Samples(smiles, smiles, [None] * len(smiles), Rows.blank(len(smiles), "vocabulary")),
        rewards=[Reward(row, objective.sha256, value) for row, value in enumerate(rewards)],
        scores=scored.new,
        seed=0,
        attempt_id="",
        started=now(),
        ended=now(),
    )


OPERATORS = [
    "1 < a < 3 and 1 < b",
    "a < 2",
    "a <= 2",
    "a > 2",
    "a >= 2",
    "a == 2",
    "a != 2",
    "a < 2 or b > 2",
    "not (a < 2 or b < 2)",
]


def test_sql_and_python_open_the_same_gates(store: SampleStore) -> None:
    values = {f"C{'C' * at}": pair for at, pair in enumerate(product([1.0, 2.0, 3.0], repeat=2))}
    sources = [Dear(name, lambda smiles, at=at: values[smiles][at] / 10, "low") for at, name in enumerate("ab")]
    for part in sources:
        part.value = lambda smiles, value=part.value: value(smiles) * 10
    transform = Linear(low=0, high=10)
    gated = [
        WeightedComponent(Dear(f"gated-{at}", lambda smiles: 0.5, "low"), after=text)  # type: ignore[arg-type]
        for at, text in enumerate(OPERATORS)
    ]
    objective = Objective([*(WeightedComponent(each, transform=transform) for each in sources), *gated])
    store.start_run(described_run("run-1", "gates", RunKind.BUILD, "{}", 0, objective=objective))
    scored = Scorer(objective).score(list(values))
    store.commit(Commit([scored_build(objective, scored)]))
    rows = store.query("SELECT component, smiles FROM molecule_scores WHERE status = 'gated'").rows()
    expected = {(name, smiles) for name, molecules in scored.gated.items() for smiles in molecules}
    assert (set(rows), len(rows)) == (expected, len(expected))
    assert 0 < len(expected) < len(values) * len(OPERATORS)
