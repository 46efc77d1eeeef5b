"""Compaction: few large files instead of many small ones, and every version reads as it did before."""

import re
import shutil
from datetime import timedelta

import numpy as np
import pytest

import molbuffer.storage.maintenance.compact
from molbuffer.storage import SampleStore
from molbuffer.storage.errors import MaintenanceBusyError, StoreModeError
from molbuffer.storage.history.cache import DecodedCache
from molbuffer.storage.history.index import IndexScope
from molbuffer.storage.records import Commit
from molbuffer.storage.segments.segment import read_segment, write_segment


def commit_more(store, make, iterations):
    for iteration in iterations:
        store.commit(Commit([make.make_build(iteration, seed=iteration)]))


def rows_of_index(store, tmp_path, snapshot):
    """What a loader reads of a version, with a cache that has nothing yet."""
    cache = tmp_path / f"cache-{len(list(tmp_path.iterdir()))}"
    decoded = DecodedCache(store.uuid, store.path / "arrays", cache)
    index = store.index(IndexScope(objective_sha256="objective-1", snapshot=snapshot), cache=decoded)
    return index.build_ids, index.row_ids(index.best_first), index.gather(index.best_first)


def test_every_version_stays_as_it_was(filled, content, places, tmp_path):
    newest = filled.snapshot()
    versions = [newest - 4, newest - 1, newest]
    before = [content(filled, version) for version in versions]
    loaded = [rows_of_index(filled, tmp_path, version) for version in versions]

    report = filled.maintenance.compact()

    assert dict(report.merged_files) == dict.fromkeys(("samples", "builds", "rewards", "metrics", "scores"), 6)
    assert (report.segments_replaced, report.segments_written, report.unreadable) == (6, 1, {})
    assert report.longest_lock_seconds > 0
    assert len(set(places(filled).values())) == 1
    assert len(set(places(filled, newest).values())) == 6
    assert [content(filled, version) for version in versions] == before
    assert content(filled, filled.snapshot()) == before[-1]
    for version, (builds, ids, rows) in zip([*versions, filled.snapshot()], [*loaded, loaded[-1]], strict=True):
        found = rows_of_index(filled, tmp_path, version)
        assert found[:2] == (builds, ids)
        for name in ("tokens", "lengths", "log_probs", "rewards"):
            np.testing.assert_array_equal(getattr(found[2], name), getattr(rows, name))


def test_few_files_are_left_and_a_second_compaction_makes_no_version(filled):
    assert filled.maintenance.compact().files == 10
    newest = filled.snapshot()
    again = filled.maintenance.compact()
    assert (again.merged_files, again.segments_replaced, again.files, filled.snapshot()) == ({}, 0, 10, newest)


def test_what_was_compacted_is_compacted_again_with_what_came_later(filled, make, content):
    filled.maintenance.compact()
    between = content(filled, version := filled.snapshot())
    commit_more(filled, make, [6, 7])
    before = content(filled, filled.snapshot())
    report = filled.maintenance.compact()
    assert (report.segments_replaced, report.segments_written) == (3, 1)
    assert content(filled, version) == between
    assert content(filled, filled.snapshot()) == before
    generations = filled.query("SELECT max(generation) AS n FROM placements GROUP BY build_id ORDER BY n")["n"]
    assert generations.to_list() == [1, 1, 2, 2, 2, 2, 2, 2]


def test_a_step_merges_many_files_of_a_long_history_and_few_of_a_short_one(filled, content, tmp_path, monkeypatch):
    module = molbuffer.storage.maintenance.compact
    monkeypatch.setattr(module, "QUERYABLE_TABLES", ["samples"])
    monkeypatch.setattr(module, "MERGE_BYTES", (4_000, 8_000_000))
    before = content(filled, version := filled.snapshot())
    filled.close()
    steps = {}
    for files in (1, 100):
        monkeypatch.setattr(module, "STEP_FILES", files)
        with SampleStore.open(shutil.copytree(filled.path, tmp_path / str(files))) as store:
            assert store.maintenance.compact().files == 1
            assert content(store, version) == before
            steps[files] = store.snapshot() - version
    assert steps[100] < steps[1]


def test_segments_are_bounded_and_large_ones_are_left(filled, places):
    report = filled.maintenance.compact(segment_rows=24)
    assert (report.segments_replaced, report.segments_written) == (6, 2)
    found = places(filled)
    assert sorted(list(found.values()).count(segment) for segment in set(found.values())) == [2, 4]
    again = filled.maintenance.compact(segment_rows=24)
    assert (again.segments_replaced, places(filled)) == (0, found)


def test_rows_that_cannot_be_in_one_segment_are_kept_apart(started, make, content):
    wide = make.make_samples(6, seed=1)
    kinds = {
        "plain": {},
        "other vocabulary": {"vocabulary": "vocabulary-2"},
        "wide tokens": {"tokens": wide.rows.tokens.astype(np.uint16) * 300},
        "latents": {"latents": np.arange(12, dtype=np.float32).reshape(6, 2)},
    }
    for iteration, changes in enumerate([*kinds.values()] * 2):
        started.commit(Commit([make.make_build(iteration, samples=make.make_samples(6, seed=1, **changes))]))
    before = content(started, started.snapshot())
    report = started.maintenance.compact()
    assert (report.segments_replaced, report.segments_written) == (8, 4)
    assert content(started, started.snapshot()) == before


