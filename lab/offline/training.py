"""An offline training: assemble it from its rows and settings, run it to its end, and report on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from molbuffer.lab.context import RunContext
from molbuffer.lab.offline.checks import OfflineChecks
from molbuffer.lab.offline.plan import EvaluationPlan, Judging
from molbuffer.lab.offline.relabel import Relabelled, lacking_rows, relabel_rows, rewards_of
from molbuffer.lab.offline.report import OfflineReport, data_quality, last_quality
from molbuffer.lab.offline.rows import OfflineRows, PinnedRows, RowSource, pending_text
from molbuffer.lab.training import Training, TrainingPlan, run_training
from molbuffer.samplers import (
    Policy,
    Scorer,
    SeenMolecules,
    check_stored_scores,
    derive_seed,
    open_policy,
)
from molbuffer.samplers.models import ConditionKind
from molbuffer.scoring import Imported
from molbuffer.storage import Commit, HistoryIndex
from molbuffer.training import (
    Buffer,
    BufferView,
    Course,
    DrawEvaluation,
    FitProgress,
    HistoryWriter,
    Learner,
    MixedLoader,
    OffPolicyEstimate,
    TimeStop,
    TooFewRowsError,
    Trainables,
    evaluate_policy,
    held_out_batches,
    held_out_quality,
    off_policy_estimate,
)


@dataclass(frozen=True)
class OfflineTraining(Training):
    """The parts of an offline training.

    Attributes:
        judging: the settings of validation, evaluation and relabelling.
        pinned: the rows.
        checks: the validations and evaluations.
    """

    judging: Judging = field(kw_only=True)
    pinned: PinnedRows = field(kw_only=True)
    checks: OfflineChecks = field(kw_only=True)


def relabelled(context: RunContext, rows: OfflineRows, where: str | None, judging: Judging) -> Relabelled | None:
    """Score the rows without a reward under the objective of a run, before a training reads them, if asked for."""
    if judging.relabel == "off":
        return None
    check_stored_scores(context.objective, context.store)
    return relabel_rows(context, rows, where, expensive=judging.relabel == "all")


def offline_training(
    context: RunContext, plan: TrainingPlan, rows: OfflineRows | None = None, judging: Judging = Judging()
) -> OfflineTraining:
    """Make the parts of an offline training, at its beginning.

    Args:
        context: the run.
        plan: the settings of the training.
        rows: the sources of the rows; None is the run's own store.
        judging: the settings of validation, evaluation and relabelling.
    """
    store, run_id, vocabulary = context.store, context.run_id, context.prior.vocabulary
    rows = rows or OfflineRows((RowSource(store),))
    own_snapshot = store.run(run_id).pinned_snapshot or store.snapshot()
    if waiting := pending_text(rows, context.objective_sha256):
        plan.tell(waiting)
    pinned = PinnedRows(rows, own_snapshot, vocabulary, judging.validation, context.seed)
    if judging.relabel != "off":
        pinned.more_rewards = [_more_rewards(context, source, plan.where, own_snapshot) for source in rows.sources]
    view = BufferView(
        context.objective_sha256,
        snapshot=pinned.snapshot(),
        where=plan.where,
        train_on_invalid=plan.batches.train_on_invalid,
    )
    buffer = Buffer(pinned, view, plan.selection, vocabulary, plan.batches.replay)
    learner = Learner(context.prior, plan.loss, plan.learner, context.agent)
    loader, writer = MixedLoader(plan.batches, buffer), HistoryWriter(store, run_id, plan.keep)
    assert pinned.chosen is not None
    evaluation, held_out = judging.evaluation, pinned.chosen.held_out
    batches = held_out_batches(held_out, vocabulary, batch_size=plan.batches.batch_size, seed=context.seed)
    checks = OfflineChecks(
        learner=learner,
        loader=loader,
        writer=writer,
        plan=judging.validation,
        held_out=batches,
        evaluate=_evaluator(context, evaluation, buffer.index),
        evaluate_every=evaluation.every,
        kept_calls=evaluation.kept_calls,
    )
    return OfflineTraining(
        learner,
        loader,
        writer,
        SeenMolecules(store, run_id),
        checkpoint_every=plan.checkpoint_every,
        trainables=Trainables((checks,)),
        course=Course([TimeStop(plan.stops.max_minutes)] if plan.stops.max_minutes is not None else []),
        judging=judging,
        pinned=pinned,
        checks=checks,
    )


def run_offline_training(
    context: RunContext,
    training: OfflineTraining,
    found: Relabelled | None = None,
    progress: Callable[[FitProgress], None] = lambda _: None,
) -> tuple[Policy, OfflineReport, str | None]:
    """Train to the end, store the policy that is best on held-out rows, else the last one, and report.

    Args:
        context: the run.
        training: the parts of the training, restored from the last checkpoint if it has one.
        found: the result of the relabelling; None without one.
        progress: called after each step.

    Returns:
        The policy, which the store keeps; the report, whose numbers are stored as metrics of the run; and why the
        training ended before its last step, None if it did not.

    Raises:
        TooFewRowsError: the rows do not fill the first batch.
    """
    try:
        ending = run_training(training, progress=progress)
    except TooFewRowsError as error:
        if not (imported := _imported(context)):
            raise
        raise TooFewRowsError(
            f"offline training needs batches of {error.wanted} rows, and {error.available} stored rows have a reward "
            f"by {', '.join(imported)}; import more, or lower offline.batch_size (by default campaign.batch_size)",
            wanted=error.wanted,
            available=error.available,
        ) from error
    ended = training.checks.ended if ending is None else ending.reason
    if ending is None:
        context.store.note_ending(context.run_id, ended)
    checks, writer, last = training.checks, training.writer, training.loader.iteration
    policy, best, best_iteration = training.learner.policy(), None, None
    if checks.held_out:
        checks.validate(last)
        best = checks.publish_best(context.store.policies)
    if best is not None:
        best_iteration = best.iteration
        if best.sha256 != policy.sha256:
            policy = open_policy(best.sha256, context.store, context.prior.model.device)
    report = _report(context, training, policy, best_iteration, found)
    metrics = [*writer.taken_metrics(), *((last, metric) for metric in report.metrics())]
    message = f"report of run {context.run_id}"
    policies = [] if best is None else [best]
    context.store.commit(Commit(run_id=context.run_id, run_metrics=metrics, policies=policies, message=message))
    return policy, report, ended


def _more_rewards(context: RunContext, source: RowSource, where: str | None, own_snapshot: int) -> pa.Table | None:
    """Return rewards of the rows of another source, by the scores at the run's snapshot; None for the own store."""
    if source.is_own:
        return None
    lacking = lacking_rows(context, source, source.store.snapshot(), where)
    return rewards_of(context, lacking, context.store.at(own_snapshot))


