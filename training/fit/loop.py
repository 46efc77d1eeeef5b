"""The fit loop: take a mixed batch, take its gradient steps, record the iteration, and commit at each checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean as mean

import numpy as np
from numpy.typing import NDArray

from molbuffer.storage import Checkpoint, PolicyVersion
from molbuffer.training.batches import BUFFER, MixedBatch, MixedLoader, TrainingBatch
from molbuffer.training.course import Course, Ending, StepTaken
from molbuffer.training.fit.history_writer import HistoryWriter
from molbuffer.training.fit.learner import Learner
from molbuffer.training.fit.suitability import keep_to_valid_rows
from molbuffer.training.fit.trainables import Trainables


@dataclass(frozen=True)
class FitProgress:
    """The progress of a training after an iteration.

    Attributes:
        iteration: the number of iterations done.
        iterations: the number of all iterations.
        metrics: those of ``batch_metrics`` and of ``update_metrics``, those of trainables, and the seconds that the
            iteration took: ``seconds_waiting`` for stored rows, ``seconds_drawing`` and scoring new ones, and
            ``seconds_learning``.
    """

    iteration: int
    iterations: int
    metrics: Mapping[str, float | None]


def fit_policy(
    learner: Learner,
    loader: MixedLoader,
    writer: HistoryWriter,
    *,
    trainables: Trainables = Trainables(),
    course: Course = Course(),
    checkpoint_every: int,
    progress: Callable[[FitProgress], None] = lambda _: None,
) -> Ending | None:
    """Train until the loader or the course ends, and commit history and checkpoint every ``checkpoint_every``
    iterations; return why the course ended.

    A killed run is resumed from its last checkpoint, and draws again what came after it. A batch without a row, of a
    run whose budget of oracle calls is used up, is recorded without a step.

    Raises:
        UnsuitableDataError: the loss of the learner is not valid on the rows that the loader gives.
    """
    keep_to_valid_rows(learner.loss, loader)
    committed = loader.iteration
    course.begin()
    ending = course.ending()
    asked = time.perf_counter()
    for mixed in loader if ending is None else ():
        given = time.perf_counter()
        drawn_by = _versions(learner, trainables, writer.run_id, mixed) if mixed.origin.live else []
        of_trainables = trainables.update(mixed.origin, writer.store, loader.diversity)
        steps = [{"loss": learner.step(batch), **learner.metrics} for batch in mixed.updates if len(batch)]
        seconds = {
            "seconds_waiting": mixed.origin.seconds_waiting,
            "seconds_drawing": given - asked - mixed.origin.seconds_waiting,
            "seconds_learning": time.perf_counter() - given,
        }
        metrics = {**update_metrics(steps), **batch_metrics(mixed), **seconds, **of_trainables, **mixed.origin.followed}
        if loader.diversity is not None:
            metrics |= {**loader.diversity.metrics(), "penalised": penalised_share(mixed.updates)}
            metrics |= bonus_metrics(mixed.updates)
        due = loader.iteration % checkpoint_every == 0
        drawing = drawn_by[0].sha256 if drawn_by else None
        metrics |= course.after(StepTaken(mixed, metrics, checkpoint=due, agent_sha256=drawing))
        origin = mixed.origin
        if loader.diversity is not None:
            # What an observer has counted belongs to this iteration, and to its checkpoint.
            origin = replace(origin, bucketed=[*origin.bucketed, *loader.diversity.take_new()])
        writer.add(mixed.batch.iteration, origin, metrics, drawn_by)
        ending = course.ending()
        if due or ending is not None:
            commit_checkpoint(learner, loader, writer, trainables, course)
            committed = loader.iteration
        progress(FitProgress(loader.iteration, loader.plan.iterations, metrics))
        if ending is not None:
            break
        asked = time.perf_counter()
    if committed < loader.iteration:
        commit_checkpoint(learner, loader, writer, trainables, course)
    learner.keep_likelihoods()
    writer.drain()
    return ending


def commit_checkpoint(
    learner: Learner,
    loader: MixedLoader,
    writer: HistoryWriter,
    trainables: Trainables = Trainables(),
    course: Course = Course(),
) -> PolicyVersion:
    """Commit the state of the training with all that it drew and consumed since the last checkpoint."""
    version = learner.publish(writer.store.policies, writer.run_id, loader.iteration)
    others = trainables.publish(writer.store.policies, writer.run_id, loader.iteration)
    state = loader.state_dict()
    files = learner.checkpoint_files({"loader": state}) | trainables.checkpoint_files() | course.checkpoint_files()
    writer.commit(Checkpoint(writer.run_id, loader.iteration, files, state["snapshot"]), version, *others.values())
    return version


def _versions(learner: Learner, trainables: Trainables, run_id: str, mixed: MixedBatch) -> list[PolicyVersion]:
    """Return the versions that drew the live rows of a batch."""
    iteration = mixed.batch.iteration
    return [learner.version(run_id, iteration), *trainables.versions(run_id, iteration)]


def penalised_share(updates: Sequence[TrainingBatch]) -> float | None:
    """Return the share of the rows of all updates whose reward counted in part or not at all; None without rows."""
    penalised = [batch.columns["penalties"].cpu().numpy() < 1 for batch in updates if len(batch)]
    return float(np.mean(np.concatenate(penalised))) if penalised else None


def bonus_metrics(updates: Sequence[TrainingBatch]) -> dict[str, float | None]:
    """Return ``bonus``, the mean of what was added to the rewards of the rows of all updates; nothing without."""
    found = [batch.columns["bonuses"].cpu().numpy() for batch in updates if len(batch) and "bonuses" in batch.columns]
    return {"bonus": float(np.mean(np.concatenate(found)))} if found else {}


LARGEST_OF_UPDATES = ("weight_max",)
"""The metrics of a step of which an iteration has the largest, and not the mean."""


def update_metrics(steps: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Return the metrics of the steps of an iteration as one: their means over the steps that have them.

    ``weight_max`` is the largest. ``updates`` is the number of steps, in which an update for which the buffer had no
    row does not count.
    """
    metrics: dict[str, float | None] = {"loss": None}
    for name in dict.fromkeys(name for step in steps for name in step):
        values = [value for step in steps if (value := step.get(name)) is not None]
        join = max if name in LARGEST_OF_UPDATES else mean
        metrics[name] = join(values) if values else None
    return {**metrics, "updates": float(len(steps))}