def test_a_build_of_no_rows_is_no_obstacle(filled, make, content):
    columns = {"raw": [], "smiles": [], "rejected_by": [], "lengths": np.zeros(0, np.int32)}
    arrays = {"tokens": np.zeros((0, 1), np.uint8), "log_probs": np.zeros((0, 1), np.float32)}
    empty = make.make_samples(6, **columns, **arrays)
    filled.commit(Commit([make.make_build(6, samples=empty, rewards=[])]))
    before = content(filled, filled.snapshot())
    assert filled.maintenance.compact().segments_replaced == 7
    assert content(filled, filled.snapshot()) == before


def test_unreadable_and_quarantined_segments_are_left_as_they_are(filled, places):
    before = places(filled)
    damaged, missing, short, quarantined, *_ = before.values()
    arrays = filled.path / "arrays"
    chunk = arrays / damaged / "log_probs" / "c.0.0"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    shutil.rmtree(arrays / missing)
    rows = read_segment(arrays / short, 0, 5)
    shutil.rmtree(arrays / short)
    write_segment(arrays / short, [rows])
    filled.quarantine({quarantined: "a reason"})

    report = filled.maintenance.compact()

    assert report.unreadable.keys() == {damaged, missing, short}
    assert "log_probs" in report.unreadable[damaged]
    assert "missing" in report.unreadable[missing]
    # Written again all the same, its build would have the first row of the next one.
    assert "has 5 rows, its builds expect 6" in report.unreadable[short]
    assert (report.segments_replaced, report.segments_written) == (2, 1)
    left = [segment for segment in before.values() if segment in places(filled).values()]
    assert left == [damaged, missing, short, quarantined]
    assert {found.segment for found in filled.verify().errors} == {damaged, missing, short}


@pytest.fixture
def during_the_rewriting(monkeypatch):
    """Has something happen between the reading of small segments and the writing of the large one."""
    original = molbuffer.storage.maintenance.compact.write_segment

    def set_action(action):
        def act_then_write(*arguments):
            monkeypatch.setattr(molbuffer.storage.maintenance.compact, "write_segment", original)
            action()
            return original(*arguments)

        monkeypatch.setattr(molbuffer.storage.maintenance.compact, "write_segment", act_then_write)

    return set_action


def test_builds_that_gain_rows_from_a_merge_during_a_compaction_keep_them(filled, tmp_path, during_the_rewriting):
    halves = {"first": 'iteration = 0 AND "row" < 3', "second": 'iteration = 1 AND "row" < 3', "rest": "iteration < 2"}
    for name, where in halves.items():
        filled.archive(tmp_path / name, where=where)
    with SampleStore.create(tmp_path / "target") as target:

        def merge(name):
            with SampleStore.open(tmp_path / name) as archive:
                return target.merge(archive)

        merge("first"), merge("second")
        during_the_rewriting(lambda: merge("rest"))
        target.maintenance.compact()
        for receipt in filled.receipts("run-1")[:2]:
            found, expected = target.build(receipt.build_id).samples, filled.build(receipt.build_id).samples
            assert found.raw == expected.raw
            np.testing.assert_array_equal(found.rows.lengths, expected.rows.lengths)
            np.testing.assert_array_equal(found.rows.tokens, expected.rows.tokens)
            np.testing.assert_array_equal(found.rows.log_probs, expected.rows.log_probs)
        assert target.verify().errors == ()


def test_a_segment_that_is_quarantined_during_a_compaction_stays_in_quarantine(filled, places, during_the_rewriting):
    build_id, segment = next(iter(places(filled).items()))
    during_the_rewriting(lambda: filled.quarantine({segment: "a reason"}))
    filled.maintenance.compact()
    assert places(filled)[build_id] == segment
    assert len(set(places(filled).values())) == 2


def test_an_archive_of_a_version_is_the_same_before_and_after(filled, tmp_path):
    version = filled.snapshot() - 3
    filled.archive(tmp_path / "before", snapshot=version)
    filled.maintenance.compact()
    filled.archive(tmp_path / "after", snapshot=version)
    found = []
    for name in ("before", "after"):
        with SampleStore.open(tmp_path / name) as archive:
            builds = [archive.build(receipt.build_id) for receipt in archive.receipts("run-1")]
            found.append([(build.samples.raw, build.samples.rows.log_probs.tolist()) for build in builds])
    assert len(found[0]) == 3
    assert found[0] == found[1]


def test_only_one_maintains_at_a_time(filled, make):
    with SampleStore.open(filled.path) as other, other.maintenance._alone():
        for work in (filled.maintenance.compact, filled.maintenance.vacuum):
            with pytest.raises(MaintenanceBusyError, match=re.escape(str(filled.path))):
                work()
        with pytest.raises(MaintenanceBusyError):
            filled.maintenance.expire(timedelta(0))
        # A writer is no maintainer.
        commit_more(filled, make, [6])
    assert filled.maintenance.compact().segments_replaced == 7
    assert (filled.path / "maintenance.lock").stat().st_mode & 0o777 == 0o600


def test_a_store_opened_for_reading_is_refused(filled):
    with SampleStore.open(filled.path, read_only=True) as reader:
        for work in (reader.maintenance.compact, reader.maintenance.vacuum):
            with pytest.raises(StoreModeError, match=re.escape(str(filled.path))):
                work()
        with pytest.raises(StoreModeError):
            reader.maintenance.expire(timedelta(0))
