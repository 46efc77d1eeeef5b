"""Loggers that follow a run: what they are given once, whenever the run ends, and what becomes of one that fails."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import molbuffer as mb
from molbuffer.exchange.errors import LoggerError, MissingExtraError
from molbuffer.exchange.loggers import following
from molbuffer.exchange.loggers.base import LoggedRun, LogPicture, LogPoint
from molbuffer.exchange.loggers.following import LogFollower, fill_log
from molbuffer.exchange.loggers.points import logged_run
from molbuffer.storage import RunStatus

Train = Callable[..., str]


@dataclass
class Written:
    """What a log of ``Memory`` has, which outlives the process that writes it."""

    points: list[LogPoint] = field(default_factory=list)
    pictures: list[LogPicture] = field(default_factory=list)
    statuses: list[RunStatus | None] = field(default_factory=list)
    opened: int = 0

    @property
    def values(self) -> dict[tuple[str, int], float]:
        assert len({(point.tag, point.step) for point in self.points}) == len(self.points), "something came twice"
        return {(point.tag, point.step): point.value for point in self.points}


@dataclass(frozen=True)
class Memory:
    """A logger of somebody else's, which may have room for a number of points only."""

    written: Written = field(default_factory=Written, compare=False, hash=False)
    fails_at: int | None = None
    kind: str = "memory"

    def open(self, run: LoggedRun) -> Memory:
        self.written.opened += 1
        return self

    def last_steps(self) -> dict[str, int]:
        known: dict[str, int] = {}
        for each in [*self.written.points, *self.written.pictures]:
            known[each.tag] = max(each.step, known.get(each.tag, -1))
        return known

    def write(self, points: Sequence[LogPoint], pictures: Sequence[LogPicture]) -> None:
        if self.fails_at is not None and len(self.written.points) + len(points) > self.fails_at:
            raise OSError(28, "No space left on device")
        self.written.points += points
        self.written.pictures += pictures

    def close(self, status: RunStatus | None) -> None:
        self.written.statuses.append(status)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "SECONDS_BETWEEN_LOOKS", 0.02)


def filled(lab: mb.Lab, run_id: str) -> Written:
    memory = Memory()
    fill_log(lab.store, run_id, memory)
    return memory.written


def test_the_points_are_what_the_run_has_committed(trained: tuple[mb.Lab, str]) -> None:
    lab, run_id = trained
    found = filled(lab, run_id)
    stored = lab.query("SELECT iteration, value FROM metrics WHERE build_id IS NULL AND name = 'loss'").rows()
    assert {("training/loss", step): value for step, value in stored}.items() <= found.values.items()
    assert len(stored) == 6
    live = lab.query(
        "SELECT iteration, value FROM metrics WHERE event = 'sample_batch' AND sampler = 'agent' AND name = 'rewards'"
    ).rows()
    assert {("sample_batch/agent/rewards", step): value for step, value in live}.items() <= found.values.items()
    assert found.statuses == [RunStatus.FINISHED]


def test_builds_in_chunks_are_one_point(lab: mb.Lab, policy: mb.Policy) -> None:
    with lab.run("chunks", objective=mb.Objective([mb.QED()]), policy=policy, seed=1) as run:
        sampler = mb.ModelSampler("agent", run.agent)
        run.build(sampler, n=3)
        run.build(sampler, n=9)
    values = filled(lab, run.run_id).values
    assert values["build_buffer/agent/kept", 0] == 12
    rewards = lab.query("SELECT reward FROM sample_history WHERE kept")["reward"]
    assert values["build_buffer/agent/rewards", 0] == pytest.approx(rewards.mean())


def test_the_best_rise_as_the_rewards_do(trained: tuple[mb.Lab, str]) -> None:
    lab, run_id = trained
    found = filled(lab, run_id)
    for step in range(6):
        rows = lab.query(
            "SELECT smiles, max(reward) AS reward FROM sample_history WHERE kept AND iteration <= ? GROUP BY 1", [step]
        )["reward"].sort(descending=True)
        assert found.values["best/reward", step] == rows[0]
        assert found.values["best/mean_of_top_10", step] == pytest.approx(rows[:10].mean())


def test_pictures_show_the_best_when_they_have_changed(trained: tuple[mb.Lab, str]) -> None:
    lab, run_id = trained
    memory = Memory()
    fill_log(lab.store, run_id, memory, pictures_every=1)
    steps = [each.step for each in memory.written.pictures]
    assert steps[0] == 2 and steps == sorted(set(steps)) and steps[-1] <= 6
    assert all(each.png.startswith(b"\x89PNG") for each in memory.written.pictures)
    none = Memory()
    fill_log(lab.store, run_id, none, pictures_every=0)
    assert none.written.pictures == []


