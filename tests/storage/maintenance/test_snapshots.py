"""The store as of a version, and the list of versions."""

import json

import numpy as np
import pytest

from molbuffer.storage.errors import (
    StoreModeError,
    UnknownBuildError,
    UnknownRunError,
    UnknownSnapshotError,
)
from molbuffer.storage.history.cache import DecodedCache
from molbuffer.storage.history.index import IndexScope
from molbuffer.storage.records import Checkpoint, Commit, Consumed, Score


def fill(store, make):
    """Two builds, two scores and two runs, one of each before the version that is returned."""
    first = store.commit(Commit([make.make_build(0)], scores=[Score("CC", "docking", "v1", -7.0)]))
    store.start_run(make.make_run("run-2"))
    store.commit(Commit([make.make_build(1)], scores=[Score("CC", "docking", "v1", -9.0)]))
    store.commit(
        Commit(
            run_id="run-1",
            consumed=[Consumed(first.builds[0].build_id, (0, 3), 0)],
            checkpoint=Checkpoint("run-1", 1, {"state": b"1"}, first.snapshot),
        )
    )
    return first


def test_at_sees_exactly_what_there_was(started, make):
    first = fill(started, make)
    later = started.receipts("run-1")[1]

    then = started.at(first.snapshot)
    assert (then.snapshot(), then.read_only, then.uuid) == (first.snapshot, True, started.uuid)
    assert then.receipts("run-1") == list(first.builds)
    assert then.receipts("run-1") == started.receipts("run-1")[:1]
    assert then.query("SELECT count(*) FROM sample_history").item() == 6
    assert then.read_arrow("SELECT count(*) AS n FROM {sample_history}")["n"][0].as_py() == 6
    assert then.matching_rows("reward > 0.2").num_rows == 3
    assert then.find_scores("docking", "v1", ["CC"])["CC"].value == -7.0
    assert then.latest_checkpoint("run-1") is None
    assert then.consumed("run-1") == []
    np.testing.assert_array_equal(
        then.build(first.builds[0].build_id).samples.rows.log_probs, make.make_build(0).samples.rows.log_probs
    )
    with pytest.raises(UnknownBuildError):
        then.build(later.build_id)
    with pytest.raises(UnknownRunError):
        then.run("run-2")


def test_at_can_look_further_back_and_never_ahead(started, make):
    first = fill(started, make)
    then = started.at(first.snapshot)
    assert then.query("SELECT count(*) FROM samples", snapshot=first.snapshot - 1).item() == 0
    for later in (first.snapshot + 1, started.snapshot()):
        with pytest.raises(UnknownSnapshotError, match=f"{later} .*{first.snapshot}"):
            then.query("SELECT 1", snapshot=later)
        with pytest.raises(UnknownSnapshotError):
            then.read_arrow("SELECT 1 FROM {samples}", snapshot=later)


def test_at_refuses_to_write_and_versions_that_are_not_there(started, make):
    then = started.at(started.snapshot())
    with pytest.raises(StoreModeError):
        then.commit(Commit([make.make_build(0)]))
    with pytest.raises(StoreModeError):
        then.start_run(make.make_run("run-3"))
    with pytest.raises(StoreModeError):
        then.maintenance.compact()
    with pytest.raises(UnknownSnapshotError, match="999"):
        started.at(999)
    assert started.query("SELECT count(*) FROM sample_history", snapshot=0).item() == 0


def test_closing_a_view_leaves_the_store_open_and_closing_the_store_ends_the_view(started, make):
    fill(started, make)
    with started.at(started.snapshot()) as then:
        assert len(then.receipts("run-1")) == 2
    assert len(started.receipts("run-1")) == 2
    started.close()
    with pytest.raises(StoreModeError):
        then.receipts("run-1")


def test_the_loaders_index_at_a_version(started, make, tmp_path):
    first = fill(started, make)
    cache = DecodedCache(started.uuid, started.path / "arrays", tmp_path / "cache")
    then = started.at(first.snapshot).index(IndexScope(objective_sha256=make.OBJECTIVE), cache=cache)
    assert (len(then), then.snapshot) == (4, first.snapshot)
    assert len(started.index(IndexScope(objective_sha256=make.OBJECTIVE), cache=cache)) == 8
    assert then.smiles(then.best_first) == [make.make_samples().smiles[row] for row in (5, 4, 3, 0)]


def test_the_list_of_versions_says_what_each_added_and_what_pins_it(started, make):
    first = fill(started, make)
    started.start_run(make.make_run("run-3", pinned_snapshot=first.snapshot))
    listed = {snapshot.version: snapshot for snapshot in started.snapshots()}
    assert list(listed) == list(range(started.snapshot() + 1))
    said = listed[first.snapshot]
    assert (said.author, said.message) == ("molbuffer", "1 builds, 1 scores")
    assert (said.extra["runs"], said.extra["samples"]) == (["run-1"], 6)
    assert "checksums" not in json.dumps(dict(said.extra))
    assert set(said.pinned_by) == {
        "run run-3",
        "checkpoint run-1 1",
    }
    assert listed[started.snapshot()].pinned_by == ("newest",)
    assert listed[1].pinned_by == ()
    times = [snapshot.created for snapshot in started.snapshots()]
    assert times == sorted(times)
