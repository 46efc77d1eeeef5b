"""The guard against collapse: what it sees of the rows that a policy draws, what it does, and that it is resumed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from molbuffer.samplers.base import SamplerSize
from molbuffer.samplers.model import ModelSampler
from molbuffer.storage import SampleStore
from molbuffer.storage.records import Build, Event, Samples
from molbuffer.storage.rows import Rows
from molbuffer.training.batches.batch import TrainingBatch
from molbuffer.training.batches.mixed_batch import BatchOrigin, MixedBatch
from molbuffer.training.course.course import Course, StepTaken
from molbuffer.training.course.guard import Guard
from molbuffer.training.course.settings import GuardSettings
from molbuffer.training.fit.learner import Learner
from molbuffer.training.fit.loop import FitProgress, fit_policy
from molbuffer.training.losses import Reinvent

POLICY = "p" * 64


@dataclass
class Recorded:
    """A policy that records what is done to it; its one weight is the number of steps."""

    learning_rate: float = 1.0
    weight: float = 0.0
    done: list[Any] = field(default_factory=list)

    def pull_to_prior(self, part: float) -> None:
        self.done.append(("pull", part))

    def saved(self) -> dict[str, Tensor]:
        return {"weight": torch.tensor(self.weight)}

    def go_back(self, saved: Mapping[str, Tensor]) -> None:
        self.weight = float(saved["weight"])
        self.done.append(("back", self.weight))


def step(
    iteration: int, smiles: Sequence[str | None], log_prob: float = -0.5, kl: float = 1.0, policy: str = POLICY
) -> StepTaken:
    n = len(smiles)
    rows = Rows(
        tokens=np.ones((n, 2), np.uint8),
        lengths=np.full(n, 2, np.int32),
        log_probs=np.full((n, 2), log_prob, np.float32),
        vocabulary_sha256="v",
    )
    samples = Samples(["x"] * n, smiles, [None] * n, rows)
    build = Build("run", iteration, Event.SAMPLE_BATCH, "agent", "model", samples, policy_sha256=policy)
    mixed = MixedBatch(TrainingBatch(iteration, {}, []), BatchOrigin(live=[build]))
    return StepTaken(mixed, {"kl_prior": kl}, checkpoint=iteration % 2 == 1, agent_sha256=POLICY)


GOOD, ONE, INVALID = ["C", "N", "O", "CC"], ["C", "C", "C", "C"], ["C", None, None, None]


def test_it_sees_the_rows_of_the_policy_in_training_alone() -> None:
    guard = Guard(Recorded(), GuardSettings())
    seen = guard.after(step(0, ["C", "C", "N", None]))
    assert seen == {"valid_live": 0.75, "unique_live": pytest.approx(2 / 3), "entropy_live": pytest.approx(0.5)}
    other = guard.after(step(1, ONE, policy="another policy"))
    assert set(other.values()) == {None}


@pytest.mark.parametrize(
    ("bounds", "bad", "metric", "value"),
    [
        ({}, {"smiles": INVALID}, "guard_valid", 0.25),
        ({}, {"smiles": ONE}, "guard_unique", 0.25),
        ({"min_entropy": 0.1}, {"smiles": GOOD, "log_prob": -0.05}, "guard_entropy", 0.05),
        ({"max_kl_prior": 20.0}, {"smiles": GOOD, "kl": 30.0}, "guard_kl_prior", 30.0),
    ],
)
def test_each_bound_is_watched_over_a_window_and_some_iterations(
    bounds: Mapping[str, float], bad: Mapping[str, Any], metric: str, value: float
) -> None:
    learner, told = Recorded(), list[str]()
    guard = Guard(learner, GuardSettings("smaller_step", window=2, patience=2, **bounds), told.append)
    for iteration in range(4):
        assert not any(name.startswith("guard") for name in guard.after(step(iteration, GOOD)))
    found = [guard.after(step(iteration, **bad)) for iteration in range(4, 12)]
    acted = [i for i, metrics in enumerate(found) if metric in metrics]
    # After it has acted, the window must fill again.
    assert acted[0] in (1, 2)
    assert acted[1] == acted[0] + 3
    assert found[acted[1]][metric] == pytest.approx(value)
    assert found[acted[0]]["guard_learning_rate"] == 0.5
    assert learner.learning_rate == 0.5 ** len(acted)
    assert told[0].startswith(f"iteration {4 + acted[0]}: the guard saw ")
    assert told[0].endswith("the learning rate is now 0.5")
    assert guard.ending() is None


def test_back_goes_to_the_last_checkpoint_at_which_nothing_was_crossed() -> None:
    learner = Recorded()
    guard = Guard(learner, GuardSettings("back", window=2, patience=2))
    guard.begin()
    metrics: dict[int, Mapping[str, float | None]] = {}
    for iteration, rows in enumerate([GOOD, GOOD, GOOD, [*ONE, "C", "N"], ONE, ONE, ONE, ONE, ONE]):
        learner.weight = iteration + 1.0
        metrics[iteration] = guard.after(step(iteration, rows))
    # Checkpoints follow iterations 1, 3, 5 and 7. At 3 the window is good, and its newest rows are not; at 7 the window
    # is not full again.
    assert [i for i, found in metrics.items() if "guard_back_to" in found] == [5, 8]
    assert metrics[5]["guard_back_to"] == metrics[8]["guard_back_to"] == 2
    assert (metrics[5]["guard_learning_rate"], metrics[8]["guard_learning_rate"]) == (0.5, 0.25)
    assert learner.done == [("back", 2.0), ("back", 2.0)]


def test_the_other_actions_and_a_bad_start() -> None:
    learner = Recorded()
    pulled, stopped = (Guard(learner, GuardSettings(each, window=1, patience=1)) for each in ("prior", "stop"))
    assert pulled.after(step(0, ONE))["guard_pull"] == 0.5
    assert learner.done == [("pull", 0.5)]
    assert stopped.ending() is None
    stopped.after(step(0, ONE))
    ending = stopped.ending()
    assert ending is not None
    assert not ending.of_stage
    assert ending.reason == "the guard saw share of different molecules 0.25 over 1 iterations"
    started = Guard(learner, GuardSettings("back", window=1, patience=1))
    started.begin()
    assert started.after(step(0, ONE))["guard_back_to"] == 0
    with pytest.raises(ValueError, match="smaller_step needs a step_factor below 1"):
        GuardSettings("smaller_step", step_factor=1.0)
    with pytest.raises(ValueError, match="must be in"):
        GuardSettings(pull=0.0)


def test_the_pull_moves_weights_and_going_back_restores_the_optimizer(lab: Any) -> None:
    training = lab.adapted(iterations=4, p_batch=1.0, buffer_size=0).start()
    learner: Learner = training.learner
    first = learner.saved()
    training.fit()
    trained, sha256 = learner.saved(), learner.policy().sha256
    learner.pull_to_prior(0.25)
    for name, weights in learner.policy().model.state_dict().items():
        expected = torch.lerp(trained[f"model.{name}"], lab.prior.model.state_dict()[name], 0.25)
        assert torch.equal(weights, expected)
    assert learner.policy().sha256 != sha256
    learner.go_back(trained)
    assert learner.policy().sha256 == sha256
    again = learner.saved()
    assert again.keys() == trained.keys() > first.keys()
    assert all(torch.equal(trained[name], again[name]) for name in trained)
    learner.pull_to_prior(1.0)
    assert learner.policy().sha256 == lab.prior.sha256


SEED_OF_COLLAPSE = 3


def fit(lab: Any, settings: GuardSettings | None, until: int = 10**6) -> Any:
    """Train, with or without a guard, from the last checkpoint."""

    def samplers(policy: Any) -> list[Any]:
        return [ModelSampler("agent", policy, size=SamplerSize(0, 1.0))]

    changed = lab.adapted(
        iterations=26, batch_size=32, make_samplers=samplers, loss=Reinvent(5000.0), seed=SEED_OF_COLLAPSE
    )
    changed = replace(changed, steps=replace(changed.steps, learning_rate=2e-2))
    training = changed.start()
    course = Course() if settings is None else Course([Guard(training.learner, settings)])
    checkpoint = changed.store.latest_checkpoint("run")
    if checkpoint is not None:
        course.restore(checkpoint.folder)

    def stop(progress: FitProgress) -> None:
        if progress.iteration == until:
            raise InterruptedError

    with training.writer:
        fit_policy(training.learner, training.loader, training.writer, course=course, checkpoint_every=3, progress=stop)
    return training


def last_unique(store: SampleStore) -> float:
    """The mean share of different molecules in the last iterations."""
    found = store.read_arrow(
        """SELECT avg(share) AS share FROM (
            SELECT count(DISTINCT smiles) / count(smiles) AS share FROM {samples} WHERE iteration >= 18
            GROUP BY iteration
        )"""
    )
    return float(found["share"][0].as_py())


ACTS = "SELECT iteration, name, value FROM {metrics} WHERE name LIKE 'guard_%' ORDER BY ALL"
DRAWN = 'SELECT iteration, raw FROM {samples} ORDER BY iteration, build_id, "row"'


@pytest.mark.parametrize("action", ["back", "prior"])
def test_a_training_that_collapses_is_held_and_resumed_bit_by_bit(lab: Any, tmp_path: Path, action: Any) -> None:
    settings = GuardSettings(action, window=3, patience=2)
    if action == "back":
        with SampleStore.create(tmp_path / "alone") as store:
            fit(replace(lab, store=store), None)
            assert last_unique(store) < 0.1, "without the guard it collapses"
    whole = fit(lab, settings)
    acts = lab.store.read_arrow(ACTS).to_pylist()
    assert acts
    assert last_unique(lab.store) > 0.3
    with SampleStore.create(tmp_path / "stopped") as store:
        first = acts[0]["iteration"]
        for stop in (first, first + 5):
            with pytest.raises(InterruptedError):
                fit(replace(lab, store=store), settings, stop)
        resumed = fit(replace(lab, store=store), settings)
        assert resumed.learner.policy().sha256 == whole.learner.policy().sha256
        assert resumed.learner.learning_rate == whole.learner.learning_rate
        for sql in (ACTS, DRAWN):
            assert store.read_arrow(sql).to_pylist() == lab.store.read_arrow(sql).to_pylist()
