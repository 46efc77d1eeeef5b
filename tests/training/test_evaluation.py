from collections.abc import Callable

import numpy as np
import pytest

from molbuffer.samplers.model import ModelSampler
from molbuffer.samplers.policies.policy import Policy
from molbuffer.samplers.scores.scorer import Scorer
from molbuffer.scoring import Objective, Standardisation, WeightedComponent, diversity_of, judge_many
from molbuffer.scoring.components import PythonFunction
from molbuffer.scoring.filters import PropertyRange
from molbuffer.storage import IndexScope, SampleStore
from molbuffer.storage.records import Run, RunKind, ScoreStatus
from molbuffer.training.evaluation import (
    DrawEvaluation,
    bootstrap_difference,
    evaluate_policy,
    mean_of_best,
    molecule_quality,
)

LIGHT = PropertyRange("molecular_weight", maximum=100)
SOURCE = """
def carbon_share(smiles):
    if "NN" in smiles:
        raise RuntimeError("explosive")
    return smiles.count("C") / len(smiles)
"""


@pytest.fixture
def failing_objective(write_scorer: Callable[[str], str]) -> Objective:
    """The share of carbon; molecules with two nitrogens in a row cannot be scored."""
    return Objective((WeightedComponent(PythonFunction(f"{write_scorer(SOURCE)}:carbon_share", name="carbon")),))


def test_useless_draws_count_as_0(chain_policy: Policy, failing_objective: Objective, store: SampleStore) -> None:
    found = evaluate_policy(
        chain_policy, Scorer(failing_objective, store), [LIGHT], Standardisation(), draws=200, seed=4
    )
    judged = judge_many(ModelSampler("any", lambda: chain_policy).draw(200, seed=4).raw, [LIGHT])
    expected = [
        0.0 if row.smiles is None or row.rejected_by or "NN" in row.smiles else row.smiles.count("C") / len(row.smiles)
        for row in judged
    ]
    assert {row.rejected_by for row in judged} >= {None, "molecular_weight"}
    assert any(row.smiles and "NN" in row.smiles and not row.rejected_by for row in judged)
    np.testing.assert_allclose(found.rewards, expected)
    assert found.mean_reward == pytest.approx(float(np.mean(expected)))
    molecules = [row.smiles for row in judged if row.smiles]
    assert found.validity == len(molecules) / 200
    assert found.uniqueness == len(set(molecules)) / len(molecules)


def test_the_scores_go_to_the_store(chain_policy: Policy, failing_objective: Objective, store: SampleStore) -> None:
    def evaluate() -> None:
        evaluate_policy(chain_policy, Scorer(failing_objective, store), [], Standardisation(), draws=50, seed=4)

    evaluate()
    component = failing_objective.components[0].component
    judged = judge_many(ModelSampler("any", lambda: chain_policy).draw(50, seed=4).raw, [])
    molecules = {row.smiles for row in judged if row.smiles}
    stored = store.find_scores("carbon", component.version, sorted(molecules))
    assert set(stored) == molecules
    assert {score.status for score in stored.values()} == {ScoreStatus.OK, ScoreStatus.FAILED}
    before = store.read_arrow("SELECT count(*) AS n FROM {scores}")
    evaluate()
    assert store.read_arrow("SELECT count(*) AS n FROM {scores}") == before


def test_a_real_difference_is_outside_the_interval_and_none_is_inside() -> None:
    rng = np.random.default_rng(0)
    base, same, better = rng.normal(0.3, 0.2, 1000), rng.normal(0.3, 0.2, 1000), rng.normal(0.4, 0.2, 1000)
    low, high = bootstrap_difference(better, base, seed=1)
    assert 0.06 < low < better.mean() - base.mean() < high < 0.14
    low, high = bootstrap_difference(same, base, seed=1)
    assert low < 0 < high
    assert bootstrap_difference(better, base, seed=1) == bootstrap_difference(better, base, seed=1)


def test_the_interval_is_as_wide_as_theory_says() -> None:
    rng = np.random.default_rng(3)
    one, other = rng.normal(0, 1, 400), rng.normal(0, 1, 900)
    low, high = bootstrap_difference(one, other, seed=2)
    expected = 2 * 1.96 * np.sqrt(one.var() / 400 + other.var() / 900)
    assert high - low == pytest.approx(expected, rel=0.08)
    narrow_low, narrow_high = bootstrap_difference(one, other, seed=2, level=0.5)
    assert narrow_high - narrow_low == pytest.approx(expected * 0.674 / 1.96, rel=0.12)


