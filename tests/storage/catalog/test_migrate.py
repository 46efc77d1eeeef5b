"""Stores of an older schema or format are migrated when asked, whole, once, and with a way back."""

import importlib.util
import json
import shutil
import signal
import sqlite3
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from molbuffer.storage import SampleStore
from molbuffer.storage.archive.files import verify_files
from molbuffer.storage.catalog.catalog import Catalog
from molbuffer.storage.catalog.migrate import migrate_store
from molbuffer.storage.catalog.schema.migrations import MIGRATIONS, Migration
from molbuffer.storage.description import Description
from molbuffer.storage.errors import CatalogDamagedError, StoreError, StoreFormatError, StoreNotFoundError
from molbuffer.storage.files.durable import sync_paths
from molbuffer.storage.history.cache import DecodedCache
from molbuffer.storage.history.index import IndexScope
from molbuffer.storage.history.selections import TopK
from molbuffer.storage.layout import Layout
from molbuffer.storage.records import Commit, RunStatus
from molbuffer.storage.trusted import trusted_archive
from molbuffer.storage.verify.verify import verify_store


def script(name):
    """A program beside this file, as a module that the others can import."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / f"{name}.py")
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


writing, formats, migrating = script("writer_process"), script("format_store"), script("migrating_process")
OBJECTIVE, make_build, make_run = writing.OBJECTIVE, writing.make_build, writing.make_run
HISTORY, TABLES, arrays = formats.HISTORY, formats.TABLES, formats.arrays
LATER, LATER_FORMAT, STEPS = migrating.LATER, migrating.LATER_FORMAT, migrating.STEPS
DATA = Path(__file__).parents[2] / "data"
SAID = json.loads((DATA / "store-format-1.json").read_text())
PROCESS = Path(__file__).parents[1] / "migrating_process.py"


@pytest.fixture
def first(tmp_path, monkeypatch):
    """A copy of the store of format 1 and schema 1 as git keeps it: no empty folder, no modes, no lock."""
    monkeypatch.setenv("MOLBUFFER_CACHE", str(tmp_path / "cache"))
    return Path(shutil.copytree(DATA / "store-format-1", tmp_path / "old"))


@pytest.fixture(scope="module")
def of_this_release(tmp_path_factory):
    """The same with the schema of this release, as if it had always had it; to be copied."""
    path = shutil.copytree(DATA / "store-format-1", tmp_path_factory.mktemp("migrated") / "old")
    shutil.rmtree(migrate_store(path).backup.parent)
    return path


@pytest.fixture
def old(of_this_release, tmp_path, monkeypatch):
    """A copy of it, which is old to ``LATER``."""
    monkeypatch.setenv("MOLBUFFER_CACHE", str(tmp_path / "cache"))
    return Path(shutil.copytree(of_this_release, tmp_path / "old"))


def migrated(path):
    """What ``migrate_store`` does with the migrations of a later release, in the format of this one."""
    return migrate_store(path, migrations=LATER)


def later(path, **options):
    return SampleStore.open(path, migrations=LATER, **options)


def plain(rows):
    return json.loads(json.dumps(rows))


def schema_0(path):
    """A store from before the first migration: its catalog has no table at all."""
    layout = Layout(path)
    layout.make_folders()
    Catalog(layout.catalog, read_only=False, create=True).close()
    Description(uuid="12345678-1234-1234-1234-123456789abc").write(layout.description, sync_paths)
    return path


def test_the_store_of_schema_1_is_migrated_and_has_what_was_stored(first):
    with pytest.raises(StoreFormatError, match=r"schema 1 .*molbuffer migrate"):
        SampleStore.open(first, read_only=True)
    receipt = migrate_store(first)
    assert (receipt.old_schema, receipt.schema, receipt.format) == (1, len(MIGRATIONS), 1)
    assert receipt.applied == tuple(migration.name for migration in MIGRATIONS[1:])
    assert [finding for finding in verify_store(first).findings if finding.severity == "error"] == []
    with SampleStore.open(first) as store:
        assert store.uuid == SAID["uuid"]
        assert plain(store.query(HISTORY).to_dicts()) == SAID["history"]
        rows = {table: store.query(f"SELECT count(*) FROM {table}").item() for table in TABLES}
        assert rows == SAID["rows"] | {"migrations": len(MIGRATIONS)}
        assert store.query("SELECT sum(readmitted) FROM builds").item() == store.query("FROM readmitted").height == 0
        assert {build: arrays(store, build) for build in SAID["arrays"]} == SAID["arrays"]
        kept = [policy["sha256"] for policy in SAID["policies"] if policy["weights_kept"]]
        assert store.policies.kept() == kept
        assert (store.latest_checkpoint("run-1").folder / "state.json").read_bytes() == b'{"iteration": 1}'
        before = store.at(SAID["before"]["version"])
        # Views of later releases answer, also as of a version that lacked what they read.
        for opened in (store, before):
            assert set(opened.query("SELECT file, file_line, file_id FROM sample_history").rows()) == {(None,) * 3}
            assert opened.query("FROM objective_components").height == opened.query("FROM molecule_scores").height == 0
            assert opened.best_molecules(1)["reward"].to_list() == [max(r["reward"] or 0 for r in SAID["history"])]
        assert plain(before.query(HISTORY).to_dicts()) == SAID["before"]["history"]
        # It is used, not only looked at.
        store.start_run(make_run("run-3"))
        store.commit(Commit([make_build(5, run_id="run-3")]))
        store.maintenance.compact()
        store.maintenance.vacuum(grace=timedelta(0))
        assert (
            plain(store.query(HISTORY.replace("ORDER", "WHERE run_id <> 'run-3' ORDER")).to_dicts()) == SAID["history"]
        )
    assert [finding for finding in verify_store(first).findings if finding.severity == "error"] == []


def test_a_run_can_be_trained_on_the_store_of_format_1(old, tmp_path):
    with SampleStore.open(old, read_only=True) as store:
        assert_trainable(store, tmp_path)


def assert_trainable(store, tmp_path, snapshot=None):
    cache = DecodedCache(store.uuid, store.path / "arrays", folder=tmp_path / "decoded")
    index = store.index(IndexScope(objective_sha256=OBJECTIVE, snapshot=snapshot), cache=cache)
    history = SAID["history"] if snapshot is None else SAID["before"]["history"]
    rewarded = {(row["build_id"], row["row"]): row["reward"] for row in history if row["reward"] is not None}
    ids = index.row_ids(np.arange(len(index)))
    assert {(row.build_id, row.row): reward for row, reward in zip(ids, index.rewards, strict=True)} == rewarded
    drawn = TopK(k=5).draw(index, 5, np.random.default_rng(0), np.zeros(len(index), np.int32))
    gathered = index.gather(drawn)
    for place, row in enumerate(index.row_ids(drawn)):
        stored = SAID["arrays"][row.build_id]
        length = stored["lengths"][row.row]
        assert gathered.tokens[place, :length].tolist() == stored["tokens"][row.row][:length]
        assert gathered.log_probs[place, :length].tolist() == stored["log_probs"][row.row][:length]


def test_a_migrated_store_has_all_it_had_and_what_the_migrations_add(old, tmp_path):
    receipt = migrated(old)
    ours = len(MIGRATIONS)
    assert (receipt.old_schema, receipt.schema, receipt.applied) == (ours, ours + 2, ("charges", "notes"))
    with later(old) as store:
        assert plain(store.query(HISTORY).to_dicts()) == SAID["history"]
        assert {build: arrays(store, build) for build in SAID["arrays"]} == SAID["arrays"]
        recorded = store.read_arrow("SELECT number, name FROM {migrations} ORDER BY number").to_pylist()
        assert [(row["number"], row["name"]) for row in recorded] == [(each.number, each.name) for each in LATER]
        assert store.read_arrow(f"FROM {store._open.catalog.table('notes')}")["note"].to_pylist() == ["first"]
        assert_trainable(store, tmp_path)
        store.commit(Commit([make_build(7)]))
        assert_new_columns(store, None, builds=5)
        store.maintenance.compact()
        assert_new_columns(store, None, builds=5)
    repeated = migrated(old)
    assert (repeated.applied, repeated.backup) == ((), None)


def assert_new_columns(store, snapshot, builds):
    """In the SQL of users and in ours, as of a version, too."""
    sql = "SELECT remark, weight, count(*) AS n, min(charge) AS low, max(charge) AS high FROM {samples} AS samples "
    sql += "JOIN {builds} AS builds ON builds.build_id = samples.build_id GROUP BY ALL"
    wanted = {"remark": "it's old", "weight": None, "n": 6 * builds, "low": 7, "high": 7}
    assert store.read_arrow(sql, snapshot=snapshot).to_pylist() == [wanted]
    plain_sql = sql.replace("{samples}", "samples").replace("{builds}", "builds")
    assert store.query(plain_sql, snapshot=snapshot).to_dicts() == [wanted]


def test_versions_from_before_a_migration_read_as_if_it_had_been_there(old, tmp_path):
    migrated(old)
    version = SAID["before"]["version"]
    with later(old) as store:
        assert_new_columns(store, version, builds=3)
        assert plain(store.query(HISTORY, snapshot=version).to_dicts()) == SAID["before"]["history"]
        assert_trainable(store, tmp_path, version)
        # A table of its own is empty there.
        assert store.read_arrow(f"FROM {store._open.catalog.table('notes', version)} AS notes").num_rows == 0
        pinned = store.at(version)
        assert_new_columns(pinned, None, builds=3)
        assert len(pinned.receipts("run-1")) == 3
        assert pinned.matching_rows("kept").num_rows == sum(row["kept"] for row in SAID["before"]["history"])
        store.maintenance.compact()
        assert_new_columns(store, version, builds=3)


def test_a_migration_that_fails_leaves_the_one_before_it(old):
    broken = Migration(
        len(LATER), "broken", ("ALTER TABLE {samples} ADD COLUMN mass DOUBLE", "DROP TABLE no_such_table")
    )
    with pytest.raises(StoreError, match="no_such_table"):
        migrate_store(old, migrations=[*LATER[:-1], broken])
    with SampleStore.open(old, migrations=LATER[:-1]) as store:
        assert_new_columns(store, None, builds=4)
        with pytest.raises(StoreError, match="mass"):
            store.read_arrow("SELECT mass FROM {samples}")
    # A release without the fault goes on from there.
    assert migrated(old).applied == ("notes",)


@pytest.mark.parametrize("read_only", [False, True])
def test_an_older_schema_is_refused_with_the_command_that_migrates_it(tmp_path, read_only):
    store = schema_0(tmp_path / "an old store")
    with pytest.raises(StoreFormatError, match=f"schema 0.*`molbuffer migrate --store '{store}'`"):
        SampleStore.open(store, read_only=read_only)
    with pytest.raises(StoreFormatError, match="schema 0"):
        SampleStore.open_or_create(store)
    report = verify_store(store)
    assert any("molbuffer migrate --store" in finding.message for finding in report.errors)
    assert report.unchecked
    assert migrate_store(store).applied == tuple(migration.name for migration in MIGRATIONS)
    with SampleStore.open(store, read_only=read_only) as opened:
        assert len(opened.query("FROM sample_history")) == 0


def test_an_older_format_is_migrated_to_the_newest(old):
    receipt = migrate_store(old, newest_format=LATER_FORMAT)
    assert (receipt.old_format, receipt.format, receipt.applied) == (1, LATER_FORMAT, ())
    assert receipt.backup.joinpath("store.toml").read_text() == (DATA / "store-format-1" / "store.toml").read_text()
    description = Description.read(Layout(old).description, newest=LATER_FORMAT)
    assert (description.format, description.uuid) == (LATER_FORMAT, SAID["uuid"])
    with pytest.raises(StoreFormatError, match="format 2"):
        SampleStore.open(old)


@pytest.mark.parametrize("newer", ["schema", "format"])
def test_a_newer_store_is_refused_wherever_it_is_asked_for(old, newer):
    if newer == "schema":
        migrated(old)
    else:
        migrate_store(old, newest_format=LATER_FORMAT)
    for read_only in (False, True):
        with pytest.raises(StoreFormatError, match=rf"{newer} ({len(LATER)}|{LATER_FORMAT})\b"):
            SampleStore.open(old, read_only=read_only)
    with pytest.raises(StoreFormatError, match="update molbuffer"):
        migrate_store(old)
    (error,) = verify_store(old).errors
    assert "update molbuffer" in error.message


# In between, nothing changes but the names of what is on the disk already.
@pytest.mark.parametrize("step", [1, 3, 4, 5], ids=lambda step: STEPS[step - 1])
def test_killed_anywhere_a_store_is_old_or_new_and_is_migrated_by_the_next(old, step, process_of):
    process = process_of(PROCESS, old, step)
    output, errors = process.communicate(timeout=600)
    assert (output, process.returncode) == ("dying\n", -signal.SIGKILL), errors
    if step <= 3:
        SampleStore.open(old, read_only=True).close()
    receipt = migrate_store(old, migrations=LATER, newest_format=LATER_FORMAT)
    assert receipt.applied == {1: ("charges", "notes"), 3: ("charges", "notes"), 4: ("notes",), 5: ()}[step]
    with closing(Catalog(Layout(old).catalog, read_only=True)) as catalog:
        numbers = catalog.read("SELECT number FROM {migrations} ORDER BY number")["number"].to_pylist()
        assert numbers == [migration.number for migration in LATER]
        assert catalog.read("SELECT count(*) AS n FROM {samples} WHERE charge = 7")["n"].to_pylist() == [24]
    assert Description.read(Layout(old).description, newest=LATER_FORMAT).format == LATER_FORMAT
    # Nothing is left of what was cut off.
    assert [path.name for path in old.glob("backups/.*")] == []


def test_two_processes_that_migrate_at_once_take_turns(old, process_of):
    processes = [process_of(PROCESS, old) for _ in range(2)]
    said = [process.communicate(timeout=600) for process in processes]
    assert sorted(output for output, _ in said) == ["applied\n", "applied charges notes\n"], said
    assert len(list((old / "backups").iterdir())) == 1


def test_the_way_back_is_that_of_the_instructions(old):
    receipt = migrated(old)
    with later(old) as store:
        # Whatever maintenance does afterwards.
        store.finish_run("run-2", RunStatus.FINISHED)
        store.maintenance.compact()
        store.maintenance.expire(timedelta(0))
        removed = store.maintenance.vacuum(grace=timedelta(0)).removed
        assert [each for each in removed if each.path in receipt.backup.joinpath("files.txt").read_text()] == []
    for name in ("catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm", "store.toml"):
        assert name in (receipt.backup / "how-to-go-back.txt").read_text()
        (old / name).unlink(missing_ok=True)
    for name in ("catalog.sqlite", "store.toml"):
        shutil.copy(receipt.backup / name, old)
    assert verify_store(old).errors == ()
    with SampleStore.open(old) as store:
        assert plain(store.query(HISTORY).to_dicts()) == SAID["history"]
        assert plain(store.query(HISTORY, snapshot=SAID["before"]["version"]).to_dicts()) == SAID["before"]["history"]
        store.commit(Commit([make_build(9)]))
    assert migrated(old).applied == ("charges", "notes")


def test_a_vacuum_takes_what_a_backup_needed_once_the_backup_is_gone(old):
    backup = migrated(old).backup
    with later(old) as store:
        store.maintenance.compact()
        kept = set(backup.joinpath("files.txt").read_text().split())
        shutil.rmtree(old / "backups")
        store.maintenance.expire(timedelta(0))
        removed = {each.path for each in store.maintenance.vacuum(grace=timedelta(0)).removed}
        assert removed & kept
        assert plain(store.query(HISTORY).to_dicts()) == SAID["history"]


def test_a_backup_is_for_its_owner_only_and_one_file_without_a_log(old):
    backup = migrated(old).backup
    assert {path.name for path in backup.iterdir()} == {
        "catalog.sqlite",
        "store.toml",
        "files.txt",
        "how-to-go-back.txt",
    }
    assert {path.stat().st_mode & 0o777 for path in backup.iterdir()} == {0o600}
    assert backup.stat().st_mode & 0o777 == 0o700
    with closing(sqlite3.connect(backup / "catalog.sqlite")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_damaged_catalog_is_not_migrated(old):
    catalog = old / "catalog.sqlite"
    with closing(sqlite3.connect(catalog)) as connection:
        # A table that nothing reads before the backup does.
        sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'ducklake_files_scheduled_for_deletion'"
        start = 4096 * (connection.execute(sql).fetchone()[0] - 1)
    content = bytearray(catalog.read_bytes())
    content[start : start + 4096] = b"\xff" * 4096
    catalog.write_bytes(content)
    with pytest.raises(CatalogDamagedError, match="could not be backed up"):
        migrated(old)
    assert not (old / "backups").exists()


def test_an_archive_of_an_older_schema_is_merged_as_if_it_were_new(old, tmp_path):
    with SampleStore.open(old) as store:
        store.archive(tmp_path / "archive")
        store.archive(tmp_path / "archive.tar.gz")
    for attempt in (migrate_store, migrated):
        with pytest.raises(StoreNotFoundError):
            attempt(tmp_path / "archive")
    # It is read as it is: what the later schema has more is there as older rows of a store have it.
    with later(tmp_path / "archive") as archive:
        assert_new_columns(archive, None, builds=4)
        assert plain(archive.query(HISTORY).to_dicts()) == SAID["history"]
    SampleStore.create(tmp_path / "new").close()
    migrated(tmp_path / "new")
    for name, rows in (("archive", 24), ("archive.tar.gz", 0)):
        with trusted_archive(tmp_path / name, migrations=LATER) as (archive, _), later(tmp_path / "new") as store:
            assert store.merge(archive).rows == rows
            assert_new_columns(store, None, builds=4)
            assert plain(store.query(HISTORY).to_dicts()) == SAID["history"]
            for build, stored in SAID["arrays"].items():
                assert arrays(store, build)["log_probs"] == stored["log_probs"]
    assert verify_files(tmp_path / "archive").rows == 24


def test_a_catalog_of_another_ducklake_is_refused(old):
    with closing(sqlite3.connect(old / "catalog.sqlite", isolation_level=None)) as connection:
        connection.execute("UPDATE ducklake_metadata SET value = '0.4' WHERE key = 'version'")
    with pytest.raises(StoreFormatError, match="DuckLake"):
        SampleStore.open(old)


def test_migrations_are_numbered_in_a_row_and_name_their_tables():
    assert [migration.number for migration in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))
    for migration in MIGRATIONS:
        made = {
            statement.split("{")[1].split("}")[0] for statement in migration.statements if "CREATE TABLE" in statement
        }
        assert made == set(migration.adds)
