"""A run of a lab: it builds the buffer and trains the policy, in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import Tensor

from molbuffer.kinds import shown
from molbuffer.lab.arguments import as_loss, as_selection, check_learner, check_sampler, check_samplers
from molbuffer.lab.building import BufferBuilder, Chunk, chunk_rows, commit_chunk, publish_latents
from molbuffer.lab.context import RunContext
from molbuffer.lab.errors import RunError
from molbuffer.lab.given import Given, described, described_sampler
from molbuffer.lab.provenance import objective_definition
from molbuffer.lab.recording import check_filters, check_objective, with_valence
from molbuffer.lab.score_failures import ScoreFailures, check_kept
from molbuffer.lab.training import Training, TrainingPlan, go_on, online_training, run_training
from molbuffer.samplers import (
    BuildPlace,
    DrawCounts,
    Policy,
    RunHistory,
    Sampler,
    SamplerSize,
    Vocabulary,
    check_stored_scores,
    policy_files,
)
from molbuffer.scoring import Filter, Objective
from molbuffer.storage import (
    Build,
    BuildReceipt,
    Commit,
    Event,
    KeptOfRun,
    PolicyVersion,
    RunStatus,
    Selection,
    Uniform,
    check_predicate,
    make_build_id,
)
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
    ScoredSequences,
    StageEndSettings,
    StopSettings,
    Trainable,
    Trainables,
)

RowProgress = Callable[[int, int], None]
"""Told of long work: a function of the number of rows that are done and of all."""
LossFunction = Callable[[ScoredSequences], Tensor]
"""A loss of rows, a scalar, that is valid on any rows with a reward."""


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training.

    Attributes:
        run_id: the id of the run.
        policy_sha256: the sha256 of the trained policy, by which ``Lab.policy`` opens it.
        iterations: the number of iterations that the run has done.
        rows: the number of stored rows that the training could read.
        failed_scores: the number of scores of the run that could not be computed.
        oracle_calls: the number of different molecules that the run has asked its objective for; None offline.
        ended: why the training ended before its last iteration; None if it did not.
    """

    run_id: str
    policy_sha256: str
    iterations: int
    rows: int
    failed_scores: int
    oracle_calls: int | None = None
    ended: str | None = None

    @classmethod
    def of(cls, context: RunContext, training: Training, ending: Ending | None = None) -> TrainingResult:
        """Return the result of a training that has ended, and why if that was before its last iteration."""
        return cls(
            context.run_id,
            training.learner.policy().sha256,
            training.loader.iteration,
            len(training.loader.buffer.index),
            context.failed_scores,
            oracle_calls=None if training.calls is None else training.calls.count,
            ended=None if ending is None else ending.reason,
        )


