"""Commits that wait for one another are made together, each once, and none depends on the others."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from molbuffer.storage import SampleStore
from molbuffer.storage.commits import tables
from molbuffer.storage.commits.commit import WAITING
from molbuffer.storage.commits.turns import Answer, CommitRequest, Outcome, Turns
from molbuffer.storage.errors import StoreBusyError, StoreWriteError
from molbuffer.storage.records import Commit, Consumed, PolicyVersion
from molbuffer.storage.stored import CommitReceipt


def requests(store: SampleStore) -> list[Path]:
    return sorted((store.path / WAITING).glob("*.request"))


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < end, "what was waited for has not come"
        time.sleep(0.005)


def together(
    store: SampleStore, commits: Sequence[Commit], meanwhile: Callable[[Turns], object] = lambda turns: None
) -> list[CommitReceipt]:
    """Commits that are all ready before the first is made; ``meanwhile`` is done in the turn before theirs."""
    (store.path / WAITING).mkdir(exist_ok=True)
    turns = Turns(store.path / WAITING, 600)
    found: list[Future[CommitReceipt]] = []
    with ThreadPoolExecutor(len(commits)) as pool:
        with turns.turn(None) as answer:
            assert answer is None
            for number, commit in enumerate(commits, start=1):
                found.append(pool.submit(store.commit, commit))
                until(lambda number=number: len(requests(store)) == number)
            meanwhile(turns)
        return [each.result() for each in found]


def left(store: SampleStore) -> list[str]:
    return sorted(path.name for path in (store.path / WAITING).iterdir())


def rows_of(store: SampleStore) -> dict[str, int]:
    return dict(store.query("SELECT build_id, count(*) FROM sample_history GROUP BY ALL").rows())


def test_commits_that_wait_share_a_snapshot(started, make):
    builds = [make.make_build(number, seed=number) for number in range(4)]
    versions = [PolicyVersion("policy-1", "gru", run_id="run-1", iteration=number) for number in range(4)]
    commits = [Commit([build], policies=[version]) for build, version in zip(builds, versions, strict=True)]
    before = started.snapshot()
    receipts = together(started, commits)
    # The first in its turn takes what the others have ready.
    assert {receipt.snapshot for receipt in receipts} == {before + 1} == {started.snapshot()}
    for build, receipt in zip(builds, receipts, strict=True):
        (of_build,) = receipt.builds
        assert (of_build.build_id, of_build.repeated, of_build.drawn) == (build.build_id, False, 6)
        assert started.build(build.build_id).samples.raw == build.samples.raw
    assert rows_of(started) == {build.build_id: 6 for build in builds}
    assert started.read_arrow("SELECT count(*) AS n FROM {policies}")["n"][0].as_py() == 1
    said = started.snapshots()[-1]
    assert said.message == "1 builds, 1 policies"
    assert sorted(said.extra["builds"]) == sorted(build.build_id for build in builds)
    assert (said.extra["samples"], said.extra["iterations"]) == (24, [0, 1, 2, 3])
    assert left(started) == ["turn.lock"]


def test_a_commit_without_anybody_before_it_writes_no_request(started, make, monkeypatch):
    monkeypatch.setattr(CommitRequest, "write", lambda *given: pytest.fail("nobody is there to read it"))
    started.commit(Commit([make.make_build()]))


def test_r3_a_build_that_several_wait_with_counts_once(started, make):
    build = make.make_build()
    receipts = together(started, [Commit([build])] * 3)
    assert sorted(receipt.builds[0].repeated for receipt in receipts) == [False, True, True]
    assert {receipt.builds[0].snapshot for receipt in receipts} == {started.snapshot()}
    assert rows_of(started) == {build.build_id: 6}


def test_what_only_its_own_process_can_insert_waits_for_its_turn(started, make):
    first = started.commit(Commit([make.make_build(9)])).builds[0]
    turns = Turns(started.path / WAITING, 600)
    with ThreadPoolExecutor(1) as pool:
        with turns.turn(None):
            consumed = Commit(run_id="run-1", consumed=[Consumed(first.build_id, [0], 0)])
            waits = pool.submit(started.commit, consumed)
            time.sleep(0.1)
            assert not waits.done()
            assert requests(started) == []
        waits.result()
    assert started.consumed("run-1") == [Consumed(first.build_id, (0,), 0)]


def test_who_was_left_without_an_answer_commits_by_itself(started, make):
    """The process before was killed after it had taken the requests, and before it committed."""
    builds = [make.make_build(number) for number in range(2)]
    receipts = together(started, [Commit([build]) for build in builds], lambda turns: list(turns.waiting()))
    assert [receipt.builds[0].repeated for receipt in receipts] == [False, False]
    assert rows_of(started) == {build.build_id: 6 for build in builds}


def test_r3_what_was_committed_by_a_process_that_died_is_found(started, make):
    """It was killed between the commit and the answers."""
    build = make.make_build()

    def commit_and_die(turns: Turns) -> None:
        (waiting,) = turns.waiting()
        columns = waiting.request.tables
        started._open.writable().transact(
            "molbuffer", "", {}, lambda transaction: [transaction.insert(*each) for each in columns.items()]
        )

    (receipt,) = together(started, [Commit([build])], commit_and_die)
    assert receipt.builds[0].repeated
    assert rows_of(started) == {build.build_id: 6}


def test_a_transaction_that_fails_is_made_one_by_one(started, make, monkeypatch):
    united = tables.united

    def full(parts):
        if len(parts) > 1:
            raise StoreWriteError("the disk is full")
        return united(parts)

    monkeypatch.setattr(tables, "united", full)
    builds = [make.make_build(number) for number in range(3)]
    receipts = together(started, [Commit([build]) for build in builds])
    assert len({receipt.snapshot for receipt in receipts}) == 3
    assert rows_of(started) == {build.build_id: 6 for build in builds}
    assert left(started) == ["turn.lock"]


def test_arrays_that_a_vacuum_took_from_a_waiting_commit_are_written_again(started, make):
    builds = [make.make_build(number) for number in range(2)]

    def lose(turns: Turns) -> None:
        for segment in (started.path / "arrays").iterdir():
            segment.rename(started.path.parent / segment.name)

    receipts = together(started, [Commit([build]) for build in builds], lose)
    assert [receipt.builds[0].repeated for receipt in receipts] == [False, False]
    assert [len(started.build(build.build_id).samples) for build in builds] == [6, 6]


def test_requests_of_dead_processes_and_of_nobody_are_removed(started, make):
    started.commit(Commit([make.make_build(0)]))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    folder = started.path / WAITING
    request = CommitRequest([], {}, [], "", {"runs": [], "iterations": [], "builds": [], "samples": 0})
    for name, process_id in {"1": dead.pid, "2": os.getpid()}.items():
        with (folder / f"{name}.request").open("wb") as file:
            CommitRequest(**(vars(request) | {"process_id": process_id})).write(file)
    (folder / "3.request").write_bytes(b"\x00 torn")
    for name in ("4.answer", "5.aside"):
        (folder / name).touch()
        os.utime(folder / name, (0, 0))
    taken = list(Turns(folder, 600).waiting())
    assert [each.request.process_id for each in taken] == [os.getpid()]
    taken[0].answer(Answer(Outcome.ALONE))
    assert left(started) == ["2.answer", "turn.lock"]


def test_who_waits_too_long_withdraws(started, make):
    started.commit(Commit([make.make_build(0)]))
    folder = started.path / WAITING
    request = CommitRequest([], {}, [], "", {})
    with (
        Turns(folder, 600).turn(None),
        pytest.raises(StoreBusyError, match=r"turn\.lock was held by"),
        Turns(folder, 0.05).turn(request),
    ):
        pytest.fail("two had the turn")
    assert left(started) == ["turn.lock"]


def test_a_folder_that_cannot_be_made_is_done_without(started, make, monkeypatch):
    monkeypatch.setattr(Turns, "__init__", lambda *given: (_ for _ in ()).throw(PermissionError("read-only")))
    build = make.make_build()
    assert not started.commit(Commit([build])).builds[0].repeated
    assert rows_of(started) == {build.build_id: 6}
