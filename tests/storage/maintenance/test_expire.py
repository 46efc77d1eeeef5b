"""Expiry: old versions are forgotten, but for those that something pins, and the newest stays as it is."""

import shutil
from datetime import datetime, timedelta

import pytest

import molbuffer.storage.maintenance.expire
import molbuffer.storage.maintenance.snapshots
from molbuffer.storage import SampleStore
from molbuffer.storage.errors import UnknownSnapshotError
from molbuffer.storage.records import Checkpoint, Commit, RunStatus, now
from molbuffer.storage.verify.report import FindingKind

AT_ONCE = timedelta(0)


def versions(store):
    return [snapshot.version for snapshot in store.snapshots()]


def test_old_versions_go_and_the_newest_stays_as_it_was(filled, content):
    before, all_versions = content(filled, filled.snapshot()), versions(filled)
    report = filled.maintenance.expire(AT_ONCE)
    assert (report.expired, report.pinned) == (tuple(all_versions[:-1]), {})
    assert versions(filled) == [filled.snapshot()] == all_versions[-1:]
    assert content(filled, filled.snapshot()) == before
    for read in (filled.at, lambda version: filled.query("SELECT 1", snapshot=version)):
        with pytest.raises(UnknownSnapshotError, match=f"no version {all_versions[-2]}"):
            read(all_versions[-2])
    assert filled.verify().errors == ()


def test_keep_and_age_bound_what_goes(filled):
    there = versions(filled)
    assert filled.maintenance.expire(timedelta(hours=1)).expired == ()
    assert filled.maintenance.expire(AT_ONCE, keep=len(there) + 5).expired == ()
    assert versions(filled) == there
    assert filled.maintenance.expire(AT_ONCE, keep=3).expired == tuple(there[:-3])
    assert versions(filled) == there[-3:]


def test_a_dry_run_only_says_which(filled):
    there = versions(filled)
    said = filled.maintenance.expire(AT_ONCE, keep=2, dry_run=True)
    assert (said.expired, versions(filled)) == (tuple(there[:-2]), there)
    assert filled.maintenance.expire(AT_ONCE, keep=2) == said


def test_what_a_run_a_checkpoint_or_an_archive_pins_stays(filled, make, content, tmp_path):
    *_, of_archive, of_run, of_old, of_checkpoint, _ = versions(filled)
    filled.archive(tmp_path / "archive", snapshot=of_archive)
    filled.start_run(make.make_run("run-2", pinned_snapshot=of_run))
    filled.finish_run("run-2", RunStatus.FINISHED)
    for iteration, pinned in enumerate((of_old, of_checkpoint, of_checkpoint)):
        filled.commit(Commit(checkpoint=Checkpoint("run-1", iteration, {"state": b"1"}, pinned)))
    before = {version: content(filled, version) for version in (of_archive, of_run, of_checkpoint)}

    report = filled.maintenance.expire(AT_ONCE)

    assert {version: by for version, by in report.pinned.items() if version != of_archive} == {
        of_run: ("run run-2",),
        of_checkpoint: ("checkpoint run-1 2", "checkpoint run-1 1"),
    }
    assert report.pinned[of_archive][0].startswith("archive ")
    assert versions(filled) == [of_archive, of_run, of_checkpoint, filled.snapshot()]
    # Compaction and vacuum do not touch them either.
    filled.maintenance.compact()
    filled.maintenance.expire(AT_ONCE)
    filled.maintenance.vacuum(grace=AT_ONCE)
    assert {version: content(filled, version) for version in before} == before
    assert filled.verify().errors == ()


def test_checkpoints_that_are_kept_keep_their_versions(filled):
    """A checkpoint whose version is gone could be read and not be resumed from."""
    pinned = versions(filled)[-4:-1]
    for iteration, version in enumerate(pinned):
        filled.commit(Commit(checkpoint=Checkpoint("run-1", iteration, {"state": b"1"}, version)))
    assert set(filled.maintenance.expire(AT_ONCE, keep_checkpoints=3, dry_run=True).pinned) == set(pinned)
    assert set(filled.maintenance.expire(AT_ONCE, keep_checkpoints=1, dry_run=True).pinned) == {pinned[-1]}
    # A finished run is not resumed; its last state is kept.
    filled.finish_run("run-1", RunStatus.FINISHED)
    assert set(filled.maintenance.expire(AT_ONCE).pinned) == {pinned[-1]}


