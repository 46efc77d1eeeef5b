"""What was added to tables since a snapshot: the rows of new files, and of merged ones those that are new."""

import shutil
from datetime import timedelta

import pytest

from molbuffer.storage import SampleStore
from molbuffer.storage.catalog import catalog as catalogs
from molbuffer.storage.catalog import in_added

ROWS = 'SELECT build_id, "row", snapshot_id FROM {samples} ORDER BY ALL'
VERSIONED = 'SELECT build_id, "row", snapshot_id FROM {samples} AS samples WHERE snapshot_id >= ? ORDER BY ALL'


def assert_added(store: SampleStore) -> int:
    """It is what DuckLake says, from each snapshot to each later one; returns how many rows were compared."""
    catalog, compared = store._open.catalog, 0
    for snapshot in range(1, store.snapshot() + 1):
        if not catalog.has_version(snapshot):
            continue
        for since in range(1, snapshot + 2):
            added = catalog.added(["samples"], snapshot, since)
            found = catalog.read(in_added(ROWS, added), snapshot)
            assert found.equals(catalog.read(VERSIONED, snapshot, [since], with_versions=True)), (since, snapshot)
            compared += found.num_rows
    return compared


def test_it_is_what_ducklake_says(six_commits, open_copy):
    store = open_copy(six_commits)
    before = assert_added(store)
    assert before > 100
    store.maintenance.compact()
    assert assert_added(store) >= before
    store.maintenance.expire(older_than=timedelta(0), keep=3)
    assert assert_added(store) > 0


def test_a_store_of_many_files_and_one_whose_path_has_braces_have_ducklake_list_them(
    six_commits, tmp_path, monkeypatch
):
    shutil.copytree(six_commits, tmp_path / "{samples}")
    with SampleStore.open(tmp_path / "{samples}") as store:
        assert "read_parquet" not in store._open.catalog.added(["samples"], store.snapshot(), 1)["samples"]
        assert assert_added(store) > 100
    with SampleStore.open(six_commits, read_only=True) as store:
        catalog = store._open.catalog
        assert "read_parquet" in catalog.added(["samples"], store.snapshot(), 1)["samples"]
        monkeypatch.setattr(catalogs, "_MOST_NAMED", 2)
        assert "read_parquet" not in catalog.added(["samples"], store.snapshot(), 1)["samples"]
        assert "read_parquet" in catalog.added(["samples"], store.snapshot(), store.snapshot())["samples"]
        assert assert_added(store) > 100


@pytest.mark.parametrize("table", ["builds", "placements", "runs"])
def test_views_stand_for_what_was_added_to_their_tables(table):
    sql = in_added("SELECT * FROM {placed_builds} JOIN {runs} JOIN {unknown}", {table: "(SELECT 1)"})
    assert "(SELECT 1)" in sql
    assert f"{{{table}}}" not in sql
    assert "{unknown}" in sql
