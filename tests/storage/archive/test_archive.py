"""Archives: what is in them, that they are read-only, and that the source keeps what they pin."""

import json
import re
import shutil
import stat
import subprocess
import sys
from datetime import timedelta

import duckdb
import numpy as np
import polars as pl
import pytest

from molbuffer.storage import SampleStore
from molbuffer.storage.archive.files import verify_files
from molbuffer.storage.archive.manifest import read_manifest
from molbuffer.storage.archive.workplace import finished
from molbuffer.storage.errors import (
    ArchiveError,
    ArchiveFault,
    PartialBuildError,
    PredicateError,
    StoreExistsError,
    StoreModeError,
    StoreNotFoundError,
    UnknownRunError,
    UnknownSnapshotError,
)
from molbuffer.storage.history.index import IndexScope
from molbuffer.storage.records import Commit, Consumed, Metric, PolicyVersion, RunKind, RunStatus, Score
from molbuffer.storage.segments.copy import ArraySource, BuildCopy, copy_arrays
from molbuffer.storage.trusted import trusted_archive

OBJECTIVE = "objective-1"


@pytest.fixture(scope="module")
def template(started_template, tmp_path_factory, make):
    """Two runs of two builds; the rows of run-2 were drawn by a policy whose parent's weights are kept."""
    path = shutil.copytree(started_template, tmp_path_factory.mktemp("filled") / "store")
    with SampleStore.open(path) as store:
        fill(store, make)
    return path


@pytest.fixture
def filled(open_copy, template):
    return open_copy(template)


def fill(started, make):
    kept = started.policies.add({"config.json": b"{}", "vocabulary.json": b'["C"]'})
    lineage = [
        PolicyVersion("root", "gru"),
        PolicyVersion(kept, "gru", parent_sha256="root", run_id="run-1", weights_kept=True),
        PolicyVersion("live", "gru", parent_sha256=kept, run_id="run-2"),
        PolicyVersion("unrelated", "gru", run_id="run-1"),
    ]
    started.start_run(make.make_run("run-2"))
    started.start_run(make.make_run("run-3"))
    for run_id, policy in (("run-1", None), ("run-2", "live")):
        for iteration in range(2):
            build = make.make_build(
                iteration,
                seed=iteration,
                run_id=run_id,
                policy_sha256=policy,
                scores=[Score(f"{'C' * 5}{'O' * iteration}", "qed", run_id, 0.5)],
            )
            started.commit(Commit([build], policies=lineage))
    started.commit(
        Commit(
            run_id="run-3",
            consumed=[Consumed(build.build_id, [0, 4], 0)],
            run_metrics=[(0, Metric("loss", 1.5))],
        )
    )
    started.finish_run("run-2", RunStatus.FINISHED)


def frame(store, table, columns="*"):
    return store.query(f"SELECT {columns} FROM {table} ORDER BY ALL")


def test_an_archive_of_a_run_has_all_that_belongs_to_its_rows(filled, tmp_path):
    receipt = filled.archive(tmp_path / "archive", runs=["run-2"])
    assert (receipt.rows, receipt.builds, receipt.quarantined, receipt.recorded) == (12, 2, 0, True)
    with SampleStore.open(tmp_path / "archive") as archive:
        theirs = filled.query("SELECT * FROM sample_history WHERE run_id = 'run-2' ORDER BY ALL")
        assert frame(archive, "sample_history").equals(theirs)
        assert set(archive.query("FROM rewards")["run_id"]) == {"run-2"}
        # run-1 is the parent, and made the policy; run-3 consumed rows.
        assert archive.query("SELECT run_id FROM runs ORDER BY ALL").rows() == [("run-1",), ("run-2",), ("run-3",)]
        assert ("run-2", "finished") in archive.query("SELECT run_id, status FROM run_events").rows()
        assert archive.query('SELECT "row" FROM consumed ORDER BY ALL').rows() == [(0,), (4,)]
        # Scores are of molecules, whichever run asked for them; figures are of runs that were archived.
        assert archive.query("SELECT DISTINCT version FROM scores ORDER BY ALL").rows() == [("run-1",), ("run-2",)]
        assert set(archive.query("FROM metrics")["run_id"]) == {"run-2"}
        assert archive.consumed("run-3") == filled.consumed("run-3")
        for build in filled.receipts("run-2"):
            ours, their = filled.build(build.build_id), archive.build(build.build_id)
            assert (ours.samples.raw, ours.rewards) == (their.samples.raw, their.rewards)
            np.testing.assert_array_equal(ours.samples.rows.tokens, their.samples.rows.tokens)
            np.testing.assert_array_equal(ours.samples.rows.log_probs, their.samples.rows.log_probs)
            np.testing.assert_array_equal(ours.samples.rows.lengths, their.samples.rows.lengths)


