import os
import re
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pyarrow.parquet as pq
import pytest

from molbuffer.storage import SampleStore
from molbuffer.storage.backends.sqlite import file_system_of
from molbuffer.storage.catalog.catalog import Catalog
from molbuffer.storage.catalog.schema.migrations import MIGRATIONS
from molbuffer.storage.errors import (
    StoreBusyError,
    StoreError,
    StoreExistsError,
    StoreFormatError,
    StoreNotFoundError,
    StorePlaceError,
)
from molbuffer.storage.layout import Layout
from molbuffer.storage.opening import make_store
from molbuffer.storage.records import Commit, Score

_EMPTY_LOG = """import sqlite3, sys
print(*sqlite3.connect(sys.argv[1]).execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())"""


def test_open_or_create_makes_a_store_and_then_opens_it(tmp_path):
    with SampleStore.open_or_create(tmp_path / "new" / "store") as store:
        uuid = store.uuid
    with SampleStore.open_or_create(tmp_path / "new" / "store") as store:
        assert store.uuid == uuid
        assert store.path == tmp_path / "new" / "store"


def test_a_store_that_another_process_makes_at_that_moment_is_opened(tmp_path, monkeypatch):
    uuids = []

    def overtaken(*arguments):
        monkeypatch.undo()
        with SampleStore.create(tmp_path / "store") as quicker:
            uuids.append(quicker.uuid)
        return make_store(*arguments)

    monkeypatch.setattr("molbuffer.storage.store.make_store", overtaken)
    with SampleStore.open_or_create(tmp_path / "store") as store:
        assert [store.uuid] == uuids


def test_only_a_new_or_empty_folder_becomes_a_store(tmp_path, store):
    with pytest.raises(StoreExistsError, match=re.escape(str(store.path))):
        SampleStore.create(store.path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(StoreExistsError):
        SampleStore.open_or_create(tmp_path / "mine")
    (tmp_path / "empty").mkdir()
    SampleStore.create(tmp_path / "empty").close()


def test_a_path_with_a_backslash_holds_archives_and_stores_to_read_but_none_to_write(tmp_path, store, make):
    odd = tmp_path / "lab\\one"
    for path in (odd, odd / "inner"):
        with pytest.raises(StorePlaceError) as raised:
            SampleStore.create(path)
        assert str(path) in str(raised.value)
    assert not odd.exists()
    store.start_run(make.make_run())
    store.commit(Commit([make.make_build()]))
    odd.mkdir()
    store.archive(odd / "a.tar")
    store.archive(odd / "folder\\a")
    with SampleStore.open(odd / "folder\\a") as archived:
        assert len(archived.query("FROM samples")) == 6
    store.close()
    moved = store.path.rename(odd / "moved")
    with SampleStore.open(moved, read_only=True) as opened:
        assert len(opened.query("FROM samples")) == 6
    with pytest.raises(StorePlaceError):
        SampleStore.open(moved)


def test_a_creation_that_was_cut_off_is_finished_by_the_next(tmp_path, store):
    store.close()
    (store.path / "store.toml").unlink()
    with pytest.raises(StoreNotFoundError):
        SampleStore.open(store.path)
    with SampleStore.open_or_create(store.path) as opened:
        assert opened.query("SELECT number FROM migrations").rows() == [(each.number,) for each in MIGRATIONS]


def test_what_is_no_store_is_said_to_be_none(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "missing", tmp_path / "file"):
        for read_only in (False, True):
            with pytest.raises(StoreNotFoundError, match=re.escape(str(path))):
                SampleStore.open(path, read_only=read_only)
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("format = 1", "format = 2", "format 2"),
        ("format = 1", "format = 0", r"store\.toml"),
        ("format = 1", "", r"store\.toml"),
        ("format = 1", "format = [", r"store\.toml"),
        ("sqlite:catalog.sqlite", "postgres:host=db", "postgres:host=db"),
    ],
)
def test_a_newer_or_damaged_description_is_refused(store, old, new, message):
    store.close()
    description = store.path / "store.toml"
    description.write_text(description.read_text().replace(old, new))
    with pytest.raises(StoreFormatError, match=message):
        SampleStore.open(store.path)


def place(store):
    return Layout(store.path).catalog