def test_a_log_filled_in_afterwards_has_the_points_of_the_live_one(lab: mb.Lab, train: Train) -> None:
    live = Memory()
    run_id = train(lab, loggers=[live])
    later = filled(lab, run_id)
    assert live.written.values == later.values
    assert live.written.pictures == later.pictures and len(later.pictures) >= 1
    assert live.written.opened == 1


def test_a_run_that_is_gone_on_with_repeats_nothing_and_loses_nothing(lab: mb.Lab, train: Train) -> None:
    """Interrupted in iteration 3, of which and of iteration 2 nothing is committed yet."""
    memory = Memory()

    def stop(iteration: int) -> None:
        if iteration == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(lab, iterations=4, after=stop, loggers=[memory])
    assert memory.written.statuses == [RunStatus.INTERRUPTED]
    assert {step for (tag, step) in memory.written.values if tag == "training/loss"} == {0, 1}
    run_id = lab.runs()["run_id"][0]
    train(lab, iterations=4, resume=run_id, loggers=[memory])
    assert memory.written.values == filled(lab, run_id).values
    assert memory.written.statuses == [RunStatus.INTERRUPTED, RunStatus.FINISHED]
    train(lab, iterations=6, resume=run_id, loggers=[memory])
    assert memory.written.values == filled(lab, run_id).values
    assert ("training/loss", 5) in memory.written.values


def test_a_follower_gives_only_what_is_settled(lab: mb.Lab, train: Train) -> None:
    """After each iteration it is asked anew; what a crash would draw again is not among it."""
    memory, seen = Memory(), dict[int, int]()
    followers: list[LogFollower] = []

    def look(iteration: int) -> None:
        run = logged_run(lab.store, lab.runs()["run_id"][0])
        if not followers:
            followers.append(LogFollower(lab.store, run, memory))
        followers[0].look()
        done = lab.store.latest_checkpoint(run.run_id)
        steps = [point.step for point in memory.written.points]
        assert max(steps, default=-1) < (0 if done is None else done.iteration)
        seen[iteration] = len(steps)

    run_id = train(lab, after=look)
    followers[0].look()
    assert memory.written.values == filled(lab, run_id).values
    assert seen[1] == 0


def test_a_logger_that_fails_does_not_end_the_run(lab: mb.Lab, train: Train, caplog: pytest.LogCaptureFixture) -> None:
    """At once, or when it has some of the points."""
    failing, other = [Memory(fails_at=0), Memory(fails_at=20)], Memory(kind="other")
    with caplog.at_level(logging.WARNING):
        run_id = train(lab, loggers=[*failing, other])
    assert lab.runs()["status"].to_list() == ["finished"]
    whole = filled(lab, run_id).values
    assert other.written.values == whole
    said = [each.getMessage() for each in caplog.records if "logger" in each.getMessage()]
    assert len(said) == 2
    for each in said:
        assert "No space left on device" in each and "the run goes on" in each
        assert f"molbuffer log --to memory --run {run_id[:8]} --store {lab.store.path}" in each
    for each in failing:
        assert each.written.statuses == [None], "a log that failed is let go of"
        fill_log(lab.store, run_id, Memory(each.written))
        assert each.written.values == whole


def test_a_logger_that_hangs_is_given_up(
    lab: mb.Lab, train: Train, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(following, "SECONDS_AT_THE_END", 0.2)
    free = threading.Event()

    @dataclass(frozen=True)
    class Hanging(Memory):
        def write(self, points: Sequence[LogPoint], pictures: Sequence[LogPicture]) -> None:
            free.wait(30)

    with caplog.at_level(logging.WARNING):
        train(lab, iterations=2, loggers=[Hanging()])
    free.set()
    assert any("took longer than" in each.getMessage() for each in caplog.records)
    for thread in threading.enumerate():
        if thread.name == "run-logs":
            thread.join(10)


def test_a_missing_package_is_told_before_the_run_begins(
    lab: mb.Lab, train: Train, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("molbuffer.exchange.errors.importlib.util.find_spec", lambda name: None)
    for logger, extra in ((mb.TensorBoard(str(tmp_path)), "tensorboard"), (mb.MLflow("sqlite:///a.db"), "mlflow")):
        with pytest.raises(MissingExtraError, match=rf'pip install "molbuffer\[{extra}\]"'):
            train(lab, loggers=[logger])
    assert len(lab.runs()) == 0


def test_the_folders_that_mlflow_no_longer_writes_are_refused() -> None:
    pytest.importorskip("mlflow", reason="pip install 'molbuffer[mlflow]'")
    with pytest.raises(LoggerError, match=r"sqlite:///mlflow\.db"):
        mb.MLflow("mlruns").check()
