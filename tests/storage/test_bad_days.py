"""What a full disk, a read-only disk, a clock that goes back and a busy catalog do: a clear error, and nothing lost."""

import errno
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest

import molbuffer.storage.catalog.migrate
import molbuffer.storage.commits.runs
from molbuffer.storage import SampleStore
from molbuffer.storage.backends.sqlite import SqliteClaims
from molbuffer.storage.catalog.migrate import migrate_store
from molbuffer.storage.catalog.schema.migrations import MIGRATIONS, Migration
from molbuffer.storage.errors import StoreFormatError, StorePlaceError, StoreWriteError
from molbuffer.storage.records import Checkpoint, Commit, RunStatus

DEVICE = "molbuffer-test-disk-"
"""What the disks of tests are called, before the number of the process that mounts them."""


@pytest.fixture(scope="module", autouse=True)
def _without_disks_of_killed_tests():
    """Unmounts what a test process that was killed has left: its folder could not be removed."""
    for line in Path("/proc/mounts").read_text().splitlines():
        device, folder = line.split()[:2]
        if device.startswith(DEVICE) and not Path("/proc", device.removeprefix(DEVICE)).exists():
            subprocess.run(["umount", "--lazy", folder.encode().decode("unicode_escape")], check=True)


def mount(*arguments):
    if subprocess.run(["mount", *map(str, arguments)], capture_output=True).returncode != 0:
        pytest.skip("mounting needs root: run the tests as root, in a container for instance")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own; call it with a size to make, or resize, it."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def resize(size):
        options = f"{'remount,' if os.path.ismount(folder) else ''}size={size}k"
        mount("-t", "tmpfs", "-o", options, f"{DEVICE}{os.getpid()}", folder)
        return folder

    yield resize
    if os.path.ismount(folder):
        subprocess.run(["umount", "--lazy", folder], check=True)


LATER = len(MIGRATIONS) + 1
"""The number of a migration of a later release."""


@pytest.fixture
def old(tmp_path):
    """A copy of the store of format 1, with the schema of this release."""
    path = Path(shutil.copytree(Path(__file__).parents[1] / "data" / "store-format-1", tmp_path / "old"))
    shutil.rmtree(migrate_store(path).backup.parent)
    return path


# Which of the writes of a commit finds the disk full depends on the size.
@pytest.mark.parametrize("size", [1500, 1700, 1900, 2100])
def test_a_full_disk_is_an_error_and_loses_nothing(small_disk, make, size):
    folder = small_disk(size)
    acknowledged = []
    with SampleStore.create(folder / "store") as store:
        store.start_run(make.make_run())
        with pytest.raises(StoreWriteError) as refused:
            for iteration in range(100):
                build = make.make_build(iteration, n=3000)
                state = Checkpoint("run-1", iteration, {"state": bytes(20_000)})
                acknowledged += store.commit(Commit([build], checkpoint=state)).builds
        assert refused.value.errno == errno.ENOSPC
        before = store.receipts("run-1")
        assert [receipt.build_id for receipt in before] == [receipt.build_id for receipt in acknowledged]
        small_disk(20 * size)
        assert not store.commit(Commit([build])).builds[0].repeated
    with SampleStore.open(folder / "store") as store:
        assert len(store.receipts("run-1")) == len(acknowledged) + 1
        for receipt in store.receipts("run-1"):
            assert len(store.build(receipt.build_id).samples) == 3000


def test_a_store_on_a_read_only_disk_says_what_to_do(small_disk, make):
    folder = small_disk(20_000)
    with SampleStore.create(folder / "store") as store:
        store.start_run(make.make_run())
        build = make.make_build()
        store.commit(Commit([build]))
    mount("-o", "remount,ro", folder)
    with pytest.raises(StoreWriteError) as refused:
        SampleStore.open(folder / "store")
    assert refused.value.errno == errno.EROFS
    with pytest.raises(StorePlaceError):
        SampleStore.open(folder / "store", read_only=True)
    mount("-o", "remount,rw", folder)
    with SampleStore.open(folder / "store") as store:
        assert store.build(build.build_id).samples.raw == build.samples.raw


