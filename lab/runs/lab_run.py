"""A run of a lab: it builds the buffer and trains the policy, in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from molbuffer.kinds import shown
from molbuffer.lab.arguments import (
    LossFunction,
    RowProgress,
    as_loss,
    as_selection,
    check_learner,
    check_sampler,
    check_samplers,
)
from molbuffer.lab.building import BufferBuilder, Chunk, chunk_rows, commit_chunk
from molbuffer.lab.context import RunContext
from molbuffer.lab.errors import RunError
from molbuffer.lab.provenance import objective_definition
from molbuffer.lab.recording import with_valence
from molbuffer.lab.runs.position import RunPosition
from molbuffer.lab.runs.results import TrainingResult
from molbuffer.lab.runs.samplers import RunSamplers
from molbuffer.lab.runs.statements import RunStatements, check_stage, stage_statement
from molbuffer.lab.score_failures import ScoreFailures, check_kept, log_warning
from molbuffer.lab.training import Training, TrainingPlan, go_on, online_training, run_training
from molbuffer.samplers import DrawCounts, Policy, RunHistory, Sampler, SamplerSize, Vocabulary, check_stored_scores
from molbuffer.scoring import Filter, Objective
from molbuffer.storage import BuildReceipt, KeptOfRun, RunStatus, Selection, Uniform, check_predicate
from molbuffer.training import (
    BatchPlan,
    BestAgent,
    DiversitySettings,
    Ending,
    FitProgress,
    GuardSettings,
    LearnerSettings,
    Loss,
    Replay,
    StageEndSettings,
    StopSettings,
    Trainable,
    Trainables,
    Waiting,
)


class LabRun:
    """A run of a lab, which ``Lab.run`` yields.

    A resumed run repeats no work: it finds a committed build by its number among the builds of its sampler, and
    continues a training from the last checkpoint. Therefore the same statements, executed again with
    ``resume=run_id``, go on where they were interrupted.

    Example:
        >>> with lab.run("example", objective=mb.Objective([mb.QED()]), seed=0) as run:
        ...     receipts = run.build(mb.ModelSampler("agent", run.agent), n=8)
        >>> receipts[0].kept
        8
    """

    def __init__(self, context: RunContext, status: RunStatus) -> None:
        self._context = context
        self._best = BestAgent(context.start)
        self._samplers = RunSamplers(context, self.agent, self._best)
        self._statements = RunStatements(context, self._is_own)
        self._position = RunPosition()
        self._closed = False
        self.resumed = status is RunStatus.RESUMED

    def __repr__(self) -> str:
        return f"<run {self.run_id} of {self._context.store.path}, iteration {self._position.iteration}>"

    def close(self) -> None:
        """Refuse further builds and trainings by this object, since the run has ended."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise RunError(f"the block of run {self.run_id} has ended: go on with it by resume={self.run_id!r}")

    @property
    def run_id(self) -> str:
        """The id of the run, which ``Lab.run`` takes as ``resume``."""
        return self._context.run_id

    @property
    def seed(self) -> int:
        """The seed of all draws of the run."""
        return self._context.seed

    @property
    def prior(self) -> Policy:
        """The policy that the loss keeps the trained policy close to."""
        return self._context.prior

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary of the policy, in which samplers of files and of the history encode their rows."""
        return self._context.prior.vocabulary

    def agent(self) -> Policy:
        """Return the present policy in training; before a training, the policy that it starts from.

        Pass the method itself to samplers, as ``ModelSampler("agent", run.agent)``: they call it at each draw.
        """
        training = self._position.training
        return self._context.start if training is None else training.learner.policy()

    @property
    def best(self) -> BestAgent:
        """The best agent of the run up to now, for samplers, as ``ModelSampler("reminder", run.best)``.

        It is the policy in training as it was when its live draws had the highest mean reward.
        """
        return self._best

    def stored_rows(self, runs: str | Sequence[str] = "own", where: str | None = None) -> RunHistory:
        """Return the stored rows that a ``HistorySampler`` may draw.

        Args:
            runs: "own", "all", or ids of runs, which may include "own"; rows of other runs are read as of the start of
                this run.
            where: an SQL condition on ``sample_history``; None is all rows.
        """
        store, record = self._context.store, self._context.store.run(self.run_id)
        names = [runs] if isinstance(runs, str) else runs
        ids = tuple(self.run_id if name == "own" else store.run(name).run_id for name in names if name != "all")
        return RunHistory(
            store,
            self.run_id,
            objective_sha256=self._context.objective_sha256,
            vocabulary=self.vocabulary,
            settled=self._position.settled,
            unsettled=self._position.unsettled,
            foreign_snapshot=record.pinned_snapshot,
            runs=None if "all" in names else ids,
            where=None if where is None else check_predicate(where),
        )

    def build(
        self, sampler: Sampler, n: int, *, progress: RowProgress = lambda done, total: None
    ) -> list[BuildReceipt]:
        """Fill the buffer with n kept molecules of a sampler, scored and committed; return the receipts.

        The k-th build of a sampler, by its name, is made once in a run. Whenever a later training needs rows, it draws
        n more with the sampler.

        Args:
            sampler: the sampler.
            n: the number of kept rows.
            progress: called with the number of rows made and the number of all, after each chunk.

        Raises:
            RunConflictError: the run is resumed, and the build had other arguments before.
            EmptyBuildError: no molecule was kept.
            FailedScoresError: too many molecules have no reward, since their score failed.
        """
        self._check_open()
        check_sampler(sampler)
        if not isinstance(n, int) or isinstance(n, bool) or n < 1:
            raise ValueError(f"n: expected a number of rows of at least 1, got {shown(n)}")
        iteration = self._position.iteration
        built = self._samplers.built(sampler.name, iteration)
        self._statements.build(sampler, n, iteration=iteration, number=len(built))
        self._samplers.keep(sampler, SamplerSize(buffer_size=n))
        self._samplers.publish(sampler)
        order = self._samplers.order(sampler.name)
        before = DrawCounts.before(iteration, self._context.store.receipts(self.run_id))
        failures = ScoreFailures(self._context, iteration)
        receipts: list[BuildReceipt] = []
        done = 0
        for wanted in chunk_rows(n, in_chunks=sampler.in_chunks):
            chunk = Chunk(
                iteration,
                order,
                len(built),
                wanted,
                drawn_before=before.of(sampler.name),
                attempt_id=self.run_id,
            )
            receipts.append(commit_chunk(self._context, sampler, chunk))
            built.append(receipts[-1])
            done += wanted
            failures.look(n - done)
            progress(done, n)
        failures.end()
        check_kept(self._context, receipts)
        return receipts

    def train(
        self,
        *,
        batch_size: int,
        iterations: int,
        samplers: Mapping[str, float] | Sequence[Sampler] = (),
        selection: Selection | str = Uniform(),
        loss: Loss | LossFunction | str = "reinvent",
        learner: LearnerSettings = LearnerSettings(),
        build_every: int = 0,
        own_only: bool = False,
        replay: Replay = Replay(),
        train_on_invalid: bool = False,
        checkpoint_every: int = 10,
        trainables: Sequence[Trainable] = (),
        max_oracle_calls: int | None = None,
        max_minutes: float | None = None,
        patience: int | None = None,
        patience_top: int = StopSettings.patience_top,
        guard: GuardSettings | None = None,
        diversity: DiversitySettings | None = None,
        until: StageEndSettings | None = None,
        objective: Objective | None = None,
        filters: Sequence[Filter] | None = None,
        pending_timeout: float = Waiting.timeout_seconds,
        progress: Callable[[FitProgress], None] = lambda _: None,
    ) -> TrainingResult:
        """Train the policy until the run has done a number of iterations, from its last checkpoint if it has one.

        Args:
            batch_size: the number of rows of a batch.
            iterations: the number of iterations of the run; a finished training is extended by a larger number.
            samplers: the sources of live rows: the shares of a batch by the names of samplers that have built, or
                samplers with a size. The rest of the batch comes from the buffer.
            selection: the rule that chooses rows of the buffer, or the name of a kind, with its defaults.
            loss: a loss, the name of a kind of losses, or a function of the rows of a step that is valid on any rows
                with a reward.
            learner: the learning rate and the largest norm of a gradient.
            build_every: the number of iterations between builds of the buffer; 0 builds only when it cannot fill a
                batch.
            own_only: leave out stored rows of other runs.
            replay: the number of gradient steps in an iteration, and the rows that they take from the buffer.
            train_on_invalid: train also on strings that are not molecules, with reward 0.
            checkpoint_every: the number of iterations between checkpoints, from which the run can be resumed.
            trainables: the trainers of latent priors and latent vectors of samplers.
            max_oracle_calls: the most different molecules that the run asks its objective for, builds included; the
                training ends when they are used up. None is no limit.
            max_minutes: the most minutes of training, over all parts of a resumed run; None is no limit.
            patience: the number of iterations without a rise of the mean reward of the best molecules after which the
                training ends; None is no limit.
            patience_top: the number of best molecules.
            guard: the guard against collapse; None has no guard.
            diversity: the diversity memory; None leaves rewards as they are.
            until: the conditions that end the training earlier, as a stage of the run; each further ``train`` of the
                block goes on from its end, with its own arguments. None is the whole run.
            objective: the objective of this training; None is that of the run.
            filters: the filters of this training, as in ``Lab.run``; None is those of the run.
            pending_timeout: for an objective with a backlog, the most seconds that the training waits for rows without
                a new score or claim.
            progress: called after each iteration.

        Raises:
            RunConflictError: the run is resumed, and the training had other arguments before (``lab.given`` lists those
                that may change), or has done more iterations.
            BatchShortError: the samplers and the buffer cannot fill a batch.
            DivergedError: the loss is infinite or NaN.
            FailedScoresError: too many molecules have no reward, since their score failed.
        """
        self._check_open()
        check_learner(learner)
        check_samplers(samplers)
        if checkpoint_every < 1:
            raise ValueError(f"checkpoint_every: expected at least 1 iteration, got {checkpoint_every}")
        plan = TrainingPlan(
            BatchPlan(
                batch_size,
                iterations,
                self.seed,
                build_every=build_every,
                train_on_invalid=train_on_invalid,
                replay=replay,
            ),
            as_loss(loss),
            learner=learner,
            selection=as_selection(selection),
            own_only=own_only,
            checkpoint_every=checkpoint_every,
            keep=KeptOfRun(checkpoints=2, policies=3, kind=self._context.start.kind),
            stops=StopSettings(max_oracle_calls, max_minutes, patience, patience_top),
            guard=guard,
            diversity=diversity,
            stage_end=until,
            last_stage=False,
            best=self._best if self._samplers.draws_from_best(samplers) else None,
            waiting=Waiting(pending_timeout),
        )
        self._samplers.take_sizes(samplers)
        number = self._statements.trainings
        context = self._context_of(number, until=until, objective=objective, filters=filters)
        context = replace(context, max_oracle_calls=max_oracle_calls)
        made = self._samplers.all()
        self._statements.training(plan, made, trainables, stage_statement(until, objective, filters))
        if (stays := self._samplers.best_that_stays()) is not None:
            log_warning(
                f"the sampler {stays!r} draws from run.best, which is chosen by the live rows of the policy in "
                "training, but no sampler of run.agent has a p_batch: run.best stays the policy that the training "
                "started from; give a sampler of run.agent a p_batch"
            )
        self._position.training = None
        training = online_training(context, plan, lambda *_: made, lambda _: Trainables(tuple(trainables)))
        self._position.training = training
        for sampler in made:
            self._samplers.publish(sampler)
        go_on(training, self._context.store)
        self._samplers.count_in(training)
        with self._position.in_training(training):
            if not self._statements.is_over(number):
                self._statements.end(number, self._run(training, context, progress))
        return TrainingResult.of(context, training, self._statements.reason(number))

    def _run(self, training: Training, context: RunContext, progress: Callable[[FitProgress], None]) -> Ending | None:
        failures = ScoreFailures(context, since=training.loader.iteration)

        def make_chunks(iteration: int, _: object, __: object, asked: Sequence[str]) -> list[BuildReceipt]:
            return self._samplers.make_chunks(context, training, failures, iteration, asked)

        training.loader.build_buffer = BufferBuilder(training, failures, make_chunks)
        return run_training(training, failures, progress)

    def _context_of(
        self,
        number: int,
        *,
        until: StageEndSettings | None,
        objective: Objective | None,
        filters: Sequence[Filter] | None,
    ) -> RunContext:
        """Return the context of a training, with its own objective and filters, and record the objective."""
        check_stage(until, objective, filters)
        context = self._context
        if (until, objective, filters) != (None, None, None):
            context = replace(context, stage=number)
        if filters is not None:
            context = replace(context, filters=with_valence(filters))
        if objective is not None and objective.sha256 != context.objective.sha256:
            check_stored_scores(objective, context.store)
            context.store.record_objective(objective.sha256, objective_definition(objective))
            context = replace(context, objective=objective)
        return context

    def _is_own(self, policy: Policy) -> bool:
        return policy.sha256 in (self._context.start.sha256, self.agent().sha256)