def _evaluator(
    context: RunContext, plan: EvaluationPlan, index: HistoryIndex
) -> Callable[[Policy, int, int], DrawEvaluation] | None:
    """Return a function that evaluates a policy by fresh draws; None if nothing is drawn."""
    if not plan.draws or context.prior.model.condition_kind is ConditionKind.SOURCES:
        return None
    scored = plan.expensive or not _expensive(context)
    if scored:
        check_stored_scores(context.objective, context.store)

    def evaluate(policy: Policy, iteration: int, gone: int) -> DrawEvaluation:
        left = None if plan.max_oracle_calls is None else max(0, plan.max_oracle_calls - gone)
        if scored and left == 0:
            return DrawEvaluation((), None)
        return evaluate_policy(
            policy,
            Scorer(context.objective, context.store, context.run_id) if scored else None,
            context.filters,
            context.standardisation,
            draws=plan.draws,
            seed=derive_seed(context.seed, "evaluation", iteration),
            known=lambda smiles: _known(context, index, smiles),
            max_oracle_calls=left,
            iteration=iteration,
        )

    return evaluate


def _known(context: RunContext, index: HistoryIndex, smiles: Sequence[str]) -> set[str]:
    """Return which molecules are among the rows of an index, compared by hash."""
    wanted = pa.table({"smiles": pa.array(smiles, pa.string())})
    hashed = context.store.read_arrow("SELECT smiles, hash(smiles) AS molecule FROM wanted", wanted=wanted)
    found = np.isin(hashed["molecule"].to_numpy(), index.molecules)
    return {text for text, known in zip(hashed["smiles"].to_pylist(), found.tolist(), strict=True) if known}


