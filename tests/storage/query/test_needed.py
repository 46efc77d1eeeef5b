"""Only what a query names is made for it, and its answer is the same: as far as others are needed, they are there."""

import pytest

from molbuffer.storage import SampleStore
from molbuffer.storage.errors import QueryError
from molbuffer.storage.query import sandbox
from molbuffer.storage.query.needed import EVERYTHING, needed_by
from molbuffer.storage.records import Commit


@pytest.fixture(scope="module")
def shared(tmp_path_factory, make):
    """A store with one build, that tests only read."""
    with SampleStore.create(tmp_path_factory.mktemp("shared") / "store") as store:
        store.start_run(make.make_run())
        store.commit(Commit([make.make_build()]))
        yield store


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT count(*) FROM samples", ("samples",)),
        ('select count(*) from "Samples" s JOIN BUILDS USING (build_id)', ("builds", "samples")),
        ("FROM sample_history", ("runs", "builds", "samples", "rewards", "sample_history")),
        ("SELECT 1", EVERYTHING),
        ("SHOW TABLES", EVERYTHING),
        ("SELECT view_name FROM duckdb_views() WHERE view_name <> 'samples'", EVERYTHING),
        ("SELECT table_name FROM information_schema.tables WHERE table_name <> 'samples'", EVERYTHING),
    ],
)
def test_what_a_query_needs_is_told_by_its_words(sql, names):
    assert needed_by(sql) == names


@pytest.fixture
def databases(monkeypatch):
    """The names that were made for each query."""
    made, original = [], sandbox.ClosedDatabase.of_snapshot

    def record(catalog, snapshot, names=EVERYTHING, **more):
        made.append(names)
        return original(catalog, snapshot, names, **more)

    monkeypatch.setattr(sandbox.ClosedDatabase, "of_snapshot", record)
    return made


def test_only_what_is_named_is_made(shared, databases):
    assert shared.query("SELECT count(smiles) FROM samples").item() == 5
    assert databases == [("samples",)]


def test_a_name_that_is_put_together_is_found(shared, databases):
    assert shared.query("SELECT count(*) FROM samples, query_table('bui' || 'lds')").item() == 6
    assert databases == [("samples",), EVERYTHING]


def test_a_wrong_name_is_told_as_before(shared):
    with pytest.raises(QueryError, match=r"sample_histori does not exist.*sample_history"):
        shared.query("FROM samples, sample_histori")


def test_all_tables_are_listed(shared):
    assert set(shared.query("SHOW TABLES")["name"]) == set(EVERYTHING)
