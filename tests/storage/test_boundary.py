"""What fails beneath the store leaves it as an error of the store, and a store that is gone is not made again."""

import errno
import os
import resource
import shutil
from contextlib import contextmanager

import pytest

from molbuffer.storage import SampleStore
from molbuffer.storage.errors import StoreError, StoreMovedError
from molbuffer.storage.history.index import IndexScope
from molbuffer.storage.records import Commit, PolicyVersion, Reward, RunStatus, Score

USES = {
    "commit": lambda store, make: store.commit(Commit([make.make_build(9)])),
    "record_scores": lambda store, make: store.record_scores([Score("N", "docking", "v1", -7.5)]),
    "find_scores": lambda store, make: store.find_scores("docking", "v1", ["C0"]),
    "add_rewards": lambda store, make: store.add_rewards(make.make_build(0).build_id, [Reward(0, "o", 0.5)], "run-1"),
    "add_rewards_of_builds": lambda store, make: store.add_rewards_of_builds(
        {make.make_build(0).build_id: [Reward(0, "o", 0.5)]}, "run-1"
    ),
    "start_run": lambda store, make: store.start_run(make.make_run("run-9")),
    "finish_run": lambda store, make: store.finish_run("run-1", RunStatus.FINISHED),
    "run": lambda store, make: store.run("run-1"),
    "receipts": lambda store, make: store.receipts("run-1"),
    "build": lambda store, make: store.build(make.make_build(0).build_id),
    "snapshot": lambda store, make: store.snapshot(),
    "snapshots": lambda store, make: store.snapshots(),
    "query": lambda store, make: store.query("FROM samples"),
    "read_batches": lambda store, make: list(store.read_batches("FROM {samples}")),
    "index": lambda store, make: store.index(IndexScope(objective_sha256=make.OBJECTIVE)),
    "archive": lambda store, make: store.archive(store.path.with_name("archive")),
    "export": lambda store, make: store.export(store.path.with_name("export.csv")),
    "quarantine": lambda store, make: store.quarantine({"segment": "a test"}),
    "add a policy": lambda store, make: store.policies.add({"config.json": b"{}"}),
    "claim": lambda store, make: store.claims.claim("docking", "v1", ["C"], "me", 60),
    "compact": lambda store, make: store.maintenance.compact(),
    "back_up": lambda store, make: store.maintenance.back_up(),
    "vacuum": lambda store, make: store.maintenance.vacuum(),
    "commit a policy": lambda store, make: store.commit(Commit(policies=[PolicyVersion("p", "gru")])),
}


def moved(path):
    path.rename(path.with_name("moved"))


def replaced(path):
    moved(path)
    shutil.copytree(path.with_name("moved"), path)


@pytest.mark.parametrize("gone", [moved, shutil.rmtree, replaced])
def test_a_store_that_was_moved_while_open_says_so_and_is_not_made_again(filled, make, gone):
    gone(filled.path)
    there = set(filled.path.rglob("*"))
    for name, use in USES.items():
        if gone is replaced and name == "claim":
            # Claims are kept beside the catalog, and belong to whoever uses that folder.
            continue
        with pytest.raises(StoreMovedError):
            use(filled, make)
        assert set(filled.path.rglob("*")) == there, name
        assert filled.path.exists() == (gone is replaced), name
    filled.close()


def spoil_tables(path):
    for file in (path / "tables" / "main").rglob("*.parquet"):
        file.write_bytes(b"PAR1 garbage PAR1")


def lose_files(path):
    for folder in ("arrays", "policies", "checkpoints", "tables"):
        shutil.rmtree(path / folder)


def files_for_folders(path):
    lose_files(path)
    for folder in ("arrays", "policies", "checkpoints", "tables"):
        (path / folder).write_text("a file")


def spoil_catalog(path):
    with open(path / "catalog.sqlite", "r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 100_000)
    for log in path.glob("catalog.sqlite-wal"):
        os.truncate(log, 0)


@pytest.mark.parametrize("damage", [spoil_tables, lose_files, files_for_folders, spoil_catalog])
def test_what_fails_beneath_an_open_store_is_an_error_of_the_store(filled, make, damage):
    damage(filled.path)
    failed = 0
    for use in USES.values():
        try:
            use(filled, make)
        except StoreError:
            failed += 1
    assert failed >= 5


@contextmanager
def no_more_files():
    """Lets this process open no further file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_too_many_open_files_are_told_as_that(filled, make):
    with no_more_files(), pytest.raises(StoreError) as told:
        filled.commit(Commit([make.make_build(9)]))
    assert "ulimit" in str(told.value)
    assert not filled.commit(Commit([make.make_build(9)])).builds[0].repeated


def test_errors_of_the_caller_stay_what_they_are(filled, make):
    with pytest.raises(ValueError, match="plain names"):
        filled.policies.add({"../config.json": b""})
    with pytest.raises(KeyError), filled.recorded_run(make.make_run("run-2")):
        raise KeyError("of the caller")
    with pytest.raises(OSError, match="of the caller") as told, filled.recorded_run(make.make_run("run-3")):
        raise OSError(errno.ENOENT, "of the caller")
    assert not isinstance(told.value, StoreError)


def test_opening_makes_no_folder_and_says_what_there_is_not(tmp_path):
    for read_only in (False, True):
        with pytest.raises(StoreError):
            SampleStore.open(tmp_path / "nothing", read_only=read_only)
    assert not (tmp_path / "nothing").exists()
