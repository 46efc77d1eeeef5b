"""Tables without rows, which are not looked for in DuckLake: they have the columns and rows of each snapshot."""

import pytest

from molbuffer.storage.catalog.schema.migrations import TABLES
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
