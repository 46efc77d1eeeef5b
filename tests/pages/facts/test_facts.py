"""The facts of a small store are those that are worked out by hand in small_store.py."""

from dataclasses import replace

import numpy as np
import pytest

from molbuffer.pages import (
    batch_shares,
    best_molecules,
    drawn_rewards,
    funnel,
    funnel_over_time,
    learning_curve,
    list_objectives,
    list_run_facts,
    rewards_by_calls,
    sampler_totals,
    samplers_over_time,
    scope_of,
)
from molbuffer.storage import Commit, Metric, RunKind, UnknownRunError


def test_a_scope_names_runs_as_of_a_snapshot(opened, small):
    assert scope_of(opened).run_ids == (small.FIRST, small.SECOND, small.THIRD)
    assert scope_of(opened, ["alpha"]).run_ids == (small.FIRST, small.SECOND)
    assert scope_of(opened, ["run-b", "run-a1"]).run_ids == (small.FIRST, small.THIRD)
    assert (scope_of(opened).whole, scope_of(opened, ["beta"]).whole) == (True, False)
    with pytest.raises(UnknownRunError, match=r"'gamma'; newest: beta \(run-b\), alpha \(run-a2\)"):
        scope_of(opened, ["gamma"])


def test_what_comes_later_is_not_in_a_scope(opened, small):
    first = next(each.version for each in opened.snapshots() if "run-a1" in str(each))
    scope = scope_of(opened, snapshot=first)
    assert scope.run_ids == (small.FIRST,)
    assert funnel(scope).drawn == 0


def test_runs_have_settings_status_and_totals(every_run, small):
    first, second, third = list_run_facts(every_run)
    assert (first.label, second.label, third.label) == ("alpha run-a1", "alpha run-a2", "beta")
    assert (first.status, first.detail, second.status) == ("finished", "10 oracle calls", "failed")
    assert (first.drawn, first.kept, first.iterations, first.oracle_calls, first.budget) == (10, 8, 2, 5, 10)
    assert (third.oracle_calls, third.kind, third.objective_sha256) == (None, "build", small.B)
    assert first.setting("policy", "prior") == "zinc-gru"
    assert first.setting("policy", "prior", "none") is None
    # (0.2 + 0.6 + 0.2 + 0.9 + 0.6) / 5, weighted by the kept rows of each build as `runs` has it.
    assert first.mean_reward == pytest.approx((1.0 / 3 * 3 + 0.75 * 4) / 7)


def test_what_actors_drew_counts_as_drawn_by_their_training(store, small):
    store.start_run(small.alpha("learner", 1))
    store.commit(Commit(run_id="learner", run_metrics=small.of_iteration(0, None, 0.5, 3)))
    for actor, drawn, rewards in (("x", ["CCO", "CCC"], {0: 0.2, 1: 0.6}), ("y", ["CCC", "CCN"], {0: 0.6, 1: 0.9})):
        store.start_run(replace(small.alpha(actor, 2), kind=RunKind.BUILD, parent_run_id="learner"))
        store.commit(Commit([small.build(actor, 0, drawn, rewards)]))
    for runs in ([], ["alpha"], ["learner"]):
        scope = scope_of(store, runs)
        (run,) = list_run_facts(scope)
        assert (run.run_id, run.shown_kind, run.label) == ("learner", "train, 2 actors", "alpha")
        assert (run.drawn, run.kept, run.iterations, run.mean_reward) == (4, 4, 1, pytest.approx(2.3 / 4))
        (curve,) = rewards_by_calls(scope, small.A)
        assert (curve.run_id, curve.calls, curve.best) == ("learner", 3, 0.9)
        best = best_molecules(scope, small.A)[0]
        assert (best.smiles, best.run_id) == ("CCN", "y")
        assert funnel(scope).rewarded == 4
        (objective,) = list_objectives(scope)
        assert list(objective.runs) == ["alpha"]
        assert scope.whole
    apart = list_run_facts(scope_of(store, actors_apart=True))
    assert [(each.run_id, each.shown_kind, each.drawn) for each in apart] == [
        ("learner", "train", 0),
        ("x", "build", 2),
        ("y", "build", 2),
    ]
    # Without its training, an actor is a run like any other.
    (actor,) = list_run_facts(scope_of(store, ["x"]))
    assert (actor.shown_kind, actor.drawn) == ("build", 2)


def test_a_run_that_only_learns_has_the_iterations_of_its_steps(store, small):
    store.start_run(replace(small.alpha("off", 1), kind=RunKind.OFFLINE))
    steps = [(at, Metric("loss", None if at == 2 else 1.0)) for at in range(3)]
    # The report at the end counts as no step.
    store.commit(Commit(run_id="off", run_metrics=[*steps, (3, Metric("data_rows", 6.0))]))
    (run,) = list_run_facts(scope_of(store))
    assert (run.iterations, run.drawn) == (3, 0) and run.changed > run.started


def test_objectives_have_components_with_curves(every_run, small):
    other, own = list_objectives(every_run)
    assert (own.sha256, own.aggregation, own.runs) == (small.A, "geometric_mean", ("alpha", "alpha"))
    # Rows 0, 3 and 4, two of the batch, and two of the second run; failed, lost and pending ones have none.
    assert (own.rewarded, own.without) == (7, 3)
    qed, mass = own.components
    assert (qed.scored, mass.scored, mass.weight, mass.quantiles[0], mass.quantiles[-1]) == (4, 4, 2.0, 44.0, 94.0)
    raw, transformed = mass.curve()
    assert transformed == pytest.approx(np.clip(raw / 200, 0, 1))
    assert qed.curve()[1][[0, -1]].tolist() == [0.0, 1.0]
    # A kind that nobody has installed has no curve, and is no error.
    assert other.components[0].curve() is None


