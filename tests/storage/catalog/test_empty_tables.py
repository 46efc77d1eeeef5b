"""Tables without rows, which are not looked for in DuckLake: they have the columns and rows of each snapshot."""

import pyarrow as pa
import pytest

from molbuffer.storage import SampleStore
from molbuffer.storage.catalog.schema.migrations import TABLES
from molbuffer.storage.catalog.schema.past_tables import PastTables
from molbuffer.storage.errors import StoreError
from molbuffer.storage.records import Commit, Score


def test_every_table_has_its_columns_at_a_snapshot_at_which_it_has_no_row(store):
    catalog, first = store._open.catalog, store.snapshot()
    for table in TABLES:
        newest = catalog.read(f"SELECT * FROM {{{table}}}")
        assert catalog.read(f"SELECT * FROM {{{table}}}", first).equals(newest), table
    with_version = catalog.table("builds", first, with_version=True)
    assert catalog.read(f"SELECT snapshot_id, build_id FROM {with_version}").num_rows == 0


def test_a_table_is_empty_until_the_snapshot_of_its_first_row(started, make):
    catalog, before = started._open.catalog, started.snapshot()

    def count(table, snapshot):
        return catalog.read(f"SELECT count(*) AS n FROM {{{table}}}", snapshot)["n"][0].as_py()

    assert (count("scores", before), count("builds", before)) == (0, 0)
    started.commit(Commit([make.make_build()]))
    between = started.snapshot()
    assert (count("scores", between), count("builds", between)) == (0, 1)
    started.record_scores([Score("CC", "docking", "v1", -7.5)])
    assert [count("scores", snapshot) for snapshot in (before, between, started.snapshot())] == [0, 0, 1]
    assert [count("builds", snapshot) for snapshot in (before, between, started.snapshot())] == [0, 1, 1]


def test_a_snapshot_that_is_to_come_is_not_remembered_as_one_without_rows(started):
    catalog, ahead = started._open.catalog, started.snapshot() + 1
    with pytest.raises(StoreError):
        catalog.read("SELECT * FROM {scores}", ahead)
    started.record_scores([Score("CC", "docking", "v1", -7.5)])
    assert started.snapshot() == ahead
    assert catalog.read("SELECT * FROM {scores}", ahead).num_rows == 1


def test_what_is_read_now_of_tables_without_rows_is_read_with_their_first_row(started, make):
    """Also through views, by the version of a row, and when another process has written it."""
    catalog = started._open.catalog
    history, versions = "SELECT build_id FROM {sample_history}", "SELECT build_id, snapshot_id FROM {builds}"
    assert [catalog.read(sql).num_rows for sql in (history, versions)] == [0, 0]
    with SampleStore.open(started.path) as other:
        added = other.commit(Commit([make.make_build()])).snapshot
    assert catalog.read(versions)["snapshot_id"].to_pylist() == [added]
    assert catalog.read(history).num_rows == 6
    assert sum(batch.num_rows for batch in catalog.read_batches(history)) == 6


def test_tables_without_rows_and_others_are_read_as_of_one_snapshot(started, make, monkeypatch):
    """A commit comes between the look for tables without rows and the statement."""
    catalog, now = started._open.catalog, PastTables.now
    sql = "SELECT (SELECT count(*) FROM {builds}) AS builds, (SELECT count(*) FROM {runs}) AS runs"
    assert catalog.read(sql).to_pylist() == [{"builds": 0, "runs": 1}]

    def beside(*arguments):
        monkeypatch.setattr(PastTables, "now", now)
        found = now(*arguments)
        with SampleStore.open(started.path) as other:
            other.start_run(make.make_run("another"))
            other.commit(Commit([make.make_build()]))
        return found

    monkeypatch.setattr(PastTables, "now", beside)
    assert catalog.read(sql).to_pylist() == [{"builds": 0, "runs": 1}]
    assert catalog.read(sql).to_pylist() == [{"builds": 1, "runs": 2}]


def test_a_transaction_reads_what_it_added_to_a_table_without_rows(started):
    catalog = started._open.catalog
    rows = pa.Table.from_pylist([{"smiles": "CC", "component": "docking", "version": "v1", "value": -7.5}])

    def body(transaction):
        before = transaction.read("SELECT smiles FROM {scores}").num_rows
        transaction.insert("scores", rows)
        return before, transaction.read("SELECT smiles FROM {scores}")["smiles"].to_pylist()

    assert catalog.transact("test", "test", {}, body)[0] == (0, ["CC"])
