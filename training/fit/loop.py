"""The fit loop: take a mixed batch, lower the loss, remember what happened, and now and then commit it all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from molbuffer.storage.records import Checkpoint, PolicyVersion
from molbuffer.training.batches.buffer import BUFFER
from molbuffer.training.batches.loader import MixedBatch, MixedLoader
from molbuffer.training.fit.history_writer import HistoryWriter
from molbuffer.training.fit.learner import Learner
from molbuffer.training.fit.trainables import Trainables


@dataclass(frozen=True)
class FitProgress:
    """What an iteration came to: see ``batch_metrics`` for the metrics, to which the loss is added."""

    iteration: int
    iterations: int
    metrics: Mapping[str, float | None]


def fit(
    learner: Learner,
    loader: MixedLoader,
    writer: HistoryWriter,
    *,
    trainables: Trainables = Trainables(),
    checkpoint_every: int,
    progress: Callable[[FitProgress], None] = lambda _: None,
) -> None:
    """Trains until the loader ends, and commits history and checkpoint every ``checkpoint_every`` iterations.

    A run that is killed continues from its last checkpoint and draws again what came after it.
    """
    committed = loader.iteration
    for mixed in loader:
        drawn_by = _versions(learner, trainables, writer.run_id, mixed) if mixed.origin.live else []
        of_trainables = trainables.update(mixed.origin, writer.store)
        loss = learner.step(mixed.batch)
        metrics = {"loss": loss, **batch_metrics(mixed), **of_trainables}
        writer.add(mixed.batch.iteration, mixed.origin, metrics, drawn_by)
        if loader.iteration % checkpoint_every == 0:
            commit_checkpoint(learner, loader, writer, trainables)
            committed = loader.iteration
        progress(FitProgress(loader.iteration, loader.plan.iterations, metrics))
    if committed < loader.iteration:
        commit_checkpoint(learner, loader, writer, trainables)
    writer.drain()


def commit_checkpoint(
    learner: Learner, loader: MixedLoader, writer: HistoryWriter, trainables: Trainables = Trainables()
) -> PolicyVersion:
    """Commits the state of the training with all that it drew and consumed since the last checkpoint."""
    version = learner.publish(writer.store.policies, writer.run_id, loader.iteration)
    others = trainables.publish(writer.store.policies, writer.run_id, loader.iteration)
    state = loader.state_dict()
    files = learner.checkpoint_files({"loader": state}) | trainables.checkpoint_files()
    writer.commit(Checkpoint(writer.run_id, loader.iteration, files, state["snapshot"]), version, *others.values())
    return version


def _versions(learner: Learner, trainables: Trainables, run_id: str, mixed: MixedBatch) -> list[PolicyVersion]:
    """What drew the live rows of a batch."""
    iteration = mixed.batch.iteration
    return [learner.version(run_id, iteration), *trainables.versions(run_id, iteration)]


def batch_metrics(mixed: MixedBatch) -> dict[str, float | None]:
    """Mean rewards of a batch, of its live and of its stored rows, and the shares that were realised.

    ``policy_lag`` is how many iterations ago, in the mean, the run drew the stored rows that are its own;
    ``share_<origin>`` the share of the batch that each live sampler, or the buffer, really gave; ``shortfall`` the rows
    that samplers owed and others made up for. A mean of nothing is None.
    """
    batch = mixed.batch
    origins = np.asarray(batch.origins)
    rewards = batch.rewards.numpy()
    stored = origins == BUFFER

    def mean(rows: NDArray[np.bool_]) -> float | None:
        return float(rewards[rows].mean()) if rows.any() else None

    shares = {f"share_{name}": float((origins == name).mean()) for name in dict.fromkeys(batch.origins)}
    return {
        "reward": mean(np.ones(len(batch), bool)),
        "reward_live": mean(~stored),
        "reward_buffer": mean(stored),
        "policy_lag": float(np.mean(mixed.origin.lags)) if mixed.origin.lags else None,
        "shortfall": float(mixed.origin.shortfall),
        **shares,
    }