class LabRun:
    """A run of a lab, as the context that ``Lab.run`` gives.

    A run that is gone on with repeats no work: a build that was committed is found by its number among the builds of
    its sampler, and a training continues from the last checkpoint. So the same statements, executed again with
    ``resume=run_id``, go on where they were interrupted.

    Example:
        >>> with lab.run("example", objective=mb.Objective([mb.QED()]), seed=0) as run:
        ...     receipts = run.build(mb.ModelSampler("agent", run.agent), n=8)
        >>> receipts[0].kept
        8
    """

    def __init__(self, context: RunContext, status: RunStatus) -> None:
        self._context = context
        self._samplers: dict[str, Sampler] = {}
        self._built: dict[tuple[int, str], list[BuildReceipt]] = {}
        self._iteration = 0
        self._training: Training | None = None
        self._best = BestAgent(context.start)
        self._trainings = 0
        self._given = Given(context.store, context.run_id)
        self._in_training = False
        self._closed = False
        self.resumed = status is RunStatus.RESUMED

    def __repr__(self) -> str:
        return f"<run {self.run_id} of {self._context.store.path}, iteration {self._iteration}>"

    def close(self) -> None:
        """End the run for this object: its record says finished, failed or interrupted, and nothing follows that."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise RunError(f"the block of run {self.run_id} has ended: go on with it by resume={self.run_id!r}")

    @property
    def run_id(self) -> str:
        """The id of the run, with which ``Lab.run`` goes on with it."""
        return self._context.run_id

    @property
    def seed(self) -> int:
        """The seed that all draws of the run follow from."""
        return self._context.seed

    @property
    def prior(self) -> Policy:
        """The policy that the loss keeps the trained one close to."""
        return self._context.prior

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary of the policy, in which samplers of files and of the history give their rows."""
        return self._context.prior.vocabulary

    def agent(self) -> Policy:
        """Return the policy in training as it is now; before a training, the one that it starts from.

        Give samplers the method itself, as ``ModelSampler("agent", run.agent)``: they call it at each draw.
        """
        return self._context.start if self._training is None else self._training.learner.policy()

    @property
    def best(self) -> BestAgent:
        """The best agent of the run up to now, for samplers, as ``ModelSampler("reminder", run.best)``.

        It is the policy in training as it was when its live draws had the highest mean reward.
        """
        return self._best

    def stored_rows(self, runs: str | Sequence[str] = "own", where: str | None = None) -> RunHistory:
        """Return the stored rows that a sampler of the history may draw, as ``HistorySampler`` takes them.

        Args:
            runs: "own", "all", or ids of runs, which may include "own"; rows of others as of the start of the run.
            where: an SQL condition on ``sample_history``.
        """
        store, record = self._context.store, self._context.store.run(self.run_id)
        names = [runs] if isinstance(runs, str) else runs
        ids = tuple(self.run_id if name == "own" else store.run(name).run_id for name in names if name != "all")
        return RunHistory(
            store,
            self.run_id,
            objective_sha256=self._context.objective_sha256,
            vocabulary=self.vocabulary,
            settled=self._settled,
            unsettled=self._unsettled,
            foreign_snapshot=record.pinned_snapshot,
            runs=None if "all" in names else ids,
            where=None if where is None else check_predicate(where),
        )

    def build(
        self, sampler: Sampler, n: int, *, progress: RowProgress = lambda done, total: None
    ) -> list[BuildReceipt]:
        """Fill the buffer with n kept molecules of a sampler, scored and committed; return the receipts.

        The k-th build of a sampler, by its name, is made once in a run. A training builds n more with the sampler
        whenever it needs rows.

        Args:
            sampler: the sampler.
            n: the number of kept rows.
            progress: told the number of rows made and wanted, after each portion.

        Raises:
            RunConflictError: the run is gone on with, and the build was another one.
            EmptyBuildError: no molecule was kept.
            FailedScoresError: too many molecules have no reward, since their score failed.
        """
        self._check_open()
        check_sampler(sampler)
        if not isinstance(n, int) or isinstance(n, bool) or n < 1:
            raise ValueError(f"n: expected a number of rows of at least 1, got {shown(n)}")
        self._give_build(sampler, n)
        self._keep(sampler, SamplerSize(buffer_size=n))
        self._publish(sampler)
        order = list(self._samplers).index(sampler.name)
        before = DrawCounts.before(self._iteration, self._context.store.receipts(self.run_id))
        built = self._built.setdefault((self._iteration, sampler.name), [])
        failures = ScoreFailures(self._context, self._iteration)
        receipts: list[BuildReceipt] = []
        done = 0
        for wanted in chunk_rows(n, in_chunks=sampler.in_chunks):
            chunk = Chunk(
                self._iteration,
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
        progress: Callable[[FitProgress], None] = lambda _: None,
    ) -> TrainingResult:
        """Train the policy until the run has done a number of iterations, from its last checkpoint if it has one.

        Args:
            batch_size: the number of rows of a batch.
            iterations: the number of iterations of the run; more than it has done extends it.
            samplers: draw live rows: the share of a batch by the name of a sampler that has built, or samplers with a
                size. What they leave comes from the buffer.
            selection: chooses the rows of the buffer; a text names a kind with its defaults.
            loss: the name of a kind of losses, a loss, or a function of the rows of a step that is valid on any rows
                with a reward.
            learner: the learning rate and the largest norm of a gradient.
            build_every: the iterations between builds of the buffer; 0 builds only when it cannot fill a batch.
            own_only: leave out stored rows of other runs.
            replay: the number of gradient steps in an iteration, and what they take from the buffer.
            train_on_invalid: train also on strings that are no molecules, with reward 0.
            checkpoint_every: the iterations between checkpoints, from which the run can be gone on with.
            trainables: the trainers of latent priors and vectors of samplers.
            max_oracle_calls: the most different molecules that the run asks its objective for, builds included; the
                training ends with the last of them. None is without end.
            max_minutes: the most minutes of training, those of the parts of a resumed run together.
            patience: the iterations without a rise of the mean reward of the best molecules that end the training.
            patience_top: the number of best molecules.
            guard: the guard against collapse; None is none.
            diversity: the diversity memory; None has every reward count in full.
            until: has the training end earlier, as a stage of the run that others may follow: each further ``train`` of
                the block goes on from here, with what it is given.
            objective: gives the rewards of this training; None is that of the run.
            filters: those of this training, asked as in ``Lab.run``; None is those of the run.
            progress: called after each iteration.

        Raises:
            RunConflictError: the run is gone on with, and the training was another one (``lab.given`` has what may
                change), or has done more iterations.
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
            best=self._best if self._draws_from_best(samplers) else None,
        )
        self._take_sizes(samplers)
        number = self._trainings
        context = self._context_of(number, until=until, objective=objective, filters=filters)
        context = replace(context, max_oracle_calls=max_oracle_calls)
        made = list(self._samplers.values())
        self._give_training(plan, made, trainables, stage_statement(until, objective, filters))
        self._training = None
        training = online_training(context, plan, lambda *_: made, lambda _: Trainables(tuple(trainables)))
        self._training = training
        for sampler in made:
            self._publish(sampler)
        go_on(training, self._context.store)
        if any(iteration == training.loader.iteration for iteration, _ in self._built):
            # Builds of an iteration come before its batch, also those that no training has asked for.
            training.seen.read(training.loader.iteration, Event.SAMPLE_BATCH)
            if training.screener is not None:
                training.screener.read(BuildPlace(training.loader.iteration, Event.SAMPLE_BATCH.value))
        for name in self._samplers:
            built = self._built_now(name, training.loader.iteration)
            training.drawn.add(name, sum(receipt.drawn for receipt in built))
            if training.calls is not None:
                training.calls.read_builds(receipt.build_id for receipt in built)
        failures = ScoreFailures(context, since=training.loader.iteration)
        training.loader.build_buffer = BufferBuilder(
            training, failures, lambda at, _, __, asked: self._make_chunks(context, training, failures, at, asked)
        )
        self._in_training = True
        ending = None
        try:
            # One that another has followed had come to its end, which may have been before its last iteration.
            if not self._given.followed(number):
                ending = run_training(training, failures, progress)
        finally:
            self._iteration, self._in_training = training.loader.iteration, False
        return TrainingResult.of(context, training, ending)

    def _context_of(
        self,
        number: int,
        *,
        until: StageEndSettings | None,
        objective: Objective | None,
        filters: Sequence[Filter] | None,
    ) -> RunContext:
        """Return the run as it is in a training, whose objective is recorded."""
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

    def _draws_from_best(self, samplers: Mapping[str, float] | Sequence[Sampler]) -> bool:
        known = self._samplers.values()
        given = (each for each in known if each.name in samplers) if isinstance(samplers, Mapping) else samplers
        return any(getattr(each, "policy", None) is self._best for each in [*known, *given])

    def _give_build(self, sampler: Sampler, n: int) -> None:
        """Record a build before it is made, or refuse one that differs from that in its place."""
        number = len(self._built.get((self._iteration, sampler.name), []))
        sources: dict[str, str] = {}
        statement = {"n": n, "sampler": described_sampler(sampler, self._is_own, sources), "sources": sources}
        build_id = make_build_id(self.run_id, self._iteration, Event.BUILD_BUFFER, sampler.name, number)
        receipts = self._context.store.receipts(self.run_id, iteration=self._iteration, event=Event.BUILD_BUFFER)
        self._given.build(
            statement,
            iteration=self._iteration,
            number=number,
            name=sampler.name,
            made=any(receipt.build_id == build_id for receipt in receipts),
        )

    def _give_training(
        self,
        plan: TrainingPlan,
        samplers: Sequence[Sampler],
        trainables: Sequence[Trainable],
        stage: Mapping[str, Any],
    ) -> None:
        """Record a training before it begins, or refuse one that differs from that in its place."""
        sources: dict[str, str] = {}
        statement = {
            **training_statement(plan, sources),
            **stage,
            "samplers": {
                each.name: {
                    "p_batch": each.size.p_batch,
                    "buffer_size": each.size.buffer_size,
                    "sampler": described_sampler(each, self._is_own, sources),
                }
                for each in samplers
            },
            "trainables": described("trainables", list(trainables), sources),
            "sources": sources,
        }
        checkpoint = self._context.store.latest_checkpoint(self.run_id)
        done = 0 if checkpoint is None else checkpoint.iteration
        self._given.training(statement, number=self._trainings, done=done)
        self._trainings += 1

    def _is_own(self, policy: Policy) -> bool:
        return policy.sha256 in (self._context.start.sha256, self.agent().sha256)

    def _make_chunks(
        self, context: RunContext, training: Training, failures: ScoreFailures, iteration: int, asked: Sequence[str]
    ) -> list[BuildReceipt]:
        """Make the build of an iteration, of which a call of ``build`` may have made some samplers' part."""
        receipts: list[BuildReceipt] = []
        for order, (name, sampler) in enumerate(self._samplers.items()):
            if made := self._built_now(name, iteration):
                # They were counted when the training began, and the loader counts what it is given.
                training.drawn.add(name, -sum(receipt.drawn for receipt in made))
                receipts += made
                continue
            rows = sampler.size.buffer_size_at(iteration)
            for number, wanted in enumerate(chunk_rows(rows, in_chunks=sampler.in_chunks)):
                chunk = Chunk(
                    iteration,
                    order,
                    number,
                    wanted,
                    drawn_before=training.drawn.of(name),
                    attempt_id=self.run_id,
                    asked=asked,
                )
                receipts.append(commit_chunk(context, sampler, chunk))
                failures.look()
        return receipts

    def _built_now(self, name: str, iteration: int) -> list[BuildReceipt]:
        return self._built.get((iteration, name), [])

    def _take_sizes(self, samplers: Mapping[str, float] | Sequence[Sampler]) -> None:
        """Give the samplers of the run their parts of a training."""
        if not isinstance(samplers, Mapping):
            for sampler in samplers:
                self._keep(sampler, sampler.size)
            return
        unknown = sorted(samplers.keys() - self._samplers.keys())
        if unknown:
            known = ", ".join(self._samplers) or "none"
            raise ValueError(
                f"no sampler of the run is called {unknown[0]!r}; those that have built are: {known}. Build with it "
                "first, or give samplers=[...] with a size"
            )
        for name, sampler in self._samplers.items():
            self._keep(sampler, SamplerSize(sampler.size.buffer_size, samplers.get(name, 0.0)))

    def _keep(self, sampler: Sampler, size: SamplerSize) -> None:
        """Remember a sampler with a size, under its name."""
        kept = copy(sampler)
        # Samplers are frozen, and one of another's making need not be a dataclass.
        object.__setattr__(kept, "size", size)
        self._samplers[sampler.name] = kept

    def _publish(self, sampler: Sampler) -> None:
        """Keep the policies and latents that a sampler draws from, apart from the policy in training."""
        store, inner = self._context.store, getattr(sampler, "base_sampler", None)
        if isinstance(inner, Sampler):
            self._publish(inner)
        publish_latents([sampler], store, self.run_id)
        for name in ("policy", "output_model"):
            found = getattr(sampler, name, None)
            if not callable(found) or found in (self.agent, self._best) or not isinstance(policy := found(), Policy):
                continue
            sha256 = store.policies.add(policy_files(policy.model, policy.vocabulary))
            version = PolicyVersion(sha256, policy.kind, weights_kept=True)
            store.commit(Commit(policies=[version], message=f"policies of run {self.run_id}"))

    def _settled(self) -> int:
        """Return the iteration before which all that the run drew is committed.

        Between trainings, that is so of all builds up to now.
        """
        if self._training is not None and self._in_training:
            return self._training.writer.settled()
        return self._iteration + 1

    def _unsettled(self) -> Sequence[Build] | None:
        """Return the live builds of the iterations since, which are not committed; None if there was none."""
        if self._training is None or not self._in_training:
            return None
        return self._training.writer.unsettled()


