"""A store that has lost its catalog says so, is left as it is, and is recovered with all that was acknowledged."""

import json
import os
import shutil
import signal
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from molbuffer.storage import SampleStore
from molbuffer.storage.catalog.migrate import migrate_store
from molbuffer.storage.errors import (
    CatalogDamagedError,
    CatalogLostError,
    RecoveryError,
    StoreError,
    StoreNotFoundError,
    UnknownSnapshotError,
    VacuumRefusedError,
)
from molbuffer.storage.records import Checkpoint, Commit, Consumed, Reward, RunStatus, Score
from molbuffer.storage.recovery import Source, recover_store
from molbuffer.storage.verify.verify import verify_store

DATA = Path(__file__).parents[2] / "data"
AT_ONCE = timedelta(0)


@pytest.fixture(scope="module")
def template(tmp_path_factory, make) -> Path:
    """A store with something of everything: builds, a compaction, and what was committed since."""
    path = tmp_path_factory.mktemp("recover") / "store"
    with SampleStore.create(path) as store:
        store.start_run(make.make_run())
        sha256 = store.policies.add({"config.json": b"{}", "vocabulary.json": b"[]"})
        for iteration in range(3):
            build = make.make_build(iteration, seed=iteration, policy_sha256=sha256)
            store.commit(
                Commit(
                    [build],
                    scores=[Score(f"C{iteration}", "docking", "v1", -1.0)],
                    run_id="run-1",
                    consumed=[Consumed(build.build_id, [0, 3], iteration)],
                    checkpoint=Checkpoint("run-1", iteration, {"state": b"1"}, store.snapshot()),
                )
            )
        store.maintenance.compact()
        store.maintenance.back_up()
        store.commit(Commit([make.make_build(3, seed=3, policy_sha256=sha256)]))
        store.record_scores([Score("CC", "docking", "v1", -7.5), Score("CCC", "docking", "v1", None, "failed", "no")])
        store.add_rewards(make.make_build(3).build_id, [Reward(0, "other", 0.5)], "run-1")
        store.finish_run("run-1", RunStatus.FINISHED)
    return path


@pytest.fixture
def path(template, tmp_path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "store"))


def lose(path: Path) -> None:
    for file in path.glob("catalog.sqlite*"):
        file.unlink()


def files(path: Path) -> set[Path]:
    return {file.relative_to(path) for file in path.rglob("*")}


TABLES = ("runs", "run_events", "builds", "samples", "rewards", "scores", "metrics", "policies", "consumed")
TABLES += ("checkpoints", "readmitted", "placements")


def said(path: Path, snapshot: int | None = None, tables=TABLES) -> dict[str, list[dict]]:
    with SampleStore.open(path, read_only=True) as store:
        return {
            table: store.read_arrow(f"SELECT * FROM {{{table}}} ORDER BY ALL", snapshot=snapshot).to_pylist()
            for table in tables
        }


@pytest.fixture(scope="module")
def said_of_template(template, tmp_path_factory) -> dict[int | None, dict[str, list[dict]]]:
    """What the template says now and as of snapshot 5, before anything has happened to it."""
    path = Path(shutil.copytree(template, tmp_path_factory.mktemp("read") / "store"))
    return {snapshot: said(path, snapshot) for snapshot in (None, 5)}


@pytest.fixture
def wanted(said_of_template) -> dict[str, list[dict]]:
    """What the template says now."""
    return dict(said_of_template[None])


def foreign(path: Path) -> None:
    lose(path)
    with SampleStore.create(path.with_name("other")):
        pass
    shutil.copy(path.with_name("other") / "catalog.sqlite", path / "catalog.sqlite")


def without_tables(path: Path) -> None:
    lose(path)
    with sqlite3.connect(path / "catalog.sqlite") as made:
        made.execute("CREATE TABLE notes (text)")
    made.close()


LOSSES = {
    "missing": (lose, CatalogLostError),
    "a log only": (lambda path: (path / "catalog.sqlite").rename(path / "catalog.sqlite-wal"), CatalogLostError),
    "empty": (lambda path: os.truncate(path / "catalog.sqlite", 0), CatalogLostError),
    "foreign": (foreign, CatalogLostError),
    "without tables": (without_tables, CatalogLostError),
    "cut off": (lambda path: os.truncate(path / "catalog.sqlite", 20_000), CatalogDamagedError),
    "no database": (lambda path: (path / "catalog.sqlite").write_bytes(b"no database " * 999), CatalogDamagedError),
}


@pytest.mark.parametrize(("loss", "error"), LOSSES.values(), ids=LOSSES)
def test_a_lost_catalog_is_named_and_left_alone(path, loss, error):
    loss(path)
    there = files(path)
    for use in (
        lambda: SampleStore.open(path),
        lambda: SampleStore.open(path, read_only=True),
        lambda: SampleStore.open_or_create(path),
        lambda: migrate_store(path),
    ):
        with pytest.raises(error) as told:
            use()
        assert "molbuffer recover" in str(told.value)
    passing = {Path("catalog.sqlite-wal"), Path("catalog.sqlite-shm"), Path("commit.lock")}
    assert files(path) - passing == there - passing
    assert {finding.kind for finding in verify_store(path, quick=True).errors} >= {"catalog"}


