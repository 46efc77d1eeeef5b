"""Molecules come with the values of their components, by SQL and in exports, also of runs of older releases."""

import json
from dataclasses import replace

import polars as pl
import pytest

from molbuffer.storage import SampleStore
from molbuffer.storage.errors import PredicateError, UnknownObjectiveError, UnknownRunError
from molbuffer.storage.records import (
    Commit,
    FileOrigin,
    ObjectiveComponent,
    ObjectiveDefinition,
    Reward,
    RunKind,
    Score,
    ScoreStatus,
)
from molbuffer.storage.recovery.recover import Source, recover_store
from molbuffer.storage.trusted import trusted_archive
from molbuffer.storage.verify.verify import verify_store

LINEAR = json.dumps({"kind": "linear", "low": 0.0, "high": 200.0})
IDENTITY = json.dumps({"kind": "identity"})
PARTS = (ObjectiveComponent("qed", "v1", 1.0, IDENTITY), ObjectiveComponent("mass", "v2", 2.0, LINEAR))
DEFINITION = ObjectiveDefinition("geometric_mean", PARTS)
OTHER = ObjectiveDefinition("product", (ObjectiveComponent("QED", "v3", 1.0, IDENTITY),))
SCORES = [
    Score("C", "qed", "v1", 0.5),
    Score("C", "qed", "v0", 0.9),
    Score("C", "mass", "v2", 50.0),
    Score("CCCC", "qed", "v1", None, ScoreStatus.LOST, error="no licence"),
    Score("CCCC", "qed", "v1", None, ScoreStatus.FAILED, error="no value"),
    Score("CCCC", "QED", "v3", 0.25),
    Score("CCCCC", "qed", "v1", 0.75),
]


@pytest.fixture
def scored(store, make):
    """A store with rows that have rewards under two objectives: 0, 3, 4 and 5 of the only build are kept."""
    store.start_run(make.make_run(objective_sha256=make.OBJECTIVE, definition=DEFINITION))
    store.start_run(make.make_run("run-2", kind=RunKind.SCORE, objective_sha256="other", definition=OTHER))
    build = make.make_build(scores=SCORES)
    store.commit(Commit([build]))
    store.add_rewards(build.build_id, [Reward(3, "other", 0.25), Reward(0, "nobody's", 0.1)], "run-2")
    return store


def long_form(store):
    sql = """SELECT smiles, component, version, raw_value, transformed_value, weight, status, error, reward
        FROM molecule_scores WHERE objective_sha256 = 'objective-1' AND smiles IN ('C', 'CCCC', 'CCCCC')
        ORDER BY smiles, position"""
    return store.query(sql).rows()


EXPECTED = [
    ("C", "qed", "v1", 0.5, 0.5, 1.0, "ok", None, 0.0),
    ("C", "mass", "v2", 50.0, 0.25, 2.0, "ok", None, 0.0),
    ("CCCC", "qed", "v1", None, None, 1.0, "failed", "no value", 0.3),
    ("CCCC", "mass", "v2", None, None, 2.0, "pending", None, 0.3),
    ("CCCCC", "qed", "v1", 0.75, 0.75, 1.0, "ok", None, 0.4),
    ("CCCCC", "mass", "v2", None, None, 2.0, "pending", None, 0.4),
]


def test_the_long_form_has_a_row_for_each_molecule_objective_and_component(scored):
    assert long_form(scored) == EXPECTED
    other = "SELECT smiles, raw_value, reward FROM molecule_scores WHERE objective_sha256 = 'other'"
    assert scored.query(other).rows() == [("CCCC", 0.25, 0.25)]
    # A reward under an objective of which nothing is known has no components.
    assert scored.query("SELECT DISTINCT objective_sha256 FROM molecule_scores").height == 2


def test_an_objective_is_recorded_once_by_whatever_run_starts_first(scored, make):
    renamed = replace(DEFINITION, components=(replace(PARTS[0], component="drug-likeness"), PARTS[1]))
    for run_id in ("run-1", "run-3"):
        scored.start_run(make.make_run(run_id, objective_sha256=make.OBJECTIVE, definition=renamed))
    assert scored.query("SELECT component FROM objectives WHERE aggregation = 'geometric_mean'").rows() == [
        ("qed",),
        ("mass",),
    ]
    assert scored.run("run-3").definition is None
    with pytest.raises(ValueError, match="objective_sha256"):
        make.make_run(definition=DEFINITION)