def test_a_lock_held_by_another_is_named_when_it_takes_too_long(store):
    impatient = Catalog(place(store), read_only=False, lock_seconds=0.2)
    holder = Catalog(place(store), read_only=False)
    # Another thread, since a thread that holds the lock and waits for it would wait for ever.
    with holder.locked(), ThreadPoolExecutor(1) as pool, pytest.raises(StoreBusyError, match=r"commit\.lock"):
        pool.submit(impatient.transaction("a", "b", {}).__enter__).result()
    holder.close()
    impatient.close()


def test_files_are_their_owners_only(started, make):
    started.claims.claim("docking", "v1", ["CC"], "me", 60.0)
    started.commit(Commit([make.make_build()]))
    assert stat.S_IMODE(started.path.stat().st_mode) == 0o700
    for name in ("catalog.sqlite", "store.toml", "claims.sqlite", "commit.lock"):
        assert stat.S_IMODE((started.path / name).stat().st_mode) == 0o600, name


def test_a_store_in_a_folder_with_odd_characters(tmp_path, make):
    with SampleStore.create(tmp_path / "it's a {samples} store; -- ü%20?") as store:
        store.start_run(make.make_run())
        build = make.make_build()
        store.commit(Commit([build]))
        assert len(store.query("FROM sample_history")) == 6
        assert store.build(build.build_id).samples.raw == build.samples.raw


def test_the_file_system_of_a_path_is_that_of_the_deepest_mount(tmp_path):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "40 22 0:35 / /home rw,relatime shared:20 - nfs4 server:/home rw,vers=4.2\n"
        "41 40 8:2 / /home/me/local\\040disk rw - xfs /dev/sdb rw\n"
    )
    wanted = {"/home/me/store": "nfs4", "/home/me/local disk/store": "xfs", "/homes/store": "ext4", "/": "ext4"}
    assert {path: file_system_of(type(tmp_path)(path), mounts) for path in wanted} == wanted
    assert file_system_of(tmp_path, tmp_path / "missing") is None


def test_a_read_only_open_never_creates_or_changes_files(started, make):
    started.commit(Commit([make.make_build()]))
    started.close()
    before = {path: path.stat().st_mtime_ns for path in started.path.rglob("*") if path.is_file()}
    with SampleStore.open(started.path, read_only=True) as store:
        assert len(store.query("FROM samples")) == 6
    after = {path: path.stat().st_mtime_ns for path in started.path.rglob("*") if path.is_file()}
    changed = {path.name for path in after.keys() ^ before.keys()}
    assert changed <= {"catalog.sqlite-wal", "catalog.sqlite-shm"}
    assert all(after[path] == before[path] for path in before if path.suffix not in (".sqlite-wal", ".sqlite-shm"))


def test_a_fork_is_told_to_open_the_store_itself(started):
    reader, written = os.pipe()
    process_id = os.fork()
    if process_id == 0:
        try:
            started.snapshot()
            said = b"no error"
        except StoreError as error:
            said = str(error).encode()
        os.write(written, said)
        os._exit(0)
    os.waitpid(process_id, 0)
    assert b"spawn processes" in os.read(reader, 1000)
    os.close(reader)
    os.close(written)


def test_the_catalogs_log_stays_while_the_store_is_open_and_can_be_emptied(started):
    # Removed with each transaction, it made readers and writers wait for each other, up to a second.
    log = started.path / "catalog.sqlite-wal"
    before = log.stat().st_ino
    started.record_scores([Score("C", "docking", "v1", -7.0)])
    assert log.stat().st_ino == before
    command = [sys.executable, "-c", _EMPTY_LOG, str(started.path / "catalog.sqlite")]
    busy = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[0]
    assert (busy, log.stat().st_size) == ("0", 0), "what keeps the catalog open holds no lock"
    started.close()
    assert not log.exists()


def test_a_new_store_compresses_its_tables_so_that_scans_are_quick(started, make):
    started.commit(Commit([make.make_build(0)]))
    files = [pq.read_metadata(path) for path in started.path.glob("tables/main/samples/*.parquet")]
    codecs = {file.row_group(0).column(index).compression for file in files for index in range(file.num_columns)}
    assert codecs == {"LZ4"}
