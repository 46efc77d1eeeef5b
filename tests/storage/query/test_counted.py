"""Counts and extremes that the catalog knows: they are what the query would answer, and nothing else is answered so."""

import numpy as np
import pytest

from molbuffer.storage import SampleStore
from molbuffer.storage.errors import QueryError, UnknownSnapshotError
from molbuffer.storage.query import sandbox
from molbuffer.storage.records import Commit, Score, ScoreStatus

KNOWN = [
    "SELECT count(*) FROM samples",
    "select COUNT(*) as n from Samples;",
    'SELECT count() AS "a b", min("row") AS lowest, MAX(s.iteration) FROM samples AS s',
    "SELECT max(samples.iteration) FROM samples",
    "SELECT min(mean_reward), max(mean_reward), min(created), max(kept) FROM builds",
    "SELECT max(stage), max(top_k) FROM builds",
    'SELECT min("row"), max(samples."row"), max(Iteration) FROM samples',
    "SELECT max(predicted_reward), max(source_row) AS x FROM samples",
    "SELECT count(*) FROM rewards",
    "SELECT count(*), max(value) FROM scores",
    "SELECT count(*), max(iteration) FROM checkpoints",
]
MORE = [
    "SELECT count(*) FROM samples WHERE kept",
    "SELECT count(*), count(*) FROM samples",
    "SELECT count(*) FROM samples LIMIT 0",
    "SELECT DISTINCT count(*) FROM samples",
    "SELECT count(smiles) FROM samples",
    "SELECT count(DISTINCT iteration) FROM samples",
    "SELECT min(smiles) FROM samples",
    "SELECT min(iteration, 2) FROM samples",
    "SELECT min(kept) FROM samples",
    "SELECT max(iteration + 1) FROM samples",
    "SELECT count(*) FROM samples, builds",
    "SELECT count(*) FROM samples JOIN builds USING (build_id)",
    "SELECT count(*) OVER () FROM samples",
    "SELECT count(*) FILTER (kept) FROM samples",
    "SELECT count(*) FROM samples GROUP BY iteration",
    "SELECT count(*), iteration FROM samples GROUP BY ALL",
    "SELECT count(*) FROM samples HAVING false",
    "SELECT count(*) FROM samples USING SAMPLE 1",
    "SELECT count(*) FROM samples UNION ALL SELECT count(*) FROM builds",
    "WITH samples AS (SELECT 1) SELECT count(*) FROM samples",
    "SELECT count(*) FROM samples AS s (a, b)",
    "SELECT count(*) FROM sample_history",
    "SELECT count(*) FROM (SELECT 1)",
    "SELECT 1 FROM samples",
]
WRONG = [
    "SELECT max(nothing) FROM samples",
    "SELECT max(other.iteration) FROM samples",
    "SELECT count(*) FROM commit_fence",
    "SELECT count(*) FROM nothing",
    "SELECT count(*) from FROM samples",
    "SELECT count(*) FROM samples; DROP TABLE samples",
    "SELECT max(iteration) FROM other.samples",
]


@pytest.fixture
def alone(monkeypatch):
    """Whether statements are answered without a process, as often as they are."""
    answered = []
    answer = sandbox.known_answer

    def noted(*given):
        answered.append(answer(*given))
        return answered[-1]

    monkeypatch.setattr(sandbox, "known_answer", noted)
    return answered


@pytest.fixture(scope="module")
def opened(tmp_path_factory, make):
    with SampleStore.create(tmp_path_factory.mktemp("counted") / "store") as store:
        store.start_run(make.make_run())
        for iteration in range(3):
            score = Score(f"C{iteration}", "docking", "v1", -1.5 * iteration)
            store.commit(Commit([make.make_build(iteration, seed=iteration, policy_sha256=None)], scores=[score]))
        yield store


def by_query(store, sql, monkeypatch, **named):
    with monkeypatch.context() as patch:
        patch.setattr(sandbox, "known_answer", lambda *_: None)
        return store.query_table(sql, **named)


@pytest.mark.parametrize("sql", KNOWN)
def test_what_the_catalog_knows_is_what_the_query_answers(opened, sql, alone, monkeypatch):
    assert opened.query_table(sql).equals(by_query(opened, sql, monkeypatch))
    assert alone[0] is not None


@pytest.mark.parametrize("sql", MORE)
def test_statements_that_ask_for_more_are_queries(opened, sql, alone):
    opened.query(sql)
    assert alone == [None]


@pytest.mark.parametrize("sql", WRONG)
def test_wrong_statements_are_told_as_ever(opened, sql):
    with pytest.raises(QueryError):
        opened.query(sql)


def test_each_snapshot_has_its_own_numbers(opened, alone, monkeypatch):
    sql = "SELECT count(*), max(iteration), min(iteration) FROM samples"
    for version in range(opened.snapshot() + 1):
        found = opened.query_table(sql, snapshot=version)
        assert found.equals(by_query(opened, sql, monkeypatch, snapshot=version)), version
        assert opened.at(version).query_table(sql).equals(found)
    assert all(each is not None for each in alone)
    with pytest.raises(UnknownSnapshotError):
        opened.query(sql, snapshot=opened.snapshot() + 1)


def test_merged_files_are_read_where_only_some_of_their_rows_count(six_commits, open_copy, alone, monkeypatch):
    store = open_copy(six_commits)
    before = store.snapshot() - 3
    store.maintenance.compact()
    sql = "SELECT count(*), max(iteration) FROM samples"
    for version in (before, store.snapshot()):
        assert store.query_table(sql, snapshot=version).equals(by_query(store, sql, monkeypatch, snapshot=version))
    assert [each is None for each in alone] == [True, False]


def test_a_value_that_is_no_number_is_found_in_the_files(started, alone, monkeypatch):
    started.record_scores([Score("C", "docking", "v1", 1.0)])
    started.record_scores([Score("CC", "docking", "v1", None, ScoreStatus.FAILED, "it failed")])
    sql = "SELECT max(value), count(*) FROM scores"
    assert started.query_table(sql).equals(by_query(started, sql, monkeypatch))
    assert started.query(sql).rows() == [(1.0, 2)]
    # No scorer can store one; another program can.
    rows = started.read_arrow("SELECT * REPLACE ('nan'::DOUBLE AS value, 'N' AS smiles) FROM {scores} LIMIT 1")
    started._open.writable().transact("another", "nan", {}, lambda transaction: transaction.insert("scores", rows))
    assert np.isnan(started.query(sql).rows()[0][0])
    assert alone[-1] is None


def test_an_archive_is_queried(opened, tmp_path, alone):
    opened.archive(tmp_path / "archive")
    with SampleStore.open(tmp_path / "archive", read_only=True) as archive:
        assert archive.query("SELECT count(*) FROM samples").item() == 18
    assert alone == [None]


def test_no_process_is_started(opened, monkeypatch):
    monkeypatch.delattr(sandbox, "run_query_process")
    assert opened.query("SELECT count(*) FROM samples").item() == 18
    assert opened.query("SELECT count(*) FROM consumed").item() == 0