@pytest.mark.parametrize("gate", ["no JSON {", "[]", '{"alternatives": 3}', '{"alternatives": [3, [{"number": "x"}]]}'])
def test_a_gate_that_is_none_is_never_open_and_stops_no_query(scored, make, gate):
    parts = (replace(PARTS[0], gate=gate), replace(PARTS[1], pessimism=1.0))
    scored.start_run(make.make_run("run-5", objective_sha256="odd", definition=replace(DEFINITION, components=parts)))
    scored.add_rewards(make.make_build().build_id, [Reward(0, "odd", 0.25)], "run-5")
    sql = "SELECT component, status, transformed_value FROM molecule_scores WHERE objective_sha256 = 'odd' ORDER BY 1"
    # The other one has a score, but no standard deviation.
    assert scored.query(sql).rows() == [("mass", "ok", None), ("qed", "gated", None)]


def config_of(*components):
    return json.dumps({"objective": {"aggregation": "product", "components": components}})


def test_an_objective_of_before_is_read_from_the_configuration_of_its_run(store, make):
    linear, target = {"weight": 2.0, "transform": json.loads(LINEAR)}, {"weight": 1.0, "target": "OCC"}
    config = config_of(
        {"kind": "property", "property": "logp", "name": None, **linear},
        {"kind": "similarity", "name": None, "transform": None, **target},
        {"kind": "python", "name": "mine", "function": "a:b", "transform": None},
        {"kind": "qed", "name": None, "transform": None, "weight": 1.0},
    )
    store.start_run(make.make_run(config=config, objective_sha256=make.OBJECTIVE))
    store.start_run(make.make_run("run-2", objective_sha256="broken", config="no JSON {"))
    store.start_run(make.make_run("run-3", objective_sha256="odd", config='{"objective": {"components": [3, {}]}}'))
    scores = [Score("C", "property:logp", "v1", 150.0), Score("C", "similarity:CCO", "v2", 0.5)]
    store.commit(Commit([make.make_build(scores=[*scores, Score("C", "mine", "v3", 0.25)])]))
    # The version of another run with another objective is not taken for that of this one.
    store.record_scores([Score("C", "qed", "v4", 0.1)])
    parts = store.query("SELECT component, version, weight, aggregation FROM objective_components ORDER BY position")
    assert parts.rows() == [
        ("property:logp", "v1", 2.0, "product"),
        ("similarity:CCO", "v2", 1.0, "product"),
        ("mine", "v3", 1.0, "product"),
        ("qed", None, 1.0, "product"),
    ]
    values = store.query(
        "SELECT raw_value, transformed_value, status FROM molecule_scores WHERE smiles = 'C' ORDER BY position"
    )
    assert values.rows() == [(150.0, 0.75, "ok"), (0.5, 0.5, "ok"), (0.25, 0.25, "ok"), (None, None, None)]
    assert store.query("SELECT count(*) FROM objectives").item() == 0
    # A run with the objective that starts now records it.
    store.start_run(make.make_run("run-4", objective_sha256=make.OBJECTIVE, definition=DEFINITION))
    assert store.query("SELECT component FROM objective_components ORDER BY position").rows() == [("qed",), ("mass",)]


def test_the_best_molecules_have_two_columns_for_each_component(scored):
    best = scored.best_molecules(2)
    assert best.columns == [
        *("smiles", "reward", "raw_qed", "transformed_qed", "raw_mass", "transformed_mass"),
        *("run_name", "sampler", "iteration", "objective_sha256"),
    ]
    assert best.select("smiles", "reward", "raw_qed", "raw_mass").rows() == [
        ("CCCCCC", 0.5, None, None),
        ("CCCCC", 0.4, 0.75, None),
    ]
    other = scored.best_molecules(10, objective_sha256="other")
    assert other.select("smiles", "reward", "raw_QED", "transformed_QED").rows() == [("CCCC", 0.25, 0.25, 0.25)]
    assert scored.best_molecules(10, run="run-2").height == 0
    with pytest.raises(UnknownObjectiveError, match="somebody"):
        scored.best_molecules(1, objective_sha256="somebody's")
    with pytest.raises(UnknownRunError, match=r"'zz'; newest: .*\(run-"):
        scored.best_molecules(1, run="zz")