def test_the_last_thing_that_happened_to_a_run_is_its_status_though_the_clock_goes_back(started, monkeypatch):
    monkeypatch.setattr(molbuffer.storage.commits.runs, "now", lambda: datetime(2020, 1, 1))
    started.finish_run("run-1", RunStatus.FAILED, "out of luck")
    monkeypatch.setattr(molbuffer.storage.commits.runs, "now", lambda: datetime(2020, 1, 1) - timedelta(days=1))
    started.finish_run("run-1", RunStatus.FINISHED)
    last = started.query("SELECT arg_max(status, created) FROM run_events").item()
    assert last == "finished"


BUSY = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
"""


def waited_for(catalog, action):
    """What an action returns that ends only once another program has given up its lock of a catalog."""
    pipe = subprocess.PIPE
    # Another process: closing a file here would drop the locks that DuckDB holds on it.
    process = subprocess.Popen([sys.executable, "-c", BUSY, str(catalog)], stdin=pipe, stdout=pipe, text=True)
    with process, ThreadPoolExecutor(1) as pool:
        assert process.stdout.readline() == "locked\n"
        acting = pool.submit(action)
        # However slow the machine is, it does not end before the lock does.
        with pytest.raises(TimeoutError):
            acting.result(timeout=0.5)
        process.communicate("go\n")
        return acting.result(timeout=600)


def test_a_catalog_that_another_program_has_locked_is_waited_for(started, make):
    catalog = started.path / "catalog.sqlite"
    receipt = waited_for(catalog, lambda: started.commit(Commit([make.make_build()])).builds[0])
    assert started.receipts("run-1") == [receipt]


def test_a_migration_on_a_full_disk_changes_nothing_and_is_done_later(small_disk, old):
    folder = small_disk(5_000)
    store = Path(shutil.copytree(old, folder / "store"))
    (folder / "filler").write_bytes(bytes(shutil.disk_usage(folder).free - 60_000))
    with pytest.raises(StoreWriteError) as refused:
        migrate_store(store, newest_format=2)
    assert refused.value.errno == errno.ENOSPC
    assert list(store.glob("backups/*")) == []
    with SampleStore.open(store, read_only=True) as opened:
        assert len(opened.query("FROM samples")) == 24
    (folder / "filler").unlink()
    assert migrate_store(store, newest_format=2).format == 2


def test_a_migration_on_a_read_only_disk_says_so(small_disk, old):
    folder = small_disk(5_000)
    store = Path(shutil.copytree(old, folder / "store"))
    mount("-o", "remount,ro", folder)
    with pytest.raises(StoreWriteError) as refused:
        migrate_store(store, newest_format=2)
    assert refused.value.errno == errno.EROFS
    mount("-o", "remount,rw", folder)
    assert migrate_store(store, newest_format=2).format == 2


def test_a_migration_waits_for_a_catalog_that_another_program_has_locked(old):
    later = Migration(LATER, "charges", ("ALTER TABLE {samples} ADD COLUMN charge INTEGER",))
    receipt = waited_for(old / "catalog.sqlite", lambda: migrate_store(old, migrations=[*MIGRATIONS, later]))
    assert receipt.applied == ("charges",)


def test_migrations_are_in_their_order_though_the_clock_goes_back(old, monkeypatch):
    monkeypatch.setattr(molbuffer.storage.catalog.migrate, "now", lambda: datetime(1999, 1, 1))
    later = Migration(LATER, "charges", ("ALTER TABLE {samples} ADD COLUMN charge INTEGER",))
    assert migrate_store(old, migrations=[*MIGRATIONS, later]).schema == LATER
    with pytest.raises(StoreFormatError, match=f"schema {LATER}"):
        SampleStore.open(old)


def test_a_kept_claim_is_had_again_after_its_time_though_the_clock_goes_back(tmp_path):
    instant = [1_000_000.0]
    claims = SqliteClaims(tmp_path / "claims.sqlite", clock=lambda: instant[0])
    assert claims.claim("docking", "v1", ["CC"], "first", 60.0) == {"CC"}
    instant[0] -= 1800.0
    assert claims.claim("docking", "v1", ["CC"], "second", 60.0) == set()
    instant[0] += 1861.0
    assert claims.claim("docking", "v1", ["CC"], "second", 60.0) == {"CC"}