def test_metrics_of_iterations_are_binned(every_run, first_run, small):
    curve = learning_curve(first_run, ["reward_live"])
    assert curve.select("run_id", "iteration", "value").rows() == [(small.FIRST, 0, 0.3), (small.FIRST, 1, 0.75)]
    assert learning_curve(first_run, ["reward_live"], bins=1).select("iteration", "value").rows() == [(1, 0.525)]
    # An undefined value is no point.
    assert learning_curve(every_run, ["reward_buffer"])["run_id"].to_list() == [small.FIRST, small.FIRST]


def test_rewards_of_what_was_drawn(first_run, small):
    found = drawn_rewards(first_run, small.A).rows(named=True)
    assert [(row["event"], row["iteration"], row["rows"]) for row in found] == [
        ("build_buffer", 0, 3),
        ("sample_batch", 1, 2),
    ]
    assert (found[0]["mean"], found[0]["median"]) == (pytest.approx(1 / 3), 0.2)
    assert drawn_rewards(first_run, small.B).is_empty()


def test_rewards_over_calls_count_each_molecule_once_in_the_order_of_the_rows(every_run, small):
    first, second = rewards_by_calls(every_run, small.A)
    # CCO, CCC, the phenol, and two calls that failed; the pending one is none yet.
    assert (first.run_id, first.calls, first.failed, first.budget) == (small.FIRST, 5, 2, 10)
    assert first.points.rows() == [
        (1, 0.2, 0.2),
        (2, 0.6, pytest.approx(0.4)),
        *((calls, 0.9, pytest.approx(1.7 / 3)) for calls in (3, 4, 5)),
    ]
    assert (first.best, first.top_10) == (0.9, pytest.approx(1.7 / 3))
    # One point after 5 calls: a triangle, then the last value up to the budget of 10.
    assert first.auc_top_10 == pytest.approx((5 / 2 + 5) * (1.7 / 3) / 10)
    assert (second.run_id, second.calls, second.best) == (small.SECOND, 2, 0.6)
    assert [curve.run_id for curve in rewards_by_calls(every_run, small.B)] == [small.THIRD]


def test_each_row_has_one_outcome(every_run, first_run, small):
    whole = funnel(first_run)
    assert (whole.drawn, whole.parseable, whole.refused, whole.kept) == (10, 9, {"molecular_weight": 1}, 8)
    # CCO, CCC and the phenol were computed; the second CCO and CCC are known by then.
    assert (whole.failed, whole.pending, whole.rewarded, whole.computed) == (2, 1, 5, 3)
    over_time = funnel_over_time(every_run)
    assert over_time.filter(run_id=small.SECOND).select("outcome", "rows").rows() == [
        ("reward of known scores", 1),
        ("reward of new scores", 1),
    ]
    assert over_time["rows"].sum() == 14
    assert funnel_over_time(first_run, bins=1)["iteration"].unique().to_list() == [0]


def test_samplers_have_totals_and_metrics(first_run, small):
    filled, live, kids = sampler_totals(first_run).rows(named=True)
    assert (filled["sampler"], filled["event"], filled["drawn"], filled["kept"]) == ("live", "build_buffer", 5, 3)
    assert (filled["diversity"], filled["valid"], filled["rewards"], filled["shortfall"]) == (0.75, 0.6, None, 1)
    assert (live["event"], live["rewards"], kids["sampler"], kids["sampler_kind"]) == (
        *("sample_batch", 0.75),
        *("kids", "mutation"),
    )
    assert sampler_totals(first_run, since_iteration=1)["event"].to_list() == ["sample_batch"] * 2
    over_time = samplers_over_time(first_run).filter(event="sample_batch", name="rewards")
    assert over_time.select("sampler", "iteration", "value").rows() == [("live", 1, 0.75)]
    shares = batch_shares(first_run, bins=1).select("source", "iteration", "share").rows()
    assert shares == [("buffer", 1, 0.25), ("live", 1, 0.75)]


def test_the_best_molecules_say_what_they_are_made_of_and_where_they_are_from(every_run, first_run, small):
    phenol, propane, butane, ethanol = best_molecules(every_run, small.A)
    assert [each.reward for each in (phenol, propane, butane, ethanol)] == [0.9, 0.6, 0.3, 0.2]
    assert [(each.component, each.raw, each.transformed) for each in phenol.components] == [
        ("qed", 0.9, 0.9),
        ("mass", 94.0, 0.47),
    ]
    assert (phenol.sampler, phenol.iteration, phenol.policy_sha256) == ("live", 1, small.AGENT)
    assert (propane.run_id, propane.iteration, propane.times_drawn) == (small.FIRST, 0, 3)
    assert [each.smiles for each in best_molecules(first_run, small.A)] == [small.PHENOL, "CCC", "CCO"]
    assert [each.smiles for each in best_molecules(first_run, small.A, n=1)] == [small.PHENOL]
    read = best_molecules(scope_of(every_run.store, ["beta"]), small.B)
    assert [each.file for each in read] == ["own.csv, line 2, M1", "own.csv, line 3"]


def test_an_empty_store_has_no_facts(empty_store):
    from molbuffer.storage import SampleStore

    with SampleStore.open(empty_store, read_only=True) as store:
        scope = scope_of(store)
        assert (scope.run_ids, list_run_facts(scope), list_objectives(scope)) == ((), [], [])
        assert funnel(scope).drawn == 0
        for found in (learning_curve(scope, ["loss"]), sampler_totals(scope), batch_shares(scope)):
            assert found.is_empty()
            assert found.columns[0] == "run_id"
