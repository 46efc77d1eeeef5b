"""A run of the benchmark: the campaign of a configuration on one task, in a store of its own, to its last call."""

from __future__ import annotations

import fcntl
import json
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from molbuffer.flows.campaign import campaign_run, train_stages
from molbuffer.flows.errors import UsageError
from molbuffer.flows.settings import Settings
from molbuffer.flows.tasks import local_builder
from molbuffer.flows.tools.pmo.results import has_ended, rewards_of_calls
from molbuffer.pages import area_under_best
from molbuffer.scoring import PMO_PREFIX
from molbuffer.storage import RunKind, SampleStore, UnknownRunError
from molbuffer.training import FitProgress

LARGEST_STRETCH = 20
"""A run has this many times the iterations that would use its budget up if every row were a new molecule; a policy that
draws nothing new would otherwise never end."""
LEAST_ITERATIONS = 100
SECONDS_BETWEEN_LINES = 30.0
SECONDS_FOR_THE_OTHER = 15.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class BenchRun:
    """A run of the benchmark.

    Attributes:
        task: the task.
        seed: the seed of the campaign.
        settings: the configuration as JSON, whatever its objective, seed and length.
        budget: the number of oracle calls.
        folder: the folder of all runs.
    """

    task: str
    seed: int
    settings: str
    budget: int
    folder: Path

    @property
    def title(self) -> str:
        """What the run is called for people."""
        return f"{self.task} seed {self.seed}"

    @property
    def store(self) -> Path:
        """The folder of its store."""
        return self.folder / f"{self.task}-{self.seed}"

    @property
    def run_id(self) -> str:
        """The id of the run, the same in each attempt."""
        return uuid.uuid5(uuid.NAMESPACE_URL, f"{PMO_PREFIX}{self.task}/{self.seed}").hex

    @property
    def campaign(self) -> Settings:
        """The configuration of the run."""
        data = json.loads(self.settings)
        length = -(-self.budget // data["campaign"]["batch_size"]) * LARGEST_STRETCH
        data["campaign"] |= {
            "name": f"{PMO_PREFIX}{self.task}",
            "seed": self.seed,
            "max_oracle_calls": self.budget,
            "iterations": max(length, LEAST_ITERATIONS),
        }
        data["objective"] = {"named": f"{PMO_PREFIX}{self.task}", "choose": data["objective"]["choose"]}
        return Settings.from_json(json.dumps(data))


def check_bench_settings(settings: Settings) -> None:
    """Refuse a configuration whose objective cannot be replaced by that of a task.

    Raises:
        UsageError: it is offline, or has pairs with rewards, or stages with objectives of their own.
    """
    if settings.campaign.offline or settings.contrastive is not None:
        raise UsageError(
            "the benchmark needs an online campaign without [contrastive], whose rewards are those of a task"
        )
    if any(stage.objective for stage in settings.stages):
        raise UsageError("the stages of a benchmark have the objective of its task: remove `objective` from [[stages]]")


def is_done(run: BenchRun) -> bool:
    """Return whether a run has ended with its budget, or otherwise, and cannot go on."""
    if not (run.store / "store.toml").is_file():
        return False
    with SampleStore.open(run.store, read_only=True) as store:
        try:
            known = store.run(run.run_id)
        except UnknownRunError:
            return False
        limit = json.loads(known.config)["campaign"]["max_oracle_calls"]
        return bool(limit >= run.budget and has_ended(store, run.run_id))


class TimeIsUpError(KeyboardInterrupt):
    """The time of the benchmark is over: the run is interrupted, and goes on in the next attempt."""


def run_one(
    run: BenchRun, say: Say, deadline: float | None = None, clock: Callable[[], float] = time.monotonic
) -> None:
    """Run a campaign to its last call, from its last checkpoint if it has one.

    Args:
        run: the run.
        say: told a line from time to time.
        deadline: the time of the clock at which it is interrupted; None is never.
        clock: the clock, in seconds.

    Raises:
        TimeIsUpError: the time was over before.
    """
    settings = run.campaign
    began = clock()
    with (
        _one_thread(),
        _alone(run),
        SampleStore.open_or_create(run.store) as store,
        campaign_run(settings, store, RunKind.TRAIN, run.run_id) as campaign,
    ):
        report = _Report(run, say, deadline, clock, settings.training.checkpoint_every)
        train_stages(campaign, local_builder, report)
        rewards = rewards_of_calls(store, run.run_id)
    score = area_under_best(rewards, run.budget)
    say(f"{run.title}: AUC top-10 {score:.3f} after {len(rewards):,} calls, in {(clock() - began) / 60:.1f} min")


@dataclass
class _Report:
    """Says how far a run is, and interrupts it after a checkpoint when its time is over."""

    run: BenchRun
    say: Say
    deadline: float | None
    clock: Callable[[], float]
    checkpoint_every: int
    _said: float | None = None
    _first: float | None = None

    def __call__(self, progress: FitProgress) -> None:
        now, calls = self.clock(), int(progress.metrics.get("oracle_calls") or 0)
        if self._said is None or self._first is None:
            self._said, self._began, self._first = now, now, float(calls)
        elif now - self._said >= SECONDS_BETWEEN_LINES and calls > self._first:
            left = (now - self._began) / (calls - self._first) * (self.run.budget - calls)
            reward = progress.metrics.get("reward_live")
            told = "" if reward is None else f", mean reward {reward:.3f}"
            self.say(f"{self.run.title}: {calls:,} of {self.run.budget:,} calls{told}, about {left / 60:.1f} min left")
            self._said = now
        if self.deadline is not None and now >= self.deadline and progress.iteration % self.checkpoint_every == 0:
            raise TimeIsUpError("the time of the benchmark is over")


@contextmanager
def _alone(run: BenchRun) -> Iterator[None]:
    """Let no other process make the same run; one that a killed command has left behind ends in a moment."""
    run.folder.mkdir(parents=True, exist_ok=True)
    with (run.folder / f".{run.store.name}.lock").open("w") as file:
        end = time.monotonic() + SECONDS_FOR_THE_OTHER
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise UsageError(
                        f"another process makes the run {run.title} in {run.folder}; wait, or end it"
                    ) from None
                time.sleep(0.1)
        yield


@contextmanager
def _one_thread() -> Iterator[None]:
    """Give torch one thread, so that a run is the same wherever it goes on, and runs beside others."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def in_order(tasks: Sequence[str], seeds: Sequence[int], **given: Any) -> list[BenchRun]:
    """Return the runs, those of the first seed before those of the second."""
    return [BenchRun(task, seed, **given) for seed in seeds for task in tasks]