def test_an_archive_of_a_training_has_what_its_actors_drew(started, make, tmp_path):
    started.start_run(make.make_run("actor", kind=RunKind.BUILD, parent_run_id="run-1"))
    started.start_run(make.make_run("other", kind=RunKind.BUILD))
    started.commit(Commit([make.make_build(1), make.make_build(run_id="actor"), make.make_build(run_id="other")]))
    assert started.archive(tmp_path / "training", runs=["run-1"]).builds == 2
    with SampleStore.open(tmp_path / "training") as archive:
        assert archive.query("SELECT DISTINCT run_id FROM builds ORDER BY ALL").rows() == [("actor",), ("run-1",)]
        assert archive.run("actor").parent_run_id == "run-1"
    assert started.archive(tmp_path / "actor", runs=["actor"]).builds == 1


def test_lineage_goes_to_the_root_and_has_the_nearest_kept_weights(filled, tmp_path):
    filled.archive(tmp_path / "archive", runs=["run-2"])
    (kept,) = filled.policies.kept()
    with SampleStore.open(tmp_path / "archive") as archive:
        columns = "sha256, kind, parent_sha256, run_id, iteration, weights_kept, kept_ancestor"
        theirs = filled.query(f"SELECT {columns} FROM lineage WHERE sha256 <> 'unrelated' ORDER BY ALL")
        assert frame(archive, "lineage", columns).equals(theirs)
        assert archive.policies.folder(kept).joinpath("vocabulary.json").read_bytes() == b'["C"]'


def test_a_build_may_be_there_in_part_under_its_own_row_numbers(filled, tmp_path):
    filled.archive(tmp_path / "archive", runs=["run-1"], where='"row" IN (3, 5)')
    with SampleStore.open(tmp_path / "archive") as archive:
        assert archive.query('SELECT DISTINCT "row" FROM samples ORDER BY ALL').rows() == [(3,), (5,)]
        build = archive.receipts("run-1")[0]
        assert build.drawn == 6
        with pytest.raises(PartialBuildError, match=r"\b2 .* 6 "):
            archive.build(build.build_id)
        ours = filled.index(IndexScope(objective_sha256=OBJECTIVE, where="run_id = 'run-1' AND \"row\" IN (3, 5)"))
        theirs = archive.index(IndexScope(objective_sha256=OBJECTIVE))
        every = np.arange(4)
        assert len(ours) == len(theirs) == 4
        assert ours.row_ids(every) == theirs.row_ids(every)
        for name in ("tokens", "lengths", "log_probs", "rewards"):
            np.testing.assert_array_equal(getattr(ours.gather(every), name), getattr(theirs.gather(every), name))