def _imported(context: RunContext) -> list[str]:
    """Return the names of the components with imported scores, which cannot be computed."""
    return [each.component.name for each in context.objective.components if isinstance(each.component, Imported)]


def _expensive(context: RunContext) -> list[str]:
    """Return the names of the components that are expensive."""
    return [each.component.name for each in context.objective.components if each.component.cost == "high"]


def _report(
    context: RunContext,
    training: OfflineTraining,
    policy: Policy,
    best_iteration: int | None,
    found: Relabelled | None,
) -> OfflineReport:
    checks, pinned, notes = training.checks, training.pinned, []
    assert pinned.chosen is not None
    draws = None
    if checks.evaluate is not None:
        draws = checks.evaluate(policy, training.loader.iteration, checks.oracle_calls)
    if draws is None:
        notes.append(_why_no_draws(context))
    elif draws.scored is None and draws.draws and (imported := _imported(context)):
        notes.append(f"fresh draws have no reward: nothing computes {', '.join(imported)}, which was imported")
    elif draws.scored is None and draws.draws:
        names = ", ".join(_expensive(context))
        notes.append(
            f"fresh draws have no reward: {names} is expensive; offline.evaluation.expensive = true computes it"
        )
    elif draws.draws < training.judging.evaluation.draws:
        notes.append(f"{draws.draws} draws count: offline.evaluation.max_oracle_calls allows no more molecules")
    estimate, loss = _estimate(training, policy)
    if estimate.refused is not None:
        notes.append(f"no off-policy estimate: {estimate.refused}")
    return OfflineReport(
        data=data_quality(pinned.chosen.whole, context.seed),
        last=last_quality(pinned.chosen.whole),
        policy=draws,
        off_policy=estimate,
        held_out=len(pinned.chosen.held_out),
        validation_loss=loss,
        criterion=training.judging.validation.criterion,
        best_iteration=best_iteration,
        relabelled=found,
        notes=notes,
    )


def _why_no_draws(context: RunContext) -> str:
    if context.prior.model.condition_kind is ConditionKind.SOURCES:
        return "no fresh draws: the policy needs sources"
    if imported := _imported(context):
        return f"no fresh draws: nothing computes {', '.join(imported)}, which was imported"
    return (
        "no fresh draws: offline.evaluation.draws = 1000 evaluates the policy by 1000 draws; for the policy of this "
        f"run, add --resume {context.run_id[:8]} --draws 1000"
    )


def _estimate(training: OfflineTraining, policy: Policy) -> tuple[OffPolicyEstimate, float | None]:
    """Return the off-policy estimate of a policy, and the loss of the held-out rows under it."""
    checks = training.checks
    if not checks.held_out:
        return OffPolicyEstimate(refused="no rows are held out; offline.validation = 0.1 holds out a tenth"), None
    learner = training.learner
    if policy.sha256 != learner.policy().sha256:
        learner = Learner(learner.prior, learner.loss, agent=policy)
    found = held_out_quality(learner, checks.held_out)
    least = training.judging.evaluation.least_sample_size
    loss = found.loss if checks.best is None else checks.best.loss
    return off_policy_estimate(found.log_ratios, found.rewards, least), loss
