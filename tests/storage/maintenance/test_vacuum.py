"""Vacuum: removes what nothing refers to, and nothing else."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from datetime import timedelta

import pytest

import molbuffer.storage.commits.commit
import molbuffer.storage.maintenance.vacuum
from molbuffer.storage import SampleStore
from molbuffer.storage.records import Checkpoint, Commit, RunStatus
from molbuffer.storage.segments.segment import write_segment

MERGED = 5 * 6
"""The files that a compaction of ``filled`` merges: six of each of five tables."""
AT_ONCE = timedelta(0)
DAY = timedelta(days=1)


def age(path, seconds):
    """Makes a file or folder look as if it had not been written to for so long."""
    then = time.time() - seconds
    for file in (path, *path.rglob("*")):
        os.utime(file, (then, then))


def files(store):
    passing = ("catalog.sqlite-shm", "catalog.sqlite-wal", "catalog.sqlite", "maintenance.lock")
    return {path.relative_to(store.path) for path in store.path.rglob("*") if path.name not in passing}


def removed(report):
    return {(item.kind, item.path) for item in report.removed}


@pytest.fixture
def orphans(filled, make):
    """What killed processes leave behind, two days old; as (kind, path)."""
    write_segment(filled.path / "arrays" / "orphan", [make.make_samples().rows])
    paths = {
        "parquet": filled.path / "tables/main/samples/orphan.parquet",
        "checkpoint": filled.path / "checkpoints/run-1/00000001-orphan",
        "aside": filled.path / "policies/.aside",
    }
    paths["parquet"].write_bytes(b"PAR1")
    for kind in ("checkpoint", "aside"):
        paths[kind].mkdir(parents=True)
        (paths[kind] / "state").write_bytes(b"1")
    (filled.path / ".store.toml.aside").write_text("")
    (filled.path / "arrays/.removed-segment").mkdir()
    found = {(kind, str(path.relative_to(filled.path))) for kind, path in paths.items()}
    found |= {("segment", "arrays/orphan"), ("segment", "arrays/.removed-segment"), ("aside", ".store.toml.aside")}
    for _, path in found:
        age(filled.path / path, 2 * DAY.total_seconds())
    return found


def test_what_killed_processes_left_goes_and_all_else_stays(filled, content, orphans):
    before, there = content(filled, filled.snapshot()), files(filled)
    (filled.path / ".notes").write_text("a file of the user")
    said = filled.maintenance.vacuum(dry_run=True)
    assert removed(said) == orphans
    assert files(filled) > there

    report = filled.maintenance.vacuum()

    assert removed(report) == orphans
    assert report.bytes == said.bytes > 0
    gone = {path for path in there if any(path.is_relative_to(orphan) for _, orphan in orphans)}
    assert there - files(filled) == gone
    assert (filled.path / ".notes").exists()
    assert content(filled, filled.snapshot()) == before
    assert filled.maintenance.vacuum().removed == ()
    assert filled.verify().findings == ()


DYING_BACKUP = """
import os, signal, subprocess, sys
from molbuffer.storage import SampleStore
with SampleStore.open(sys.argv[1]) as store:
    copy = subprocess.run
    subprocess.run = lambda *given, **named: (copy(*given, **named), os.kill(os.getpid(), signal.SIGKILL))
    store.maintenance.back_up()
