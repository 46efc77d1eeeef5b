"""A run of the benchmark: a campaign on one task, in a store of its own, until its oracle calls are used up."""

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
"""The limit of iterations, as a multiple of the number that would use up the budget if every row were a new molecule. A
policy that draws nothing new would otherwise never end."""
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
        settings: the configuration as JSON; the benchmark replaces its objective, seed and length.
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
        """The name of the run in messages."""
        return f"{self.task} seed {self.seed}"

    @property
    def store(self) -> Path:
        """The folder of the run's store."""
        return self.folder / f"{self.task}-{self.seed}"

    @property
    def run_id(self) -> str:
        """The id of the run, which is the same in each attempt."""
        return uuid.uuid5(uuid.NAMESPACE_URL, f"{PMO_PREFIX}{self.task}/{self.seed}").hex

    @property
    def campaign(self) -> Settings:
        """The configuration of the run, with the objective, seed and length of the benchmark."""
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
        UsageError: the configuration is offline, has a table [contrastive], or has stages with their own objectives.
    """
    if settings.campaign.offline or settings.contrastive is not None:
        raise UsageError(
            "the benchmark needs an online campaign without [contrastive], since the rewards come from its tasks"
        )
    if any(stage.objective for stage in settings.stages):
        raise UsageError("the benchmark sets the objective of all stages: remove `objective` from [[stages]]")


def is_done(run: BenchRun) -> bool:
    """Return whether a run has finished with at least this budget, so that it need not be resumed."""
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
    """The time limit of the benchmark is reached: the run is interrupted, and the next attempt resumes it."""


def run_one(
    run: BenchRun, say: Say, deadline: float | None = None, clock: Callable[[], float] = time.monotonic
) -> None:
    """Run a campaign to the end of its budget, from its last checkpoint if it has one.

    Args:
        run: the run.
        say: is called with a progress line from time to time.
        deadline: the time of the clock after which the run is interrupted; None is no limit.
        clock: returns the time in seconds.

    Raises:
        TimeIsUpError: the deadline passed before the end of the budget.
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
    """Reports the progress of a run, and interrupts it at a checkpoint after the deadline."""

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
            raise TimeIsUpError("the time limit of the benchmark is reached")


@contextmanager
def _alone(run: BenchRun) -> Iterator[None]:
    """Hold a lock, so that no other process makes the same run; wait a while for one of a killed command to end."""
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
    """Give torch one thread, so that results do not depend on the machine, and runs can share it."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def in_order(tasks: Sequence[str], seeds: Sequence[int], **given: Any) -> list[BenchRun]:
    """Return the runs of all tasks and seeds, seed by seed."""
    return [BenchRun(task, seed, **given) for seed in seeds for task in tasks]