def test_the_best_molecules_of_a_training_are_also_those_of_its_actors(started, make):
    started.start_run(make.make_run("actor", kind=RunKind.BUILD, parent_run_id="run-1"))
    started.start_run(make.make_run("other", kind=RunKind.BUILD))
    started.commit(Commit([make.make_build(run_id="actor", objective_sha256=make.OBJECTIVE)]))
    best = started.best_molecules(10)
    assert best.height == 4
    assert started.best_molecules(10, run="run-1").equals(best)
    assert started.best_molecules(10, run="actor").equals(best)
    assert started.best_molecules(10, run="other").height == 0


def test_all_molecules_can_be_exported_with_what_columns_mean(scored, tmp_path):
    receipt = scored.export(tmp_path / "all.parquet", molecules=True)
    frame = pl.read_parquet(tmp_path / "all.parquet")
    assert (receipt.rows, frame.columns[2:8]) == (
        4,
        [f"{kind}_{name}" for name in ("QED", "qed", "mass") for kind in ("raw", "transformed")],
    )
    best = scored.best_molecules(10)
    assert frame.select(best.columns).equals(best)
    scored.export(tmp_path / "few.csv", molecules=True, where="reward > 0.3 AND NOT 'x' = '[join]{runs}'")
    assert pl.read_csv(tmp_path / "few.csv")["smiles"].to_list() == ["CCCCCC", "CCCCC"]
    with pytest.raises(PredicateError):
        scored.export(tmp_path / "none.csv", molecules=True, where="place > 1")


def test_archives_and_merges_carry_objectives_and_origins(scored, make, tmp_path):
    origins = [FileOrigin("own.csv", 2 + row, f"M{row}" if row else None) for row in range(6)]
    samples = make.make_samples(seed=1, origins=origins)
    build = make.make_build(1, samples=samples)
    scored.commit(Commit([build]))
    assert scored.build(build.build_id).build.samples.origins == origins
    sql = 'SELECT file, file_line, file_id FROM sample_history WHERE iteration = {} ORDER BY "row"'
    history = scored.query(sql.format(1)).rows()
    assert history == [("own.csv", 2 + row, f"M{row}" if row else None) for row in range(6)]
    assert set(scored.query(sql.format(0)).rows()) == {(None, None, None)}
    scored.archive(tmp_path / "a.tar", runs=["run-1"])
    with trusted_archive(tmp_path / "a.tar") as (archive, _), SampleStore.create(tmp_path / "home") as home:
        assert long_form(archive) == EXPECTED
        home.merge(archive)
        home.merge(archive)
        assert long_form(home) == EXPECTED
        assert home.query(sql.format(1)).rows() == history
        assert home.query("SELECT count(*) FROM objectives").item() == 3
    assert [finding for finding in verify_store(tmp_path / "home").findings if finding.severity == "error"] == []


@pytest.mark.parametrize("source", [Source.JOURNAL, Source.FILES])
def test_objectives_are_recovered_without_the_catalog(scored, source):
    scored.close()
    report = recover_store(scored.path, source=source, anyway=True)
    assert report.rows["objectives"] == 3
    with SampleStore.open(scored.path) as store:
        assert long_form(store) == EXPECTED


def test_a_component_that_is_none_and_one_that_is_there_twice_are_found(scored):
    scored._open.writable().transact(
        "somebody",
        "damage",
        {},
        lambda transaction: transaction.change(
            "INSERT INTO {objectives} SELECT * REPLACE (-1 AS weight) FROM {objectives}"
        ),
    )
    found = {
        (finding.kind, finding.severity)
        for finding in scored.verify(quick=True).findings
        if "objectives" in finding.message
    }
    assert found == {("duplicate", "error"), ("objective", "warning")}
