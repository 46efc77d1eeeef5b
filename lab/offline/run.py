"""Offline training as a run of a lab."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field, replace
from pathlib import Path

from molbuffer.exchange import RunLogger, RunLogs
from molbuffer.lab.arguments import LossFunction, as_loss
from molbuffer.lab.given import Given
from molbuffer.lab.offline.plan import Judging
from molbuffer.lab.offline.relabel import Relabelled
from molbuffer.lab.offline.report import OfflineReport
from molbuffer.lab.offline.rows import OfflineRows, opened_rows, refuse_no_rows, rows_of_run
from molbuffer.lab.offline.training import offline_training, relabelled, run_offline_training
from molbuffer.lab.recording import RunPlan, started_run
from molbuffer.lab.runs import TrainingResult, training_statement
from molbuffer.lab.score_failures import log_warning
from molbuffer.lab.training import TrainingPlan, go_on
from molbuffer.storage import (
    ArchiveLimits,
    EachMolecule,
    RunConflictError,
    RunKind,
    SampleStore,
    Selection,
    check_predicate,
)
from molbuffer.training import BatchPlan, FitProgress, LearnerSettings, Loss, Replay, conservative


@dataclass(frozen=True)
class OfflinePlan:
    """The settings of an offline training: its steps, and the rows that it learns from.

    Attributes:
        steps: the number of steps of the run.
        batch_size: the number of rows of a batch.
        selection: the rule that chooses the rows of a batch.
        randomise: replace the SMILES of each row by a random one of the same molecule.
        where: an SQL condition on ``sample_history``; None is all rows.
        sources: the paths of archives and stores to read the rows from, in their order; empty is the store itself.
        snapshot: the snapshot to read; None is the snapshot at the start of the run.
        loss: the name of a loss, a loss, or a function that is valid on any rows with a reward.
        cloning_weight: the weight of the negative log-likelihood of the rows, as in ``conservative``.
        kl_weight: the weight of the divergence from the prior on the rows, as in ``conservative``.
        learner: the settings of the learner.
        checkpoint_every: the number of steps between checkpoints.
        judging: the validation, evaluation and relabelling.
    """

    steps: int
    batch_size: int
    _: KW_ONLY
    selection: Selection = EachMolecule()
    randomise: bool = False
    where: str | None = None
    sources: Sequence[str | Path] = ()
    snapshot: int | None = None
    loss: Loss | LossFunction | str = "advantage_weighted"
    cloning_weight: float = 0.0
    kl_weight: float = 0.0
    learner: LearnerSettings = LearnerSettings()
    checkpoint_every: int = 100
    judging: Judging = Judging()


@dataclass(frozen=True)
class OfflineResult(TrainingResult):
    """The result of an offline training.

    Attributes:
        report: the comparison of the policy with its data.
    """

    report: OfflineReport = field(kw_only=True)


def run_offline(
    store: SampleStore,
    run: RunPlan,
    plan: OfflinePlan,
    progress: Callable[[FitProgress], None],
    loggers: Sequence[RunLogger] = (),
) -> OfflineResult:
    """Train a policy on stored rows, from the last checkpoint of the run if it has one.

    Raises:
        BatchShortError: too few rows have a reward under the objective.
        RunConflictError: the run to go on with began with other settings or rows.
        ValueError: a snapshot is named that cannot be read.
    """
    loss = conservative(as_loss(plan.loss), plan.cloning_weight, plan.kl_weight)
    where = None if plan.where is None else check_predicate(plan.where)
    check_snapshot(plan.snapshot, plan.sources, plan.judging)
    with opened_rows(store, list(map(str, plan.sources)), ArchiveLimits()) as rows:
        if run.resume is not None:
            rows = rows_of_run(store, store.run(run.resume).run_id, rows)
        elif plan.judging.relabel == "off":
            refuse_no_rows(rows, run.objective.sha256, where, plan.snapshot)
        scored = _relabelled(store, run, rows, where, plan.judging)
        selection = rows.record({"selection": repr(plan.selection), "where": where})
        with (
            RunLogs(store, loggers, log_warning) as logs,
            started_run(run, store, snapshot=plan.snapshot, selection=selection) as (context, _),
        ):
            logs.follow(context.run_id)
            # A resumed run must read the same rows as before.
            began = store.run(context.run_id).selection
            if began != selection:
                raise RunConflictError(
                    f"run {context.run_id} began with the rows {began}, got {selection}: resume it with the same "
                    "selection and condition, or begin another run"
                )
            batches = BatchPlan(plan.batch_size, plan.steps, context.seed, replay=Replay(randomise=plan.randomise))
            training_plan = TrainingPlan(
                batches,
                loss,
                learner=plan.learner,
                selection=plan.selection,
                where=where,
                checkpoint_every=plan.checkpoint_every,
            )
            sources: dict[str, str] = {}
            statement = {
                **training_statement(training_plan, sources),
                "judging": asdict(plan.judging),
                "sources": sources,
            }
            checkpoint = store.latest_checkpoint(context.run_id)
            done = 0 if checkpoint is None else checkpoint.iteration
            Given(store, context.run_id).training(statement, number=0, done=done)
            training = offline_training(context, training_plan, rows, plan.judging)
            go_on(training, store)
            policy, report, ended = run_offline_training(context, training, scored, progress)
            made = TrainingResult.of(context, training)
            return OfflineResult(**{**vars(made), "policy_sha256": policy.sha256, "ended": ended}, report=report)


def _relabelled(
    store: SampleStore, run: RunPlan, rows: OfflineRows, where: str | None, judging: Judging
) -> Relabelled | None:
    """Relabel the rows before a new run begins, as a separate run, so that its snapshot has the new rewards."""
    if judging.relabel == "off" or run.resume is not None:
        return None
    scoring = replace(run, name=f"relabel for {run.name}", kind=RunKind.SCORE, resume=None)
    with started_run(scoring, store) as (context, _):
        return relabelled(context, rows, where, judging)


def check_snapshot(snapshot: int | None, sources: Sequence[object], judging: Judging) -> None:
    """Check that a named snapshot can be read.

    Raises:
        ValueError: there are sources, or a relabelling, which read the newest snapshots.
    """
    if snapshot is not None and sources:
        raise ValueError(f"other sources are read at their newest snapshots: leave snapshot {snapshot} out")
    if snapshot is not None and judging.relabel != "off":
        raise ValueError(
            f"an earlier snapshot does not have the rewards of a relabelling: leave snapshot {snapshot} out, or set "
            'relabel to "off"'
        )
