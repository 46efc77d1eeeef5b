"""Facts that need molecules one by one: samples, diversity, maps, trade-offs, failures, costs and descent."""

import numpy as np
import polars as pl
import pytest

from molbuffer.pages import (
    MoleculeSample,
    descent,
    diversity,
    draws_of,
    list_costs,
    list_failures,
    map_space,
    nearest_of,
    pareto_front,
    picture,
    policy_descent,
    sample_molecules,
    scope_of,
    scores_of,
    tradeoffs,
)
from molbuffer.scoring.error_forms import error_form
from molbuffer.storage import Commit, SampleStore, Score, ScoreStatus


def sample_of(*smiles, rewards=None):
    n = len(smiles)
    columns = {"smiles": smiles, "reward": rewards or [i / n for i in range(n)], "iteration": range(n)}
    return MoleculeSample(n, pl.DataFrame(columns, schema_overrides={"reward": pl.Float64}))


def test_a_sample_is_in_the_order_of_the_first_draws(every_run, small):
    whole = sample_molecules(every_run, small.A, 10)
    assert whole.is_whole
    assert whole.molecules.select("smiles", "reward", "iteration", "place").rows() == [
        ("CCO", 0.2, 0, 1),
        ("CCC", 0.6, 0, 2),
        (small.PHENOL, 0.9, 1, 3),
        ("CCCC", 0.3, 0, 4),
    ]
    some = sample_molecules(every_run, small.A, 2)
    assert (some.total, len(some.molecules), some.is_whole) == (4, 2, False)
    # The same again, and others with another seed.
    assert some.molecules.equals(sample_molecules(every_run, small.A, 2).molecules)
    seeds = {tuple(sample_molecules(every_run, small.A, 2, seed=seed).molecules["smiles"]) for seed in range(8)}
    assert len(seeds) > 1
    assert sample_molecules(every_run, "nobody's", 2).molecules.is_empty()


def test_scaffolds_are_counted_and_the_largest_clusters_shown():
    found = diversity(sample_of("Cc1ccccc1", "CCO", "Oc1ccccc1", "C1CCCCC1", "CCN", "not a molecule"))
    assert (found.scaffolds, found.singletons) == (3, 1)
    assert found.curve.rows() == [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)]
    assert [(each.scaffold, each.molecules, each.best) for each in found.clusters] == [
        ("", 2, "CCN"),
        ("c1ccccc1", 2, "Oc1ccccc1"),
        ("C1CCCCC1", 1, "C1CCCCC1"),
    ]
    assert 0 < found.internal < 1
    nothing = diversity(sample_of())
    assert (nothing.scaffolds, nothing.internal, nothing.curve.is_empty(), nothing.clusters) == (0, None, True, ())


def test_the_nearest_molecule_of_a_reference_is_found():
    found = nearest_of(["CCO", "c1ccccc1O", "?"], ["OCC", "Cc1ccccc1O", "CCCCCCC", "?"])
    assert [(each.smiles, each.nearest) for each in found] == [("CCO", "OCC"), ("c1ccccc1O", "Cc1ccccc1O")]
    assert found[0].similarity == 1.0 > found[1].similarity > 0.3
    assert nearest_of(["CCO"], []) == []


@pytest.mark.parametrize("giant", ["C" * 200_000, "C(" * 9_000 + "C" + ")" * 9_000, "C1CC1" * 3_000])
def test_giants_are_left_out_and_take_no_time(giant):
    """RDKit would take minutes and gigabytes for the scaffold of one."""
    sample = sample_of(giant, "c1ccccc1")
    assert [cluster.scaffold for cluster in diversity(sample).clusters] == ["c1ccccc1"]
    assert nearest_of([giant], ["C"]) == nearest_of(["C"], [giant]) == []
    assert picture(giant) is None
    assert map_space(sample).points["smiles"].to_list() == ["c1ccccc1"]


def test_a_map_is_the_same_for_the_same_sample_and_puts_like_beside_like():
    amines, rings = ["CCN", "CCCN", "CCCCN"], ["c1ccccc1O", "Cc1ccccc1O", "CCc1ccccc1O"]
    found = map_space(sample_of(*amines, *rings, "?"))
    x = found.points["x"].to_numpy()
    assert len(x) == 6
    # The first axis tells them apart, and most of the variance is along it.
    assert x[:3].max() < x[3:].min() or x[3:].max() < x[:3].min()
    assert found.explained[0] > found.explained[1] > 0
    assert found.points.equals(map_space(sample_of(*amines, *rings, "?")).points)
    assert map_space(sample_of("CCO", "CCO", "CCO")).explained == (0.0, 0.0)
    assert map_space(sample_of("CCO")).points["x"].to_list() == [0.0]


def test_a_front_has_the_points_that_no_other_dominates():
    x = np.array([0.1, 0.5, 0.5, 0.9, 0.4, 0.9])
    y = np.array([0.9, 0.5, 0.6, 0.1, 0.4, 0.1])
    # (0.5, 0.6) beats (0.5, 0.5) and (0.4, 0.4); of the equal points the first is there.
    assert pareto_front(x, y).tolist() == [0, 2, 3]
    assert pareto_front(np.array([]), np.array([])).tolist() == []
    rng = np.random.default_rng(0)
    x, y = rng.random((2, 300)).round(2)
    slow = [i for i in range(300) if not ((x >= x[i]) & (y >= y[i]) & ((x > x[i]) | (y > y[i]))).any()]
    assert {(x[i], y[i]) for i in pareto_front(x, y)} == {(x[i], y[i]) for i in slow}