def test_r8_arrays_are_read_where_they_were_moved_to_and_quarantined_ones_left_out(filled, tmp_path, make):
    moved, damaged, *_ = (filled.build(receipt.build_id) for receipt in filled.receipts("run-1"))
    source = ArraySource(filled._open.layout.arrays, moved.segment, moved.offset)
    copy = BuildCopy(moved.build.build_id, 6, moved.samples.vocabulary_sha256, (source,))
    placed = copy_arrays([copy], filled._open.layout.arrays)
    values = f"'{placed['build_id'][0]}', 1, '{placed['segment'][0]}', 0, now()::TIMESTAMP"
    with filled._open.catalog.transaction("test", "moved", {}) as transaction:
        transaction.change(f"INSERT INTO {{placements}} VALUES ({values})")
        transaction.change(f"INSERT INTO {{quarantine}} VALUES ('{damaged.segment}', 'test', now()::TIMESTAMP)")
    shutil.rmtree(filled._open.layout.arrays / moved.segment)
    receipt = filled.archive(tmp_path / "archive", runs=["run-1"])
    assert (receipt.rows, receipt.builds, receipt.quarantined) == (6, 1, 1)
    with SampleStore.open(tmp_path / "archive") as archive:
        theirs = archive.build(moved.build.build_id)
        np.testing.assert_array_equal(theirs.samples.rows.tokens, moved.samples.rows.tokens)
        assert archive.query("FROM placements").is_empty()


def test_an_archive_is_of_one_version_which_the_source_keeps(filled, make, tmp_path):
    version = filled.snapshot()
    filled.commit(Commit([make.make_build(7)]))
    receipt = filled.archive(tmp_path / "old.tar", snapshot=version, where="kept", runs=["run-1", "run-2"])
    recorded = filled.query("SELECT archive_id, snapshot, run_id, predicate, rows FROM archives ORDER BY run_id").rows()
    assert recorded == [(receipt.uuid, version, run_id, "kept", 16) for run_id in ("run-1", "run-2")]
    with trusted_archive(tmp_path / "old.tar") as (archive, manifest):
        assert (manifest.snapshot, manifest.source_uuid, manifest.rows) == (version, filled.uuid, 16)
        assert archive.query("FROM builds").shape[0] == 4


@pytest.mark.parametrize("name", ["archive", "archive.tar", "archive.tar.gz", "archive.tgz", "archive.tar.zst"])
def test_every_form_holds_the_same(filled, tmp_path, name):
    receipt = filled.archive(tmp_path / name)
    with trusted_archive(tmp_path / name) as (archive, manifest):
        assert frame(archive, "sample_history").equals(frame(filled, "sample_history"))
        assert (manifest.uuid, archive.uuid) == (receipt.uuid, receipt.uuid)
        folder = archive.path
    assert folder.exists() == (name == "archive")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_other_programs_can_unpack_it_and_pack_it_again(filled, tmp_path):
    filled.archive(tmp_path / "archive.tar.gz")
    subprocess.run(["tar", "xzf", "archive.tar.gz"], cwd=tmp_path, check=True)
    verify_files(tmp_path / "archive")
    subprocess.run(["tar", "cf", "again.tar", "archive"], cwd=tmp_path, check=True)
    subprocess.run(["tar", "cf", "flat.tar", "-C", "archive", "."], cwd=tmp_path, check=True)
    for name in ("again.tar", "flat.tar"):
        with trusted_archive(tmp_path / name) as (archive, _):
            assert archive.query("FROM samples").shape[0] == 24


def test_nothing_can_be_written_to_an_archive(filled, make, tmp_path):
    filled.archive(tmp_path / "archive")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "archive").rglob("*")}
    assert modes == {0o400, 0o500}
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "archive").rglob("*")}
    with SampleStore.open(tmp_path / "archive") as archive:
        assert archive.read_only and archive.archived
        attempts = (
            lambda: archive.start_run(make.make_run("new")),
            lambda: archive.record_scores([Score("C", "qed", "1", 0.5)]),
            lambda: archive.policies.add({"config.json": b"{}"}),
            lambda: archive.claims.claim("qed", "1", ["C"], "me", 60.0),
        )
        for attempt in attempts:
            with pytest.raises(StoreModeError, match="molbuffer merge"):
                attempt()
    verify_files(tmp_path / "archive")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "archive").rglob("*")} == before


