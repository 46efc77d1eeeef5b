"""Training on stored rows alone, as a run of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from molbuffer.lab.arguments import as_loss
from molbuffer.lab.given import Given
from molbuffer.lab.lab_run import LossFunction, TrainingResult, training_statement
from molbuffer.lab.offline_rows import opened_rows, refuse_other_archive
from molbuffer.lab.recording import RunPlan, started_run
from molbuffer.lab.training import TrainingPlan, go_on, offline_training, run_training
from molbuffer.storage import ArchiveLimits, RunConflictError, SampleStore, Selection, Uniform, check_predicate
from molbuffer.training import BatchPlan, FitProgress, LearnerSettings, Loss


@dataclass(frozen=True)
class OfflinePlan:
    """The steps of an offline training, and the rows that they are taken on.

    Attributes:
        steps: the number of steps of the run.
        batch_size: the number of rows of a batch.
        selection: chooses the rows of a batch.
        where: an SQL condition on ``sample_history``.
        archive: the path of an archive to read the rows from; None is the store itself.
        snapshot: the snapshot to read; None is that at which the run begins.
        loss: the name of a loss, a loss, or a function that is valid on any rows with a reward.
        learner: the settings of the learner.
        checkpoint_every: the number of steps between checkpoints.
    """

    steps: int
    batch_size: int
    _: KW_ONLY
    selection: Selection = Uniform()
    where: str | None = None
    archive: str | Path | None = None
    snapshot: int | None = None
    loss: Loss | LossFunction | str = "reinvent"
    learner: LearnerSettings = LearnerSettings()
    checkpoint_every: int = 100


def run_offline(
    store: SampleStore, run: RunPlan, plan: OfflinePlan, progress: Callable[[FitProgress], None]
) -> TrainingResult:
    """Train on stored rows, from the run's last checkpoint if it has one; nothing is drawn or scored."""
    loss = as_loss(plan.loss)
    where = None if plan.where is None else check_predicate(plan.where)
    archive = None if plan.archive is None else str(plan.archive)
    with opened_rows(store, archive, ArchiveLimits()) as rows:
        if run.resume is not None:
            refuse_other_archive(store, store.run(run.resume).run_id, rows)
        selection = rows.record({"selection": repr(plan.selection), "where": where})
        with started_run(run, store, snapshot=plan.snapshot, selection=selection) as (context, _):
            # A run that is gone on with reads what it began to read.
            began = store.run(context.run_id).selection
            if began != selection:
                raise RunConflictError(
                    f"run {context.run_id} began with the rows {began}, got {selection}: go on with it as it began, or "
                    "begin another run"
                )
            batches = BatchPlan(plan.batch_size, plan.steps, context.seed)
            training_plan = TrainingPlan(
                batches,
                loss,
                learner=plan.learner,
                selection=plan.selection,
                where=where,
                checkpoint_every=plan.checkpoint_every,
            )
            sources: dict[str, str] = {}
            statement = {**training_statement(training_plan, sources), "sources": sources}
            checkpoint = store.latest_checkpoint(context.run_id)
            done = 0 if checkpoint is None else checkpoint.iteration
            Given(store, context.run_id).training(statement, number=0, done=done)
            training = offline_training(context, training_plan, rows)
            go_on(training, store)
            run_training(training, progress=progress)
            return TrainingResult.of(context, training)