def check_stage(until: object, objective: object, filters: object) -> None:
    """Refuse what is no end, objective or filters of a training.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(until, StageEndSettings | None):
        raise TypeError(f"until: expected StageEndSettings(mean_reward=..., ...), got {shown(until)}")
    if objective is not None:
        check_objective(objective)
    if filters is not None:
        check_filters(filters)


def stage_statement(
    until: StageEndSettings | None, objective: Objective | None, filters: Sequence[Filter] | None
) -> dict[str, Any]:
    """Return what is a training's own of what a run has, as far as it is given."""
    given = {
        "until": None if until is None else asdict(until),
        "objective": None if objective is None else objective.sha256,
        "filters": None if filters is None else [repr(each) for each in with_valence(filters)],
    }
    return {name: value for name, value in given.items() if value is not None}


def training_statement(plan: TrainingPlan, sources: dict[str, str]) -> dict[str, Any]:
    """Return what a training is given, apart from its samplers, and add the sources of classes of others."""
    batches = plan.batches
    return {
        "batch_size": batches.batch_size,
        "iterations": batches.iterations,
        "build_every": batches.build_every,
        "train_on_invalid": batches.train_on_invalid,
        "replay": asdict(batches.replay),
        "own_only": plan.own_only,
        "checkpoint_every": plan.checkpoint_every,
        "loss": described("losses", plan.loss, sources),
        "learner": described("learners", plan.learner, sources),
        "selection": described("selections", plan.selection, sources),
        "guard": None if plan.guard is None else asdict(plan.guard),
        "diversity": None if plan.diversity is None else asdict(plan.diversity),
    }
