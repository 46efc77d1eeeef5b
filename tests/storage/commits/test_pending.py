"""Rewards that are still to come: what a store says of them, and how they are completed."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import pytest

from molbuffer.storage import SampleStore
from molbuffer.storage.commits import scores
from molbuffer.storage.records import Commit, Reward, ScoreStatus, now

PENDING, FAILED = ScoreStatus.PENDING, ScoreStatus.FAILED


def of_status(make: ModuleType, status: ScoreStatus, *rows: int) -> list[Reward]:
    return [Reward(row, make.OBJECTIVE, None, status) for row in rows]


@pytest.fixture(scope="module")
def template(started_template: Path, tmp_path_factory: pytest.TempPathFactory, make: ModuleType) -> Path:
    """A closed store: two builds of run-1 and one of run-2, each with a good reward and three that are to come."""
    path = shutil.copytree(started_template, tmp_path_factory.mktemp("waiting") / "store")
    with SampleStore.open(path) as store:
        store.start_run(replace(make.make_run(), run_id="run-2"))
        for run_id, iteration in (("run-1", 0), ("run-1", 1), ("run-2", 0)):
            rewards = [Reward(0, make.OBJECTIVE, 0.5), *of_status(make, PENDING, 3, 4, 5)]
            store.commit(Commit([replace(make.make_build(iteration, rewards=rewards), run_id=run_id)]))
    return path


@pytest.fixture
def waiting(open_copy: Callable[[Path], SampleStore], template: Path) -> SampleStore:
    """A copy of it."""
    return open_copy(template)


def counted(store: SampleStore) -> dict[str, tuple[int, int, int]]:
    return {each.run_id: (each.rows, each.completed, each.failed) for each in store.count_pending()}


def test_rows_whose_reward_is_to_come_are_given_in_turns_of_the_runs(waiting: SampleStore, make: ModuleType) -> None:
    rows = waiting.pending_rows(most=100)
    assert [row.run_id for row in rows] == ["run-1", "run-2"] * 3 + ["run-1"] * 3
    assert {row.row for row in rows} == {3, 4, 5}
    assert [row.smiles for row in rows[:2]] == [waiting.build(rows[0].build_id).samples.smiles[3]] * 2
    assert rows == [*waiting.pending_rows(most=2), *rows[2:]]
    assert {row.run_id for row in waiting.pending_rows("run-2", most=100)} == {"run-2"}
    assert waiting.pending_rows(objectives=["another"], most=100) == []
    put_off = [rows[0].smiles]
    assert waiting.pending_rows(most=100, put_off=put_off) == [row for row in rows if row.smiles not in put_off]
    assert counted(waiting) == {"run-1": (6, 0, 0), "run-2": (3, 0, 0)}


def test_a_completed_row_waits_no_longer_and_a_failed_one_is_said_once(waiting: SampleStore, make: ModuleType) -> None:
    first = waiting.pending_rows("run-1", most=1)[0]
    done = [Reward(3, make.OBJECTIVE, 0.7), *of_status(make, FAILED, 4)]
    assert waiting.add_rewards(first.build_id, done, "run-1") == 2
    assert counted(waiting) == {"run-1": (4, 1, 1), "run-2": (3, 0, 0)}
    assert (first.build_id, 3) not in {(row.build_id, row.row) for row in waiting.pending_rows(most=100)}
    # What another scorer says a moment later adds nothing, and neither does what says that it is to come.
    assert waiting.add_rewards(first.build_id, [*done, *of_status(make, PENDING, 3, 4, 5)], "run-1") == 0
    assert waiting.add_rewards(first.build_id, [Reward(4, make.OBJECTIVE, 0.1)], "run-1") == 1
    assert counted(waiting)["run-1"] == (4, 2, 0)
    assert waiting.verify().errors == ()


def test_verify_finds_a_reward_to_come_that_nobody_would_complete(waiting: SampleStore, make: ModuleType) -> None:
    assert waiting.verify().errors == ()
    first = waiting.pending_rows(most=1)[0]
    waiting.add_rewards(first.build_id, of_status(make, PENDING, 1), "run-1")
    (found,) = waiting.verify().errors
    assert "1 rows of rewards are to come and never will" in found.message


def test_a_reward_of_a_host_whose_clock_is_behind_counts(
    waiting: SampleStore, make: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scores, "now", lambda: now() - timedelta(hours=2))
    first = waiting.pending_rows("run-2", most=1)[0]
    waiting.add_rewards(first.build_id, of_status(make, FAILED, 3, 4, 5), "run-2")
    assert counted(waiting)["run-2"] == (0, 0, 3)
    told = waiting.query("SELECT reward_status FROM sample_history WHERE run_id = 'run-2' AND reward_status <> 'ok'")
    assert set(told["reward_status"]) == {"failed"}


def test_a_store_where_nothing_ever_waited_has_no_counts(started: SampleStore, make: ModuleType) -> None:
    started.commit(Commit([make.make_build(0)]))
    assert (started.count_pending(), started.pending_rows(most=5)) == ([], [])


def test_an_archive_and_the_store_that_takes_it_in_have_the_rows_that_wait(
    waiting: SampleStore, tmp_path: Path
) -> None:
    expected = waiting.pending_rows(most=100)
    waiting.archive(tmp_path / "archive", runs=["run-1"])
    with (
        SampleStore.open(tmp_path / "archive", read_only=True) as archive,
        SampleStore.create(tmp_path / "other") as other,
    ):
        assert [each.rows for each in archive.count_pending()] == [6]
        other.merge(archive)
        assert other.pending_rows(most=100) == [row for row in expected if row.run_id == "run-1"]