@pytest.mark.parametrize("loss", ["missing", "cut off"])
def test_a_lost_catalog_is_made_anew_with_all_snapshots(path, make, loss, said_of_template):
    LOSSES[loss][0](path)

    report = recover_store(path)

    assert (report.source, report.lost, report.salvaged) == (Source.JOURNAL, {}, {})
    assert report.verification.errors == ()
    assert {snapshot: said(path, snapshot) for snapshot in (None, 5)} == said_of_template
    assert report.kept is None or files(report.kept)
    with SampleStore.open(path) as store:
        assert store.commit(Commit([make.make_build(3)])).builds[0].repeated
        assert not store.commit(Commit([make.make_build(4)])).builds[0].repeated
        assert store.record_scores([Score("CC", "docking", "v1", -7.5)]) == 0
        store.maintenance.compact()
        store.maintenance.vacuum(grace=AT_ONCE)
        assert store.verify().errors == ()
        assert len(store.build(make.make_build(3).build_id).samples) == 6


@pytest.mark.parametrize("source", [None, Source.BACKUP, Source.FILES])
def test_without_a_journal_each_fact_is_there_once(path, wanted, make, writer, source):
    writer("die", path, "before COMMIT", 7).communicate(timeout=600)
    lose(path)
    (path / "journal.jsonl").unlink()

    report = recover_store(path, source=source)

    assert report.source == (source or Source.BACKUP)
    assert report.lost == {}
    found = said(path)
    # A build whose COMMIT was cut off is whole on the disk: it may be there, but once and with all of its rows.
    cut_off = make.make_build(7).build_id
    known = {table: [row for row in rows if row.get("build_id") != cut_off] for table, rows in found.items()}
    assert known == wanted
    assert len([row for row in found["samples"] if row["build_id"] == cut_off]) in (0, 6)
    with SampleStore.open(path) as store:
        for iteration in (0, 3, 7):
            store.commit(Commit([make.make_build(iteration)]))
        assert store.query("SELECT count(*), count(DISTINCT (build_id, row)) FROM samples").rows() == [(30, 30)]
        assert store.verify().errors == ()
        if report.source is Source.FILES:
            # What was recorded with an old number finds nothing, and never the rows of another snapshot.
            with pytest.raises(UnknownSnapshotError):
                store.at(5)


@pytest.mark.parametrize("stop", ["before sync", "before COMMIT", "before acknowledgement"])
def test_killed_at_any_step_what_was_acknowledged_is_recovered_and_counts_once(path, wanted, make, writer, stop):
    writer("die", path, stop, 7).communicate(timeout=600)
    lose(path)
    recover_store(path)
    found = said(path, tables=("samples", "scores"))
    assert found["scores"] == wanted["scores"]
    assert all(row in found["samples"] for row in wanted["samples"])
    with SampleStore.open(path) as store:
        receipt = store.commit(Commit([make.make_build(7)])).builds[0]
        assert receipt.repeated or stop in ("before sync", "before COMMIT")
        assert store.query("SELECT count(*), count(DISTINCT (build_id, row)) FROM samples").rows() == [(30, 30)]
        assert store.verify().errors == ()


def test_of_two_attempts_at_a_build_that_are_on_the_disk_one_counts(path, make, writer):
    for _ in range(2):
        writer("die", path, "before COMMIT", 7).communicate(timeout=600)
    lose(path)
    (path / "journal.jsonl").unlink()
    recover_store(path, source=Source.FILES)
    build_id = make.make_build(7).build_id
    found = said(path, tables=("builds", "samples", "rewards"))
    assert {table: sum(row["build_id"] == build_id for row in rows) for table, rows in found.items()} == {
        "builds": 1,
        "samples": 6,
        "rewards": 4,
    }
    assert verify_store(path).errors == ()