def test_r10_an_archive_opens_on_a_read_only_mount(filled, tmp_path):
    filled.archive(tmp_path / "archive")
    (tmp_path / "mount").mkdir()
    script = (
        f"mount --bind {tmp_path}/archive {tmp_path}/mount && mount -o remount,bind,ro {tmp_path}/mount"
        f' && ! touch {tmp_path}/mount/x 2>/dev/null || exit 99; exec {sys.executable} -c "$1"'
    )
    code = (
        "from molbuffer.storage import SampleStore; import sys; from pathlib import Path\n"
        f"with SampleStore.open({str(tmp_path / 'mount')!r}) as archive:\n"
        f"    print(len(archive.query('FROM sample_history')))\n"
        f"    print(archive.archive(Path({str(tmp_path / 'second')!r})).recorded)\n"
    )
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", code], capture_output=True, text=True)
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip(f"no mount of one's own here: {done.stderr}")
    assert (done.stdout, done.stderr) == ("24\nFalse\n", "")


def test_it_is_plain_files_that_name_no_place(filled, tmp_path):
    filled.archive(tmp_path / "archive")
    there = {path.name for path in (tmp_path / "archive").iterdir()}
    assert there == {"archive.json", "ro-crate-metadata.json", "tables", "arrays", "policies"}
    for path in (tmp_path / "archive").rglob("*"):
        assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes()


def test_other_programs_read_its_tables(filled, tmp_path):
    filled.archive(tmp_path / "archive", where="kept")
    expected = filled.query('SELECT build_id, "row", smiles FROM samples WHERE kept ORDER BY ALL')
    found = pl.scan_parquet(tmp_path / "archive" / "tables" / "samples" / "*.parquet").select(expected.columns)
    assert found.collect().sort(expected.columns).equals(expected)
    ours = duckdb.sql(
        f"SELECT build_id, \"row\", smiles FROM '{tmp_path}/archive/tables/samples/*.parquet' ORDER BY ALL"
    )
    assert ours.pl().equals(expected)


def test_a_database_of_somebody_else_attaches_its_tables(filled, tmp_path):
    filled.archive(tmp_path / "archive")
    with SampleStore.open(tmp_path / "archive") as archive, duckdb.connect() as shell:
        shell.execute(archive.attach_sql())
        assert shell.sql("SELECT count(*) FROM samples").fetchall() == [(24,)]


def test_it_has_the_one_version_that_it_is_of(filled, tmp_path):
    receipt = filled.archive(tmp_path / "archive")
    with SampleStore.open(tmp_path / "archive") as archive:
        assert archive.snapshot() == receipt.snapshot
        assert [snapshot.version for snapshot in archive.snapshots()] == [receipt.snapshot]
        with archive.at(receipt.snapshot) as pinned:
            assert pinned.receipts("run-1") == archive.receipts("run-1")
        assert {build.snapshot for build in archive.receipts("run-1")} == {receipt.snapshot}
        for read in (archive.at, lambda version: archive.query("FROM samples", snapshot=version)):
            with pytest.raises(UnknownSnapshotError, match=str(receipt.snapshot)):
                read(receipt.snapshot + 1)
    with pytest.raises(StoreModeError):
        archive.snapshots()


def test_many_rows_are_several_files_and_portions(filled, tmp_path, monkeypatch):
    monkeypatch.setattr("molbuffer.storage.archive.tables._FILE_ROWS", 5)
    monkeypatch.setattr("molbuffer.storage.catalog.readable.BATCH_ROWS", 10)
    filled.archive(tmp_path / "archive")
    assert len(list((tmp_path / "archive" / "tables" / "samples").iterdir())) == 3
    with trusted_archive(tmp_path / "archive") as (archive, _):
        assert frame(archive, "sample_history").equals(frame(filled, "sample_history"))


def test_the_decoded_cache_of_an_archive_is_told_by_its_content(filled, tmp_path):
    filled.archive(tmp_path / "one")
    filled.archive(tmp_path / "two")
    with SampleStore.open(tmp_path / "one") as one, SampleStore.open(tmp_path / "two") as two:
        assert len({filled.cache_key, one._open.cache_key, two._open.cache_key}) == 3
        assert filled.cache_key == filled.uuid


