"""A training of a run: assembled from its parts, restored from the last checkpoint, and run.

``online_training``, like ``offline_training`` of ``lab.offline``, makes the parts and writes nothing; ``go_on``
restores them from the last checkpoint, and ``run_training`` trains to the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import partial

from molbuffer.lab.actors import ActorsPlan, FollowedActors
from molbuffer.lab.context import RunContext
from molbuffer.lab.score_failures import ScoreFailures, log_warning
from molbuffer.samplers import BuildPlace, CallsOfTraining, DrawCounts, Policy, Sampler, Screener, SeenMolecules
from molbuffer.samplers.models import UNTRUNCATED
from molbuffer.scoring.components import claimed_as
from molbuffer.storage import Event, KeptOfRun, SampleStore, Selection, Uniform
from molbuffer.training import (
    BEFORE_THE_RUN,
    BUFFER,
    BatchPlan,
    BestAgent,
    BonusLearning,
    Buffer,
    BufferView,
    CallsStop,
    Course,
    DiversityMemory,
    DiversitySettings,
    Ending,
    FitProgress,
    Guard,
    GuardSettings,
    HistoryWriter,
    Learner,
    LearnerSettings,
    LiveSamplers,
    Loss,
    MixedLoader,
    Observer,
    OthersFinds,
    PatienceStop,
    RowsInFlight,
    StageEnd,
    StageEndSettings,
    StopSettings,
    TimeStop,
    Trainables,
    UnsuitableDataError,
    Waiting,
    blind_part,
    commit_checkpoint,
    fit_policy,
)

MakeSamplers = Callable[[Callable[[], Policy], HistoryWriter], Sequence[Sampler]]
"""A function that makes the samplers of a training. Its arguments are a function that returns the present policy in
training, and the writer of the run's history, which knows which rows are committed.
"""


@dataclass(frozen=True)
class TrainingPlan:
    """The settings of a training.

    Attributes:
        batches: the size, number and seed of the batches.
        loss: the loss.
        learner: the settings of the learner.
        selection: the rule that chooses the stored rows of a batch.
        own_only: leave out stored rows of other runs.
        where: an SQL condition on ``sample_history`` that stored rows fulfil; offline only.
        checkpoint_every: the number of iterations between checkpoints.
        keep: the checkpoints and policies of the run to keep while it goes on; None keeps all.
        stops: the conditions that end the training before its last iteration.
        stage_end: the conditions that end the present stage of the run; None for a run without stages.
        last_stage: whether no stage follows.
        guard: the guard against collapse; None has no guard.
        tell: called with messages to the user, such as those of the guard.
        diversity: the diversity memory; None leaves rewards as they are. Online only.
        best: the best agent of the run, from which samplers may draw; None if no sampler does. Online only.
        waiting: the intervals at which the training waits for pending rewards of the backlog.
        actors: the settings by which the learner follows actors; None if this process fills the buffer. Online only.
        first_agent: the run of the first agent, for one of several agents; None for a single run. Online only.
    """

    batches: BatchPlan
    loss: Loss
    _: KW_ONLY
    learner: LearnerSettings = LearnerSettings()
    selection: Selection = Uniform()
    own_only: bool = False
    where: str | None = None
    checkpoint_every: int = 10
    keep: KeptOfRun | None = None
    stops: StopSettings = StopSettings()
    stage_end: StageEndSettings | None = None
    last_stage: bool = True
    guard: GuardSettings | None = None
    tell: Callable[[str], None] = log_warning
    diversity: DiversitySettings | None = None
    best: BestAgent | None = None
    waiting: Waiting = Waiting()
    actors: ActorsPlan | None = None
    first_agent: str | None = None


@dataclass(frozen=True)
class Training:
    """The parts of a training.

    Attributes:
        learner: the policy in training.
        loader: the loader of mixed batches.
        writer: the writer of the run's history.
        seen: the molecules of the run so far.
        checkpoint_every: the number of iterations between checkpoints.
        drawn: the number of rows that each sampler has drawn in the run.
        trainables: the trainers of the samplers' latents.
        calls: the oracle calls of the run; None for a training that scores nothing.
        screener: the screener of live rows; None without screening.
        course: the observers, which may end the training before its last iteration.
    """

    learner: Learner
    loader: MixedLoader
    writer: HistoryWriter
    seen: SeenMolecules
    checkpoint_every: int
    drawn: DrawCounts = field(default_factory=DrawCounts)
    trainables: Trainables = Trainables()
    calls: CallsOfTraining | None = None
    screener: Screener | None = None
    course: Course = Course()


def online_training(
    context: RunContext,
    plan: TrainingPlan,
    samplers: MakeSamplers,
    trainables: Callable[[Sequence[Sampler]], Trainables] = lambda _: Trainables(),
) -> Training:
    """Make the parts of an online training, at its beginning.

    Args:
        context: the run.
        plan: the settings of the training.
        samplers: makes the samplers, in the order of their rows.
        trainables: returns the trainers of the latents of the samplers.
    """
    store, run_id, vocabulary = context.store, context.run_id, context.prior.vocabulary
    seen, writer = SeenMolecules(store, run_id), HistoryWriter(store, run_id, plan.keep)
    learner = Learner(context.prior, plan.loss, plan.learner, context.agent)
    view = BufferView(
        context.objective_sha256,
        run_id=run_id,
        snapshot=store.run(run_id).pinned_snapshot,
        own_only=plan.own_only,
        with_actors=plan.actors is not None,
        train_on_invalid=plan.batches.train_on_invalid,
    )
    made = samplers(learner.policy, writer)
    learner.reminding = reminding(made, plan)
    _check_conditions(context, plan, made)
    if plan.best is not None:
        plan.best.follow(learner, context.objective_sha256)
    checkpoint = store.latest_checkpoint(run_id)
    drawn = DrawCounts() if checkpoint is None else DrawCounts.before(checkpoint.iteration, store.receipts(run_id))
    calls, screener = context.calls(plan.stops.max_oracle_calls), context.screener()
    pipeline = context.pipeline(seen, calls, screener, approximate=plan.actors is not None)
    live = LiveSamplers(made, pipeline, run_id=run_id, campaign_seed=context.seed, made=seen.add, drawn=drawn)
    resumed = checkpoint is not None
    memory = None if plan.diversity is None else diversity_memory(plan.diversity, context, resumed=resumed)
    buffer = Buffer(
        store=store,
        view=view,
        selection=plan.selection,
        vocabulary=vocabulary,
        replay=plan.batches.replay,
        diversity=memory,
    )
    loader = MixedLoader(plan.batches, buffer, live, diversity=memory)
    training = Training(
        learner,
        loader,
        writer,
        seen,
        checkpoint_every=plan.checkpoint_every,
        drawn=drawn,
        trainables=trainables(made),
        calls=calls,
        screener=screener,
        course=Course([CallsStop(calls), *_observers(context, plan, calls, learner, loader)]),
    )
    if context.objective.backlog:
        loader.in_flight = RowsInFlight(
            store,
            run_id,
            context.objective_sha256,
            [
                claimed_as(part.component)
                for part in context.objective.components
                if part.component.name in context.objective.backlog
            ],
            settle=partial(commit_drawn, training),
            waiting=plan.waiting,
            say=plan.tell,
        )
    if plan.actors is not None:
        loader.actors = FollowedActors(
            context,
            plan.actors,
            buffer,
            seen=seen,
            calls=calls,
            publish=lambda: commit_drawn(training),
            tell=plan.tell,
        )
    return training


def _observers(
    context: RunContext, plan: TrainingPlan, calls: CallsOfTraining, learner: Learner, loader: MixedLoader
) -> Iterator[Observer]:
    stops = plan.stops
    if plan.stage_end is not None:
        assert context.stage is not None
        yield StageEnd(context.stage, plan.stage_end, calls, plan.last_stage, lambda: loader.iteration)
    if stops.max_minutes is not None:
        yield TimeStop(stops.max_minutes)
    if stops.patience is not None:
        yield PatienceStop(context.store, context.objective_sha256, stops.patience, stops.patience_top)
    if plan.guard is not None:
        yield Guard(learner, plan.guard, plan.tell)
    if loader.diversity is not None and plan.first_agent is not None:
        # This observer comes before that of the bonus, which learns from these molecules, too.
        yield OthersFinds(context.store, loader.diversity, context.objective_sha256, context.run_id, plan.first_agent)
    if loader.diversity is not None and loader.diversity.bonus is not None:
        yield BonusLearning(loader.diversity)
    if plan.best is not None:
        # This observer comes after the guard, which may change the policy that draws next.
        yield plan.best


def reminding(samplers: Sequence[Sampler], plan: TrainingPlan) -> frozenset[str]:
    """Return the names of the samplers that draw from the best agent of the run.

    Raises:
        UnsuitableDataError: the loss needs live rows of the best agent, but no sampler draws them, or a sampler draws
            them at another temperature or not from all tokens.
    """
    found = [each for each in samplers if plan.best is not None and getattr(each, "policy", None) is plan.best]
    if getattr(plan.loss, "needs_reminders", False):
        if not any(each.size.p_batch for each in found):
            raise UnsuitableDataError(
                f"the loss {plan.loss} learns from rows of the best agent of the run, but no sampler draws them live; "
                'give a sampler with the policy "best" (run.best in Python) a p_batch, or take reinvent',
                rows={},
            )
        for each in found:
            if getattr(each, "sampling", UNTRUNCATED) != UNTRUNCATED:
                raise UnsuitableDataError(
                    f"the loss {plan.loss} needs rows drawn at temperature 1 and from all tokens, but the sampler "
                    f"{each.name!r} draws by {getattr(each, 'sampling', None)}; leave these settings out",
                    rows={each.name: 0},
                )
    return frozenset(each.name for each in found)


def _check_conditions(context: RunContext, plan: TrainingPlan, samplers: Sequence[Sampler]) -> None:
    """Check the conditions of a mixture in a run without builds, and warn of a part that never has rows of this run.

    Raises:
        UnsuitableDataError: a part of the mixture can never have a row; the message names it.
    """
    built = context.store.receipts(context.run_id, event=Event.BUILD_BUFFER)
    if built or any(each.size.buffer_size for each in samplers) or not any(each.size.p_batch for each in samplers):
        return
    if (wrong := blind_part(plan.selection, own=True)) is not None:
        raise UnsuitableDataError(wrong, rows={BUFFER: 0})
    if (half := blind_part(plan.selection, own=False)) is not None:
        plan.tell(half)


_FOUND_BEFORE = """SELECT smiles, max(reward) AS reward FROM {sample_history}
    WHERE objective_sha256 = ? AND run_id <> ? AND kept AND reward >= ? GROUP BY smiles ORDER BY reward DESC, smiles"""


def diversity_memory(settings: DiversitySettings, context: RunContext, *, resumed: bool) -> DiversityMemory:
    """Return the diversity memory of a run: as of its last checkpoint for a resumed run, else as at its beginning."""
    store, run_id, memory = context.store, context.run_id, DiversityMemory(settings)
    if resumed:
        memory.restore(store.bucketed_molecules(run_id))
    elif settings.runs == "all":
        found = store.read_arrow(
            _FOUND_BEFORE,
            snapshot=store.run(run_id).pinned_snapshot,
            parameters=[context.objective_sha256, run_id, settings.min_reward],
        )
        memory.count(BEFORE_THE_RUN, found["smiles"].to_pylist(), found["reward"].to_numpy())
    return memory


def commit_drawn(training: Training) -> bool:
    """Commit the rows of a training up to now, with a checkpoint; return whether there were any."""
    writer = training.writer
    if pending := writer.pending:
        commit_checkpoint(training.learner, training.loader, writer, training.trainables, training.course)
    writer.drain()
    return pending


def go_on(training: Training, store: SampleStore) -> None:
    """Restore a training from the last checkpoint of its run, if it has one."""
    run_id = training.writer.run_id
    checkpoint = store.latest_checkpoint(run_id)
    if checkpoint is None:
        return
    buffer = training.loader.buffer
    training.loader.load_state_dict(training.learner.restore(checkpoint.folder)["loader"])
    training.trainables.restore(checkpoint.folder)
    training.course.restore(checkpoint.folder)
    buffer.restore(store.consumed(run_id, up_to_iteration=checkpoint.iteration))
    training.writer.checkpointed = checkpoint.iteration
    training.seen.read(checkpoint.iteration, Event.BUILD_BUFFER)
    if training.calls is not None:
        training.calls.read(checkpoint.iteration, Event.BUILD_BUFFER)
    if training.screener is not None:
        training.screener.read(BuildPlace(checkpoint.iteration, Event.BUILD_BUFFER.value))


def run_training(
    training: Training,
    failures: ScoreFailures | None = None,
    progress: Callable[[FitProgress], None] = lambda _: None,
) -> Ending | None:
    """Train until the loader or the course ends; return why the course ended.

    Args:
        training: the training.
        failures: judges the scores of live molecules at each checkpoint; None for a training that scores nothing.
        progress: called after each iteration.

    Raises:
        FailedScoresError: too many molecules have no reward, since their score failed.
    """

    def report(done: FitProgress) -> None:
        progress(done)
        # Live molecules are stored with checkpoints.
        if failures is not None and done.iteration % training.checkpoint_every == 0:
            failures.judge()

    with training.writer:
        ending = fit_policy(
            training.learner,
            training.loader,
            training.writer,
            trainables=training.trainables,
            course=training.course,
            checkpoint_every=training.checkpoint_every,
            progress=report,
        )
    if failures is not None:
        failures.end()
    of_run = None if ending is None or ending.of_stage else ending.reason
    training.writer.store.note_ending(training.writer.run_id, of_run)
    return ending
