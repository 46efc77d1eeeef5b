"""A build that a process knows not to be there is not: whoever added it, however, and whatever happened meanwhile."""

from __future__ import annotations

from datetime import timedelta

import pytest

from molbuffer.storage import SampleStore
from molbuffer.storage.catalog import Addition, Transaction
from molbuffer.storage.commits import known_builds
from molbuffer.storage.commits.known_builds import KnownBuilds
from molbuffer.storage.commits.turns import BuildKey
from molbuffer.storage.records import Commit


def addition(snapshot, *, adds=True, extra='{"builds": ["b"]}', created=0):
    return Addition(snapshot, created, adds, extra)


@pytest.fixture
def look_ups(monkeypatch):
    """The SQL of the look-ups of builds that commits make."""
    read, said = Transaction.read, []

    def note(transaction, sql, *given, **tables):
        if "{builds}" in sql:
            said.append(sql)
        return read(transaction, sql, *given, **tables)

    monkeypatch.setattr(Transaction, "read", note)
    return said


def repeated(store, *builds):
    return [build.repeated for build in store.commit(Commit(list(builds))).builds]


def test_a_run_is_asked_for_once(started, make, look_ups):
    assert [repeated(started, make.make_build(number, seed=number)) for number in range(3, 7)] == [[False]] * 4
    assert len(look_ups) == 1
    # An earlier iteration was not asked for, and what is known is there is looked up.
    assert repeated(started, make.make_build(1, seed=1)) == [False]
    assert len(look_ups) == 2
    assert repeated(started, make.make_build(5, seed=5), make.make_build(8, seed=8)) == [True, False]
    assert len(look_ups) == 3


def test_what_another_process_commits_is_known(started, make, look_ups):
    with SampleStore.open(started.path) as other:
        for number in range(4):
            assert repeated(started if number % 2 else other, make.make_build(number, seed=number)) == [False]
        for store in (started, other):
            assert repeated(store, *(make.make_build(number, seed=number) for number in range(4))) == [True] * 4
    assert started.query("SELECT count(*) FROM sample_history").item() == 24


def test_what_a_merge_adds_is_known(started, six_commits, make, tmp_path):
    with SampleStore.open(six_commits, read_only=True) as filled:
        filled.archive(tmp_path / "archive")
    assert repeated(started, make.make_build(0, seed=0)) == [False]
    with SampleStore.open(tmp_path / "archive") as archive:
        started.merge(archive)
    assert repeated(started, *(make.make_build(number, seed=number) for number in range(7))) == [True] * 6 + [False]
    assert started.query("SELECT count(*), count(DISTINCT build_id) FROM sample_history").row(0) == (42, 7)


def test_what_was_added_by_snapshots_that_have_expired_is_known(started, make):
    assert repeated(started, make.make_build(0, seed=0)) == [False]
    with SampleStore.open(started.path) as other:
        assert repeated(other, make.make_build(1, seed=1)) == [False]
        other.maintenance.expire(timedelta(0), keep=1)
    assert repeated(started, make.make_build(1, seed=1)) == [True]


def test_a_catalog_that_was_set_back_is_asked_again(started, make):
    known = KnownBuilds(started._open.writable())
    transact = started._open.writable().transact
    key = BuildKey(make.make_build(0, seed=0).build_id, "run-1", 0)
    look = lambda: transact("test", "", {}, lambda transaction: known.among(transaction, [key]))[0]  # noqa: E731
    assert look() == []
    assert repeated(started, make.make_build(0, seed=0)) == [False]
    # As if the newest snapshot that is known had been another one of the same number.
    known._newest = known._newest._replace(snapshot=started.snapshot())
    assert look() == [key]
    # As if the catalog had fewer snapshots than are known.
    known._newest = known._newest._replace(snapshot=started.snapshot() + 5)
    known._ids.clear()
    assert look() == [key]


def test_more_builds_or_snapshots_than_are_kept_are_looked_up(started, make, look_ups, monkeypatch):
    monkeypatch.setattr(known_builds, "MOST_KNOWN", 1)
    for number in range(4):
        assert repeated(started, make.make_build(number, seed=number)) == [False]
    assert len(look_ups) == 2
    monkeypatch.setattr(known_builds, "MOST_KNOWN", 100)
    monkeypatch.setattr(known_builds, "MOST_SNAPSHOTS", 0)
    assert repeated(started, make.make_build(3, seed=3)) == [True]
    assert repeated(started, make.make_build(4, seed=4)) == [False]


@pytest.mark.parametrize(
    ("additions", "found"),
    [
        ([], None),
        ([addition(3)], set()),
        ([addition(3), addition(4, extra='{"builds": ["x", "y"]}'), addition(5, adds=False, extra=None)], {"x", "y"}),
        ([addition(3, created=1), addition(4)], None),
        ([addition(4), addition(5)], None),
        ([addition(3), addition(5)], None),
        ([addition(3), addition(4, extra=None)], None),
        ([addition(3), addition(4, adds=None, extra="[]")], None),
        ([addition(3), addition(4, extra='{"builds": 3}')], None),
        ([addition(3), addition(4, adds=False, extra='{"maintenance": "compact"}')], set()),
    ],
)
def test_only_what_every_snapshot_names_is_taken_from_them(additions, found):
    newest = additions[-1].snapshot if additions else 3
    assert known_builds._added(addition(3), additions, newest) == found
    assert known_builds._added(None, additions, newest) is None