def test_a_selection_without_rows_is_refused_and_leaves_nothing(filled, tmp_path):
    with pytest.raises(ArchiveError, match="reward > 100") as caught:
        filled.archive(tmp_path / "new" / "archive", where="reward > 100")
    assert caught.value.fault is ArchiveFault.NOTHING_CHOSEN
    with pytest.raises(ArchiveError, match="run-3"):
        filled.archive(tmp_path / "new" / "archive", runs=["run-3"])
    with pytest.raises(UnknownRunError):
        filled.archive(tmp_path / "new" / "archive", runs=["nobody"])
    with pytest.raises(PredicateError):
        filled.archive(tmp_path / "new" / "archive", where="true) OR (true")
    assert not (tmp_path / "new").exists()
    assert filled.query("FROM archives").is_empty()


def test_what_is_at_the_place_already_stays(filled, tmp_path):
    (tmp_path / "thesis.tar").write_text("mine")
    with pytest.raises(StoreExistsError, match=r"thesis\.tar"):
        filled.archive(tmp_path / "thesis.tar")
    assert (tmp_path / "thesis.tar").read_text() == "mine"


def test_a_failed_archive_leaves_no_file(filled, tmp_path):
    segment = filled.build(filled.receipts("run-1")[0].build_id).segment
    (filled._open.layout.arrays / segment / "tokens" / "c.0.0").write_bytes(b"damage")
    before = sorted(tmp_path.iterdir())
    for name in ("archive", "archive.tar"):
        with pytest.raises(Exception, match=segment):
            filled.archive(tmp_path / name)
    assert sorted(tmp_path.iterdir()) == before
    assert hidden(filled.path) == []
    assert filled.query("FROM archives").is_empty()


AT_ONCE, DAY = timedelta(0), timedelta(days=1)