def test_trade_offs_have_transformed_values_and_fronts(every_run, first_run, small):
    found = tradeoffs(every_run, small.A, ["qed", "mass"])
    assert (found.components, found.total) == (("qed", "mass"), 4)
    assert found.points.columns == ["smiles", "reward", "t0", "r0", "t1", "r1"]
    assert found.points.row(0) == (small.PHENOL, 0.9, 0.9, 0.9, pytest.approx(0.47), 94.0)
    assert found.fronts.rows() == [(0, 1, small.PHENOL, 0.9, pytest.approx(0.47))]
    assert tradeoffs(first_run, small.A, ["qed", "mass"]).total == 3
    # One component has no trade-off.
    assert tradeoffs(every_run, small.B, ["logp"]) is None


def test_failures_are_grouped_by_reason_with_examples(every_run, small):
    failed, lost = sorted(list_failures(every_run), key=lambda each: each.status)
    assert (failed.component, failed.error, failed.molecules, failed.examples) == (
        *("mass", "no force field for CCCl in 3 tries", 1, ("CCCl",)),
    )
    assert (lost.status, lost.examples, lost.recovered) == ("lost", ("CCBr",), 0)


def test_errors_are_of_one_form_as_score_says(small, tmp_path):
    texts = [
        "no force field for {} in 3 tries", "timeout after 30 s", "timeout after -3.5e-2 s", "job a1b2c3 of {}: gone",
        "job 0f9e8d of {}: gone", "{}", "{}: {}", "CCO{}", "at 12:30:01 {}", "at 2026-11-29 {}", "nan", "[{}] (1, 2)",
        "id 123e4567-e89b-12d3-a456-426614174000", "id 00000000-e89b-12d3-a456-426614174fff",
    ]  # fmt: skip
    molecules = ["C", "CCO", "C[C@H](N)O", "c1ccccc1", "[Na+].[Cl-]"]
    failed = [(smiles, text.replace("{}", smiles)) for smiles in molecules for text in texts]
    with SampleStore.create(tmp_path / "store") as store:
        store.start_run(small.alpha("run", 1))
        scores = [Score(smiles, "mass", "v2", None, ScoreStatus.FAILED, error=error) for smiles, error in failed]
        for score in scores:
            store.record_scores([score], run_id="run")
        found = list_failures(scope_of(store))
    forms = {}
    for smiles, error in failed:
        forms.setdefault(error_form(error, smiles), set()).add(smiles)
    assert sorted(each.molecules for each in found) == sorted(map(len, forms.values()))


def test_costs_are_those_that_were_paid_and_those_that_were_saved(every_run, first_run, small):
    mass, qed, logp = list_costs(every_run)
    # Of mass, the first run has paid for CCO, CCC, the phenol, a failed and a lost one, the second for butane, and
    # found CCC.
    assert (mass.component, mass.asked, mass.computed, mass.known) == ("mass", 7, 6, 1)
    assert (mass.seconds, mass.mean_seconds) == (pytest.approx(33.0), pytest.approx(5.5))
    assert mass.saved_seconds == pytest.approx(5.5)
    assert (qed.component, qed.computed, qed.known, logp.computed, logp.known) == ("qed", 4, 1, 1, 0)
    assert [(each.component, each.known) for each in list_costs(first_run)] == [("mass", 0), ("qed", 0)]


def test_descent_goes_back_to_what_has_no_source(every_run, small):
    cresol, phenol = descent(every_run, small.CRESOL)
    assert (cresol.generation, cresol.sampler, phenol.smiles, phenol.sampler) == (0, "kids", small.PHENOL, "live")
    assert descent(every_run, "C#N") == []
    steps = policy_descent(every_run, small.AGENT)
    assert [(step.sha256, step.run_name) for step in steps] == [(small.AGENT, "alpha"), (small.PRIOR, None)]


def test_descent_has_both_parents_of_a_child_and_theirs(small, tmp_path):
    with SampleStore.create(tmp_path / "store") as store:
        store.start_run(small.alpha("run", 1))
        # Of two generations; the last child is its own grandchild.
        drawn, parents = ["CCO", "CCN", "CCON", "OCCN"], [(), ("OCCN",), ("CCO", "CCN"), ("CCON", "FCF")]
        children = small.build("run", 0, drawn, {0: 0.5}, sampler_kind="graph_ga", parents=parents)
        store.commit(Commit([children]))
        found = descent(scope_of(store), "OCCN")
        assert draws_of(scope_of(store), "CCON")["made_of"].to_list() == ["CCO CCN"]
    assert [(each.smiles, each.generation, each.sampler) for each in found] == [
        ("OCCN", 0, "live"),
        ("CCON", 1, "live"),
        ("FCF", 1, None),
        ("CCO", 2, "live"),
        ("CCN", 2, "live"),
    ]


def test_all_draws_and_scores_of_a_molecule(every_run, small):
    draws = draws_of(every_run, "CCC")
    assert draws.select("run_id", "event", "reward").rows() == [
        (small.FIRST, "build_buffer", 0.6),
        (small.FIRST, "sample_batch", 0.6),
        (small.SECOND, "sample_batch", 0.6),
    ]
    assert draws_of(every_run, "CCN")["rejected_by"].to_list() == ["molecular_weight"]
    scores = scores_of(every_run, "CCCl")
    assert scores.select("component", "status", "seconds").rows() == [("mass", "failed", 1.0)]
