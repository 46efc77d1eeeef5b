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
        metrics: the metrics of the iteration: those of ``batch_metrics``, ``update_metrics``, the trainables and the
            course, and the seconds that it took: ``seconds_waiting`` for stored rows, ``seconds_drawing`` for drawing
            and scoring new rows, and ``seconds_learning``.
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
    """Train until the loader or the course ends; return why the course ended, None if the loader ended.

    A killed run is resumed from its last checkpoint, and draws the later rows again. An iteration without rows, in a
    run whose budget of oracle calls is used up, is recorded without a step.

    Args:
        learner: the policy in training, with its loss.
        loader: the batches.
        writer: the writer of the history.
        trainables: the trainable parameters of samplers.
        course: the observers.
        checkpoint_every: the number of iterations between two commits of the history with a checkpoint.
        progress: called after each iteration.

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
            # Molecules that an observer has counted belong to this iteration, and to its checkpoint.
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
    """Commit the state of the training, and its rows since the last checkpoint; return the version of the policy."""
    version = learner.publish(writer.store.policies, writer.run_id, loader.iteration)
    others = trainables.publish(writer.store.policies, writer.run_id, loader.iteration)
    state = loader.state_dict()
    files = learner.checkpoint_files({"loader": state}) | trainables.checkpoint_files() | course.checkpoint_files()
    writer.commit(Checkpoint(writer.run_id, loader.iteration, files, state["snapshot"]), version, *others.values())
    return version


def _versions(learner: Learner, trainables: Trainables, run_id: str, mixed: MixedBatch) -> list[PolicyVersion]:
    """Return the versions of the policy and of the trainables that drew the live rows of a batch."""
    iteration = mixed.batch.iteration
    return [learner.version(run_id, iteration), *trainables.versions(run_id, iteration)]


def penalised_share(updates: Sequence[TrainingBatch]) -> float | None:
    """Return the share of the rows of all updates whose penalty is below 1; None without rows."""
    penalised = [batch.columns["penalties"].cpu().numpy() < 1 for batch in updates if len(batch)]
    return float(np.mean(np.concatenate(penalised))) if penalised else None


def bonus_metrics(updates: Sequence[TrainingBatch]) -> dict[str, float | None]:
    """Return ``bonus``, the mean bonus of the rows of all updates; an empty dictionary without bonuses."""
    found = [batch.columns["bonuses"].cpu().numpy() for batch in updates if len(batch) and "bonuses" in batch.columns]
    return {"bonus": float(np.mean(np.concatenate(found)))} if found else {}


LARGEST_OF_UPDATES = ("weight_max",)
"""The metrics of a step of which an iteration reports the largest, not the mean."""


def update_metrics(steps: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Return the metrics of an iteration: the mean of each metric over the steps that have it.

    ``weight_max`` is the largest of the steps. ``updates`` is the number of steps; an update without rows is no step.
    """
    metrics: dict[str, float | None] = {"loss": None}
    for name in dict.fromkeys(name for step in steps for name in step):
        values = [value for step in steps if (value := step.get(name)) is not None]
        join = max if name in LARGEST_OF_UPDATES else mean
        metrics[name] = join(values) if values else None
    return {**metrics, "updates": float(len(steps))}


def batch_metrics(mixed: MixedBatch) -> dict[str, float | None]:
    """Return the metrics of the rows of an iteration, by name; the mean of no rows is None.

    * ``reward``, ``reward_live``, ``reward_buffer``: the mean reward of the batch, of its live and of its stored rows;
    * ``reward_later``: the mean reward of the rows of later updates;
    * ``policy_lag``, ``policy_lag_median``, ``policy_lag_p90``, ``policy_lag_max``: of the policy lags, in iterations,
      of the run's own rows that all updates took from the buffer;
    * ``shortfall``: the number of rows that live samplers were short of;
    * ``share_<origin>``: the share of the batch that came from a live sampler, or from the buffer.
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
    """Return the mean, median, 90th percentile and maximum of policy lags, by name; each None without lags."""
    names = ("policy_lag", "policy_lag_median", "policy_lag_p90", "policy_lag_max")
    if not lags:
        return dict.fromkeys(names)
    values = (np.mean(lags), *np.quantile(lags, (0.5, 0.9, 1.0)))
    return {name: float(value) for name, value in zip(names, values, strict=True)}