def hidden(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def versions(store):
    return [snapshot.version for snapshot in store.snapshots()]


@pytest.mark.parametrize(
    ("name", "step"), [("archive", "copy_arrays"), ("archive", "finished"), ("archive.tar", "finished")]
)
def test_a_killed_archive_keeps_its_version_until_a_vacuum_and_is_cleared_by_the_next(
    filled, make, tmp_path, maintainer, name, step
):
    version, out = filled.snapshot(), tmp_path / "out" / name
    filled.commit(Commit([make.make_build(7)]))
    output, errors = maintainer("archive", filled.path, out, version, step, "die").communicate(timeout=600)
    assert output == "dying\n", errors
    assert len(hidden(out.parent)) == 1
    (left,) = [found for found in filled.verify().findings if found.path in hidden(filled.path)]
    assert left.severity == "information"

    # Its process could still be at work, for all that an expiry knows.
    (by,) = filled.maintenance.expire(AT_ONCE).pinned[version]
    assert by.endswith("unfinished")
    assert filled.maintenance.vacuum(grace=DAY).removed == ()
    assert versions(filled) == [version, filled.snapshot()]
    (said,) = filled.maintenance.vacuum(grace=AT_ONCE, dry_run=True).removed
    (removed,) = [each for each in filled.maintenance.vacuum(grace=AT_ONCE).removed if each.kind == "pin"]
    assert (removed.path, said.path) == (left.path, left.path)
    filled.maintenance.expire(AT_ONCE)
    assert versions(filled) == [filled.snapshot()]

    assert filled.query("FROM archives").is_empty()
    filled.archive(out)
    assert [path.name for path in out.parent.iterdir()] == [name]
    assert (hidden(filled.path), filled.query("FROM archives").shape[0]) == ([], 1)


def test_an_archive_that_is_being_made_keeps_its_version_and_its_place(filled, make, tmp_path, maintainer):
    version, out = filled.snapshot(), tmp_path / "out" / "archive"
    filled.commit(Commit([make.make_build(7)]))
    process = maintainer("archive", filled.path, out, version, "copy_arrays", "wait")
    assert process.stdout.readline() == "waiting\n"
    there = hidden(out.parent)
    for _ in range(2):
        assert filled.maintenance.vacuum(grace=AT_ONCE).removed == ()
        filled.maintenance.expire(AT_ONCE)
    assert versions(filled) == [version, filled.snapshot()]
    with pytest.raises(StoreExistsError, match=re.escape(str(out))):
        filled.archive(out)
    assert hidden(out.parent) == there

    (out.parent / "go").touch()
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    assert filled.query("SELECT archive_id, snapshot FROM archives").rows() == [(output.split()[1], version)]
    assert (hidden(out.parent), hidden(filled.path)) == ([], [])
    filled.maintenance.expire(AT_ONCE)
    assert version in versions(filled)
    with trusted_archive(out) as (_, manifest):
        assert manifest.snapshot == version


def test_an_archive_whose_version_expired_meanwhile_is_refused(filled, make, tmp_path, monkeypatch):
    version = filled.snapshot()
    filled.commit(Commit([make.make_build(7)]))

    def lose_the_pin(folder, out):
        (filled.path / hidden(filled.path)[0]).unlink()
        filled.maintenance.expire(AT_ONCE)
        return finished(folder, out)

    monkeypatch.setattr("molbuffer.storage.archive.make.finished", lose_the_pin)
    with pytest.raises(ArchiveError, match=f"snapshot {version} ") as caught:
        filled.archive(tmp_path / "out" / "archive", snapshot=version)
    assert caught.value.fault is ArchiveFault.EXPIRED
    assert list((tmp_path / "out").iterdir()) == []
    assert filled.query("FROM archives").is_empty()


def test_what_came_to_the_place_meanwhile_stays(filled, tmp_path, monkeypatch):
    def with_another(folder, out):
        out.write_text("mine")
        return finished(folder, out)

    monkeypatch.setattr("molbuffer.storage.archive.make.finished", with_another)
    with pytest.raises(StoreExistsError, match=r"thesis\.tar"):
        filled.archive(tmp_path / "out" / "thesis.tar")
    assert [(path.name, path.read_text()) for path in (tmp_path / "out").iterdir()] == [("thesis.tar", "mine")]
    assert filled.query("FROM archives").is_empty()
    assert hidden(filled.path) == []


def test_an_archive_can_be_archived(filled, tmp_path):
    filled.archive(tmp_path / "first", where='"row" > 1')
    with SampleStore.open(tmp_path / "first") as first:
        receipt = first.archive(tmp_path / "second.tar", where="reward > 0.3")
    assert not receipt.recorded
    with trusted_archive(tmp_path / "second.tar") as (second, _):
        wanted = filled.query("SELECT * FROM sample_history WHERE reward > 0.3 ORDER BY ALL")
        assert frame(second, "sample_history").equals(wanted)


def test_a_store_is_no_archive_and_nothing_is_neither(filled, tmp_path):
    with pytest.raises(ArchiveError) as caught, trusted_archive(filled.path):
        pass
    assert caught.value.fault is ArchiveFault.NOT_AN_ARCHIVE
    with pytest.raises(StoreNotFoundError), trusted_archive(tmp_path / "nowhere"):
        pass


def test_the_manifest_says_where_it_is_from(filled, tmp_path):
    receipt = filled.archive(tmp_path / "archive", runs=["run-1"], where="kept")
    said = json.loads((tmp_path / "archive" / "archive.json").read_text())
    assert {name: said[name] for name in ("source_uuid", "snapshot", "runs", "where", "rows", "builds")} == {
        "source_uuid": filled.uuid, "snapshot": receipt.snapshot, "runs": ["run-1"], "where": "kept",
        "rows": 8, "builds": 2,
    }  # fmt: skip
    assert read_manifest(tmp_path / "archive").uuid == receipt.uuid