def test_a_version_that_is_pinned_meanwhile_stays(filled, make, monkeypatch):
    wanted = versions(filled)[-3]
    original = molbuffer.storage.maintenance.expire.list_snapshots

    def list_then_pin(*arguments):
        listed = original(*arguments)
        filled.start_run(make.make_run("run-2", pinned_snapshot=wanted))
        return listed

    monkeypatch.setattr(molbuffer.storage.maintenance.expire, "list_snapshots", list_then_pin)
    assert wanted not in filled.maintenance.expire(AT_ONCE).expired
    assert wanted in versions(filled)


def test_many_versions_go_in_portions(filled, monkeypatch):
    monkeypatch.setattr(molbuffer.storage.maintenance.expire, "_PORTION", 2)
    there = versions(filled)
    assert filled.maintenance.expire(AT_ONCE).expired == tuple(there[:-1])
    assert versions(filled) == there[-1:]
    assert filled.verify().findings == ()


def test_a_clock_that_goes_back_expires_nothing(filled, monkeypatch):
    there = versions(filled)
    monkeypatch.setattr(molbuffer.storage.maintenance.expire, "now", lambda: now() - timedelta(days=400))
    assert filled.maintenance.expire(AT_ONCE).expired == ()
    monkeypatch.setattr(molbuffer.storage.maintenance.expire, "now", lambda: datetime(9000, 1, 1))
    assert filled.maintenance.expire(AT_ONCE, keep=2).expired == tuple(there[:-2])


def test_damage_to_files_of_expired_versions_is_still_found(filled):
    filled.commit(Commit(checkpoint=Checkpoint("run-1", 0, {"state": b"state"}, None)))
    filled.maintenance.expire(AT_ONCE)
    filled.maintenance.expire(AT_ONCE)
    parquet = next((filled.path / "tables/main/scores").iterdir())
    state = next((filled.path / "checkpoints/run-1").rglob("state"))
    for file in (parquet, state):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 4
        file.write_bytes(content)
    found = filled.verify().errors
    assert {(error.kind, error.path) for error in found} == {
        (FindingKind.PARQUET, str(parquet.relative_to(filled.path))),
        (FindingKind.CHECKPOINT, str(state.relative_to(filled.path))),
    }
    assert all("has the checksum" in error.message for error in found)


def test_the_checksums_of_files_that_were_merged_go_with_their_versions(filled):
    def of_samples():
        return {path for path in filled._open.catalog.recorded_checksums() if path.startswith("tables/main/samples/")}

    before = of_samples()
    filled.maintenance.compact()
    filled.maintenance.expire(AT_ONCE)
    # The files of before stay until a vacuum, but no version has them.
    there = {path.relative_to(filled.path).as_posix() for path in (filled.path / "tables/main/samples").iterdir()}
    assert of_samples() == there - before
    assert len(before) == 6


def test_a_moved_store_expires_too(filled, tmp_path):
    filled.maintenance.compact()
    filled.close()
    moved = shutil.move(filled.path, tmp_path / "elsewhere")
    with SampleStore.open(moved) as store:
        store.maintenance.expire(AT_ONCE)
        assert store.maintenance.vacuum(grace=AT_ONCE).bytes > 0
        assert len(store.receipts("run-1")) == 6
        assert store.verify().findings == ()


@pytest.mark.parametrize("wrong", [{"keep": 0}, {"keep_checkpoints": 0}, {"older_than": timedelta(seconds=-1)}])
def test_settings_that_make_no_sense_are_refused(filled, wrong):
    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        filled.maintenance.expire(**({"older_than": AT_ONCE} | wrong))