def test_a_damaged_line_of_the_journal_and_lost_files_are_told_and_the_rest_is_there(path, wanted):
    journal = path / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    middle = next(place for place, line in enumerate(lines) if b'"message": "2 scores"' in line)
    lines[middle] = lines[middle].replace(b"2 scores", b"3 scores")
    journal.write_bytes(b"".join(lines))
    assert "journal" in {finding.kind for finding in verify_store(path).findings}
    with SampleStore.open(path, read_only=True) as store:
        (last,) = store._open.catalog.metadata(
            "SELECT f.path FROM METADATA.ducklake_data_file AS f JOIN METADATA.ducklake_table USING (table_id) "
            "WHERE table_name = 'run_events' ORDER BY f.data_file_id DESC LIMIT 1"
        )
    lost = path / "tables" / "main" / "run_events" / last[0]
    os.truncate(lost, lost.stat().st_size // 2)
    lose(path)

    report = recover_store(path)

    assert set(report.lost) == {f"tables/main/run_events/{lost.name}"}
    assert report.salvaged == {"scores": 2}
    found = said(path)
    assert len(found.pop("run_events")) == len(wanted.pop("run_events")) - 1
    assert found == wanted


def test_a_store_of_an_older_release_is_recovered_from_its_files(tmp_path):
    path = Path(shutil.copytree(DATA / "store-format-1", tmp_path / "old"))
    expected = json.loads((DATA / "store-format-1.json").read_text())
    lose(path)
    report = recover_store(path)
    assert (report.source, report.lost) == (Source.FILES, {})
    assert report.verification.errors == ()
    with SampleStore.open(path) as store:
        assert len(store.query("FROM samples")) == 24
        assert store.uuid == expected["uuid"]
        assert {receipt.readmitted for receipt in store.receipts("run-1")} == {0}


def test_a_store_without_its_description_is_recovered_with_the_identity_it_had(path, wanted):
    with SampleStore.open(path, read_only=True) as store:
        uuid = store.uuid
    (path / "store.toml").unlink()
    assert recover_store(path).source is Source.JOURNAL
    with SampleStore.open(path) as store:
        assert store.uuid == uuid
    assert said(path) == wanted
    (path / "store.toml").write_text("format = [")
    lose(path)
    report = recover_store(path)
    assert (report.kept / "store.toml").read_text() == "format = ["
    assert said(path) == wanted


def test_what_need_not_or_cannot_be_recovered_is_left_alone(path, tmp_path):
    with pytest.raises(RecoveryError):
        recover_store(path)
    with SampleStore.open(path) as store:
        store.archive(tmp_path / "archive")
        there = files(path)
        with store._open.catalog.locked(), store.maintenance._alone(), pytest.raises(StoreError):
            recover_store(path, anyway=True)
    for other in ("archive", "nothing"):
        with pytest.raises((RecoveryError, StoreNotFoundError)):
            recover_store(tmp_path / other)
    (path / "store.toml").write_text(
        (path / "store.toml").read_text().replace("sqlite:catalog.sqlite", "postgres://me@host/lab")
    )
    with pytest.raises(RecoveryError, match="pg_dump"):
        recover_store(path)
    passing = {Path("catalog.sqlite-wal"), Path("catalog.sqlite-shm"), Path("maintenance.lock")}
    assert files(path) - passing == there - passing
    assert not (tmp_path / "nothing").exists()


def test_a_recovery_that_is_killed_is_done_by_the_next(path, wanted, monkeypatch):
    lose(path)
    child = os.fork()
    if child == 0:
        monkeypatch.setattr(
            "molbuffer.storage.recovery.recover._replace", lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        )
        recover_store(path)
    os.waitpid(child, 0)
    assert list(path.glob(".recovering-*"))
    with pytest.raises(CatalogLostError):
        SampleStore.open(path)
    recover_store(path)
    assert not list(path.glob(".recovering-*"))
    assert said(path) == wanted


def test_a_program_that_has_the_old_catalog_open_is_told(path, make):
    with SampleStore.open(path) as store:
        recover_store(path, anyway=True)
        with pytest.raises(StoreError, match="replaced"):
            store.commit(Commit([make.make_build(9)]))
    with SampleStore.open(path) as store:
        store.commit(Commit([make.make_build(9)]))


def test_a_vacuum_by_an_empty_catalog_removes_nothing_unless_told(path):
    with SampleStore.create(path.with_name("other")) as other:
        uuid = other.uuid
    lose(path)
    shutil.copy(path.with_name("other") / "catalog.sqlite", path / "catalog.sqlite")
    description = path / "store.toml"
    description.write_text(
        description.read_text().splitlines()[0] + "\n" + (path.with_name("other") / "store.toml").read_text()
    )
    there = files(path)
    with SampleStore.open(path) as store:
        assert store.uuid == uuid
        with pytest.raises(VacuumRefusedError) as refused:
            store.maintenance.vacuum(grace=AT_ONCE)
        assert refused.value.unknown > refused.value.known
        assert files(path) >= there - {Path("journal.jsonl")}
        assert len(store.maintenance.vacuum(grace=AT_ONCE, dry_run=True).removed) > 20
        assert len(store.maintenance.vacuum(grace=AT_ONCE, remove_most=True).removed) > 20


def test_backups_roll_and_the_newest_is_whole_after_a_vacuum(path):
    with SampleStore.open(path) as store:
        for iteration in range(4):
            store.record_scores([Score("N" * (iteration + 1), "docking", "v1", -1.0)])
            store.maintenance.compact()
            store.maintenance.back_up()
            store.maintenance.vacuum(grace=AT_ONCE)
    wanted = said(path)
    backups = sorted((path / "backups").iterdir())
    assert len(backups) == 3
    lose(path)
    report = recover_store(path, source=Source.BACKUP)
    assert str(backups[-1]) in report.notes[0]
    assert (report.lost, report.salvaged) == ({}, {})
    assert said(path) == wanted