def test_the_quality_of_molecules_by_hand() -> None:
    molecules = ["C", "CC", "C", "CCO"]
    found = molecule_quality(molecules, np.array([0.4, 0.8, 0.6, np.nan]))
    assert (found.rows, found.uniqueness) == (4, 0.75)
    assert found.mean == pytest.approx(0.45)
    # Of each molecule the best reward counts: 0.6, 0.8 and 0.
    assert found.top_10 == pytest.approx((0.6 + 0.8 + 0.0) / 3)
    assert mean_of_best(molecules, np.array([0.4, 0.8, 0.6, 0.0]), 2) == pytest.approx(0.7)
    assert found.internal_diversity == diversity_of(molecules).internal
    nothing = molecule_quality([], None)
    assert (nothing.mean, nothing.top_10, nothing.uniqueness, nothing.internal_diversity) == (None,) * 4


def test_draws_end_before_the_budget_is_exceeded(
    chain_policy: Policy, failing_objective: Objective, store: SampleStore
) -> None:
    def evaluate(most: int | None) -> DrawEvaluation:
        return evaluate_policy(
            chain_policy,
            Scorer(failing_objective, store),
            [LIGHT],
            Standardisation(),
            draws=100,
            seed=4,
            max_oracle_calls=most,
        )

    whole, few = evaluate(None), evaluate(5)
    assert whole.oracle_calls > 5 == few.oracle_calls
    assert few.molecules == whole.molecules[: few.draws]
    np.testing.assert_array_equal(few.rewards, whole.rewards[: few.draws])
    following = whole.molecules[few.draws]
    assert following is not None
    assert following not in few.molecules
    nothing = evaluate(0)
    assert nothing.oracle_calls == 0
    assert nothing.quality.mean is None or nothing.quality.mean == 0


def test_without_a_scorer_draws_have_no_reward_and_the_rest(chain_policy: Policy) -> None:
    found = evaluate_policy(
        chain_policy, None, [], Standardisation(), draws=50, seed=4, known=lambda smiles: set(smiles[:1])
    )
    assert found.quality.mean is found.quality.top_10 is None
    different = len({molecule for molecule in found.molecules if molecule})
    assert found.novelty == pytest.approx(1 - 1 / different)
    assert found.oracle_calls == 0
    assert found.quality.uniqueness == found.uniqueness is not None


def test_scored_draws_of_a_run_are_stored_with_their_origin_and_no_training_reads_them(
    chain_policy: Policy, failing_objective: Objective, store: SampleStore
) -> None:
    store.start_run(Run("run", "run", RunKind.OFFLINE, "{}", 0, objective_sha256=failing_objective.sha256))

    def evaluate(draws: int, most: int | None = None) -> DrawEvaluation:
        scorer = Scorer(failing_objective, store, "run")
        limits = {"seed": 4, "max_oracle_calls": most, "iteration": 30}
        return evaluate_policy(chain_policy, scorer, [LIGHT], Standardisation(), draws=draws, **limits)  # type: ignore[arg-type]

    found = evaluate(60)
    sql = """SELECT h.*, b.seed FROM sample_history AS h JOIN builds AS b USING (build_id) WHERE h.event = 'evaluation'
        ORDER BY h.build_id, h."row" """
    stored = store.query(sql)
    assert stored["smiles"].to_list() == list(found.molecules)
    rewarded = stored.filter(stored["reward"].is_not_null())
    assert sum(rewarded["reward"]) == pytest.approx(float(found.rewards.sum()))
    assert set(stored["policy_sha256"]) == {chain_policy.sha256}
    assert (set(stored["seed"]), set(stored["iteration"])) == ({4}, {30})
    assert "molecular_weight" in stored["rejected_by"].to_list()
    again = ModelSampler("any", lambda: chain_policy).draw(60, seed=4)
    assert stored["raw"].to_list() == list(again.raw), "the policy and the seed give the draws again"
    assert len(store.index(IndexScope(objective_sha256=failing_objective.sha256))) == 0
    # The same evaluation once more counts once; another size is one of its own, without the draws beyond its budget.
    evaluate(60)
    assert len(store.query(sql)) == 60
    few = evaluate(60, most=5)
    assert len(store.query(sql)) == 60 + few.draws < 120
    # Every molecule with a score has a sample.
    unknown = "SELECT count(*) FROM scores WHERE smiles NOT IN (SELECT smiles FROM sample_history WHERE kept)"
    assert store.query(unknown).item() == 0