"""


def test_the_copy_of_a_backup_that_was_killed_goes(filled):
    before = {path.name for path in filled.path.iterdir()}
    done = subprocess.run([sys.executable, "-c", DYING_BACKUP, str(filled.path)], capture_output=True)
    assert done.returncode == -signal.SIGKILL
    (left,) = (path for path in filled.path.iterdir() if path.is_dir() and path.name not in before)
    assert (left / "catalog.sqlite").stat().st_size > 0
    (filled.path / "molbuffer-backup-of-mine").mkdir()
    assert filled.maintenance.vacuum().removed == ()
    assert removed(filled.maintenance.vacuum(grace=AT_ONCE)) == {("aside", left.name)}
    assert not left.exists()
    assert (filled.path / "molbuffer-backup-of-mine").exists()


def test_what_is_younger_than_the_grace_period_stays(filled, orphans):
    assert filled.maintenance.vacuum(grace=3 * DAY).removed == ()
    # A folder is as young as the newest file in it: its writer is still at work.
    segment = filled.path / "arrays/orphan"
    os.utime(segment / "zarr.json")
    assert ("segment", "arrays/orphan") not in removed(filled.maintenance.vacuum())
    assert segment.exists()


def test_a_clock_that_goes_back_removes_nothing(filled, orphans):
    for _, path in orphans:
        age(filled.path / path, -3600)
    there = files(filled)
    assert filled.maintenance.vacuum(grace=AT_ONCE).removed == ()
    assert files(filled) == there


def test_merged_parquet_files_stay_for_readers_until_the_grace_period_is_over(filled, content):
    newest = filled.snapshot()
    before, there = [content(filled, version) for version in (newest - 2, newest)], files(filled)
    filled.maintenance.compact()
    assert filled.maintenance.vacuum(grace=timedelta(hours=1)).removed == ()
    assert files(filled) >= there
    merged = filled.maintenance.vacuum(grace=AT_ONCE, dry_run=True)
    # Versions from before the compaction still read the old segments.
    assert [item.kind for item in merged.removed] == ["parquet"] * MERGED
    assert filled.maintenance.vacuum(grace=AT_ONCE) == merged
    assert [content(filled, version) for version in (newest - 2, newest)] == before
    assert filled.maintenance.vacuum(grace=AT_ONCE).removed == ()
    assert filled.verify().findings == ()


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Asia/Tokyo"])
def test_the_grace_period_does_not_depend_on_the_time_zone(filled, monkeypatch, zone):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    filled.maintenance.compact()
    assert filled.maintenance.vacuum(grace=timedelta(minutes=10)).removed == ()
    assert len(filled.maintenance.vacuum(grace=AT_ONCE).removed) == MERGED
    monkeypatch.undo()
    time.tzset()


def test_replaced_segments_stay_while_a_version_reads_them(filled, make, places, content):
    pinned = filled.snapshot() - 3
    old = places(filled)
    filled.start_run(make.make_run("run-2", pinned_snapshot=pinned))
    before = content(filled, pinned)
    filled.maintenance.compact()
    assert removed(filled.maintenance.vacuum(grace=AT_ONCE)).isdisjoint(
        {("segment", f"arrays/{n}") for n in old.values()}
    )
    filled.maintenance.expire(AT_ONCE)

    report = filled.maintenance.vacuum(grace=AT_ONCE)

    needed = set(places(filled, pinned).values())
    gone = {("segment", f"arrays/{name}") for name in old.values() if name not in needed}
    assert (len(needed), len(gone)) == (3, 3)
    assert {item for item in removed(report) if item[0] == "segment"} == gone
    assert content(filled, pinned) == before
    assert filled.verify().findings == ()


def test_a_quarantined_segment_stays_whatever_refers_to_it(filled, places):
    segment = next(iter(places(filled).values()))
    filled.quarantine({segment: "a reason"})
    filled.maintenance.compact()
    filled.maintenance.expire(AT_ONCE)
    filled.maintenance.vacuum(grace=AT_ONCE)
    assert (filled.path / "arrays" / segment).exists()


def test_the_newest_checkpoints_of_a_run_stay_and_the_last_of_a_finished_one(filled):
    for iteration in range(4):
        filled.commit(Commit(checkpoint=Checkpoint("run-1", iteration, {"state": b"%d" % iteration}, None)))

    def kept():
        folders = (filled.path / "checkpoints/run-1").iterdir()
        return sorted(int(folder.name.split("-")[0]) for folder in folders)

    filled.maintenance.vacuum(grace=AT_ONCE, keep_checkpoints=3)
    assert kept() == [1, 2, 3]
    filled.maintenance.vacuum(grace=AT_ONCE)
    assert kept() == [2, 3]
    filled.finish_run("run-1", RunStatus.FINISHED)
    filled.maintenance.vacuum(grace=AT_ONCE, keep_checkpoints=3)
    assert kept() == [3]
    assert filled.latest_checkpoint("run-1").iteration == 3
    assert filled.verify().findings == ()


def test_policies_stay_also_those_without_a_row(filled):
    sha256 = filled.policies.add({"config.json": b"{}"})
    age(filled.path / "policies", 2 * DAY.total_seconds())
    filled.maintenance.vacuum()
    assert filled.policies.kept() == [sha256]


def test_a_link_is_removed_and_what_it_leads_to_is_not(filled, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious").write_text("precious")
    (filled.path / "arrays" / "link").symlink_to(tmp_path / "elsewhere")
    filled.maintenance.vacuum(grace=AT_ONCE)
    assert not (filled.path / "arrays" / "link").is_symlink()
    assert (tmp_path / "elsewhere" / "precious").exists()


def test_a_writer_that_slept_for_longer_than_the_grace_period_writes_its_arrays_again(
    filled, make, monkeypatch, caplog
):
    original = molbuffer.storage.commits.commit.write_segment
    written = []

    def write_then_sleep(folder, blocks):
        offsets = original(folder, blocks)
        written.append(folder)
        if len(written) == 1:
            filled.maintenance.vacuum(grace=AT_ONCE)
            assert not folder.exists()
        return offsets

    monkeypatch.setattr(molbuffer.storage.commits.commit, "write_segment", write_then_sleep)
    checkpoint = Checkpoint("run-1", 9, {"state": b"1"}, None)
    receipt = filled.commit(Commit([make.make_build(9)], checkpoint=checkpoint)).builds[0]
    assert (receipt.repeated, len(written)) == (False, 2)
    assert "written again" in caplog.text
    assert filled.build(receipt.build_id).samples.raw == make.make_build(9).samples.raw
    assert filled.latest_checkpoint("run-1").folder.is_dir()
    assert filled.verify().errors == ()


def test_what_a_slow_writer_commits_while_a_vacuum_looks_stays(filled, make, monkeypatch):
    before = filled.receipts("run-1")
    original = molbuffer.storage.maintenance.vacuum._Vacuum._unneeded_segments
    receipts = []

    def look(self, there):
        found = original(self, there)
        if not receipts:
            receipts.append(filled.commit(Commit([make.make_build(9)])).builds[0])
            segment = filled.build(receipts[0].build_id).segment
            return [*found, filled.path / "arrays" / segment]
        return found

    monkeypatch.setattr(molbuffer.storage.maintenance.vacuum._Vacuum, "_unneeded_segments", look)
    assert removed(filled.maintenance.vacuum(grace=AT_ONCE)) == set()
    assert filled.receipts("run-1") == [*before, *receipts]
    assert len(filled.build(receipts[0].build_id).samples) == 6


def test_a_merge_that_a_vacuum_overtook_writes_its_arrays_again(filled, tmp_path, monkeypatch):
    filled.archive(tmp_path / "archive")
    original = molbuffer.storage.archive.merge.copy_arrays
    calls = []
    with SampleStore.create(tmp_path / "target") as target, SampleStore.open(tmp_path / "archive") as archive:

        def copy_then_sleep(*arguments):
            calls.append(original(*arguments))
            if len(calls) == 1:
                target.maintenance.vacuum(grace=AT_ONCE)
            return calls[-1]

        monkeypatch.setattr(molbuffer.storage.archive.merge, "copy_arrays", copy_then_sleep)
        assert target.merge(archive).builds == 6
        assert len(calls) == 2
        assert target.verify().errors == ()


def test_what_vanishes_while_it_is_looked_at_is_no_error(filled, orphans, monkeypatch):
    """As when ``verify`` looks for orphans beside a vacuum, or a writer renames a policy."""
    original = molbuffer.storage.maintenance.vacuum.files_at

    def vanish(path):
        if path.name == "orphan":
            shutil.rmtree(path, ignore_errors=True)
        return original(path)

    monkeypatch.setattr(molbuffer.storage.maintenance.vacuum, "files_at", vanish)
    assert ("segment", "arrays/orphan") not in removed(filled.maintenance.vacuum(dry_run=True))
    assert filled.verify().errors == ()


def test_files_scheduled_for_deletion_go_in_portions(filled, monkeypatch):
    monkeypatch.setattr(molbuffer.storage.maintenance.vacuum, "_PORTION", 7)
    filled.maintenance.compact()
    assert len(filled.maintenance.vacuum(grace=AT_ONCE).removed) == MERGED
    scheduled = filled._open.catalog.metadata("SELECT count(*) FROM METADATA.ducklake_files_scheduled_for_deletion")
    assert scheduled == [(0,)]


@pytest.mark.parametrize("wrong", [{"keep_checkpoints": 0}, {"grace": timedelta(seconds=-1)}])
def test_settings_that_make_no_sense_are_refused(filled, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong)).removeprefix("keep_")):
        filled.maintenance.vacuum(**wrong)


def test_a_report_can_be_written_as_json(filled, orphans):
    said = json.loads(json.dumps(asdict(filled.maintenance.vacuum())))
    assert {item["kind"] for item in said["removed"]} == {"segment", "parquet", "checkpoint", "aside"}