def batch_metrics(mixed: MixedBatch) -> dict[str, float | None]:
    """Return the mean rewards of a batch, of its live and of its stored rows, and the realised shares.

    ``policy_lag`` is the mean number of iterations since the run drew the rows of the buffer that are its own, in all
    updates, and ``policy_lag_median``, ``policy_lag_p90`` and ``policy_lag_max`` tell of its distribution;
    ``reward_later`` is the mean reward of the rows of later updates; ``share_<origin>`` the share of the batch that a
    live sampler, or the buffer, gave; ``shortfall`` the number of rows that samplers owed and others made up for. A
    mean of no rows is None.
    """
    batch = mixed.batch
    origins = np.asarray(batch.origins)
    rewards = batch.rewards.numpy()
    stored = origins == BUFFER

    def mean_of(rows: NDArray[np.bool_]) -> float | None:
        return float(rewards[rows].mean()) if rows.any() else None

    shares = {f"share_{name}": float((origins == name).mean()) for name in dict.fromkeys(batch.origins)}
    return {
        "reward": mean_of(np.ones(len(batch), bool)),
        "reward_live": mean_of(~stored),
        "reward_buffer": mean_of(stored),
        "reward_later": float(np.concatenate([each.rewards for each in mixed.later]).mean()) if mixed.later else None,
        **lag_metrics(mixed.origin.lags),
        "shortfall": float(mixed.origin.shortfall),
        **shares,
    }


def lag_metrics(lags: Sequence[int]) -> dict[str, float | None]:
    """Return the mean, the median, the 90th percentile and the maximum of policy lags; None without any."""
    names = ("policy_lag", "policy_lag_median", "policy_lag_p90", "policy_lag_max")
    if not lags:
        return dict.fromkeys(names)
    values = (np.mean(lags), *np.quantile(lags, (0.5, 0.9, 1.0)))
    return {name: float(value) for name, value in zip(names, values, strict=True)}
