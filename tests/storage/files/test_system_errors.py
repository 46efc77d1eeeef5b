"""What the system refuses is told as what it is, whoever says so, and with what its user can do."""

import errno
import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from molbuffer.storage.backends import SqliteBackend, not_committed
from molbuffer.storage.errors import CatalogUnavailableError, StoreFileError, StoreWriteError
from molbuffer.storage.files import system_advice

ADVICE = {
    errno.EMFILE: "ulimit -n",
    errno.ENFILE: "file-max",
    errno.ENOSPC: "disk is full",
    errno.EDQUOT: "quota",
    errno.EROFS: "mounted read-only",
    errno.EACCES: "permissions",
    errno.EIO: "disk failed",
}


@pytest.mark.parametrize("number", ADVICE, ids=errno.errorcode.get)
def test_each_error_of_the_system_has_its_own_advice(number, store):
    words = os.strerror(number)
    for error in (OSError(number, words), duckdb.IOException(f'IO Error: Cannot open file "x": {words}')):
        told = str(not_committed(error, SqliteBackend(Path("x")), store.path))
        assert ADVICE[number] in told
        assert not any(other in told for kind, other in ADVICE.items() if kind != number)


def test_the_words_of_sqlite_are_known_and_other_errors_are_left_alone(store):
    assert "Free some space" in system_advice(duckdb.Error("database or disk is full"))
    assert system_advice(ValueError("a number")) is None
    assert system_advice(duckdb.Error("unable to open database file")) is None
    failed = not_committed(duckdb.Error("anything else"), SqliteBackend(Path("x")), store.path)
    assert isinstance(failed, CatalogUnavailableError)
    with most_files(0):
        assert "ulimit -n" in system_advice(duckdb.Error("unable to open database file"))


@contextmanager
def most_files(n):
    """Let this process open no file beyond those that are open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (n, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


SPARE = (0, 1, 2, 3, 5, 7, 9, 30)
COMMITS = (
    f"SPARE = {SPARE}"
    + """
import os, resource, sys
sys.path.insert(0, sys.argv[2])
import writer_process as make
from molbuffer.storage import SampleStore
from molbuffer.storage.errors import StoreError
from molbuffer.storage.records import Commit
with SampleStore.open(sys.argv[1]) as store:
    store.commit(Commit([make.make_build(100)]))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    for spare in SPARE:
        taken = []
        try:
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            for _ in range(spare):
                os.close(taken.pop())
        try:
            store.commit(Commit([make.make_build(101 + spare)]))
            told = "committed"
        except StoreError as error:
            told = f"{type(error).__name__} {error}"
        for descriptor in taken:
            os.close(descriptor)
        print(" ".join(told.split()))
    store.commit(Commit([make.make_build(200)]))
"""
)


def test_a_commit_without_files_left_names_the_limit_and_loses_nothing(filled):
    command = [sys.executable, "-c", COMMITS, str(filled.path), str(Path(__file__).parents[1])]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    refused = [line for line in told if line != "committed"]
    assert refused
    for line in refused:
        # Before the commit begins, the catalog cannot be opened.
        assert line.startswith((StoreWriteError.__name__, StoreFileError.__name__))
        assert "ulimit -n" in line
        assert "space" not in line
    committed = {receipt.iteration for receipt in filled.receipts("run-1")}
    assert committed == {
        *range(6),
        100,
        200,
        *(101 + spare for spare, line in zip(SPARE, told, strict=True) if line == "committed"),
    }
