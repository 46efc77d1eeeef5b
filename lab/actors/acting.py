"""The work of an actor: one build after another, each with the newest policy that its learner has published."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field

from molbuffer.lab.actors.progress import (
    LearnerState,
    PublishedPolicy,
    inserted_rows,
    learner_state,
    published_policy,
    sampled_rows,
)
from molbuffer.lab.context import RunContext
from molbuffer.lab.score_failures import ScoreFailures, warn_of_empty
from molbuffer.samplers import (
    BuildSpec,
    OracleCalls,
    Policy,
    Sampler,
    SeenWithActors,
    calls_with_actors,
    load_policy,
    make_build,
)
from molbuffer.storage import BuildReceipt, Commit, Event
from molbuffer.training import RateLimit

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
"""The first and the longest pause between two queries of a waiting actor, in seconds; each is 1.5 times the last."""


@dataclass
class PresentPolicy:
    """The policy that an actor draws with, which changes as the learner publishes.

    Attributes:
        policy: the policy.
        iteration: the number of iterations that it has learned from.
    """

    policy: Policy
    iteration: int = 0


@dataclass(frozen=True)
class ActorChunk:
    """A part of a build that is committed at once.

    Attributes:
        sampler: the place of its sampler in the run.
        wanted: the number of kept rows to draw.
    """

    sampler: int
    wanted: int


@dataclass(frozen=True)
class ActorPlan:
    """The builds of an actor, and the conditions under which it makes them.

    Attributes:
        limit: the rate limit between actors and learner.
        chunks: returns the chunks of a build, in row order, given the iteration of the policy that draws it.
        patience: how long the actor waits for a learner that is gone, in seconds.
        deserted: returns whether the process that started the actor is gone; the actor then ends.
        pause: waits a number of seconds.
    """

    limit: RateLimit
    chunks: Callable[[int], Sequence[ActorChunk]]
    _: KW_ONLY
    patience: float = 1800.0
    deserted: Callable[[], bool] = lambda: False
    pause: Callable[[float], None] = time.sleep


@dataclass
class Actor:
    """An actor of a learner.

    A build has the iteration of the policy that drew it. Chunk numbers count on through the run of the actor, so that a
    resumed actor goes on after its last commit: a kill loses no more than the uncommitted build.

    Attributes:
        context: the run of the actor.
        learner_id: the run of the learner.
        plan: the builds, and the conditions under which they are made.
        present: the policy that the actor draws with.
        samplers: the samplers in the order of the configuration, which draw with the present policy.
        failures: ends the actor when too many scores fail.
    """

    context: RunContext
    learner_id: str
    plan: ActorPlan
    present: PresentPolicy
    samplers: Sequence[Sampler]
    failures: ScoreFailures
    _: KW_ONLY
    _chunks: Counter[str] = field(default_factory=Counter, init=False)
    _drawn: Counter[str] = field(default_factory=Counter, init=False)

    def __post_init__(self) -> None:
        for receipt in self.context.store.receipts(self.context.run_id):
            self._count(receipt)

    def run(self, builds: int | None = None) -> str:
        """Make builds until the learner has ended; return the reason of the end.

        Args:
            builds: the most builds to make; None is no limit.

        Raises:
            FailedScoresError: too many molecules have no reward, since their score failed.
        """
        made, ending = 0, None
        while ending is None and (builds is None or made < builds):
            if (ending := self._wait()) is None:
                self._build()
                made += 1
        self.failures.end()
        return ending or f"{made} builds"

    def _wait(self) -> str | None:
        """Wait until the actor may build, and take the newest policy; return the reason if the actor ends instead."""
        pause, gone_since = FIRST_PAUSE, None
        while True:
            learner, now = learner_state(self.context.store, self.learner_id), time.monotonic()
            gone_since = (gone_since or now) if learner.gone else None
            if (ending := self._ending(learner, 0.0 if gone_since is None else now - gone_since)) is not None:
                return ending
            policy = self._newest()
            if self._may_build(policy):
                self._take(policy)
                return None
            self.plan.pause(pause)
            pause = min(1.5 * pause, LONGEST_PAUSE)

    def _ending(self, learner: LearnerState, gone_for: float) -> str | None:
        """Return why the actor ends before its next build; None if it does not."""
        if learner.ended:
            return f"run {self.learner_id} has {learner.status}"
        if self.plan.deserted():
            return "the process that started the actor is gone"
        if gone_for > self.plan.patience:
            minutes = self.plan.patience / 60
            return f"no process has worked on run {self.learner_id} for {minutes:g} minutes"
        limit = self.context.max_oracle_calls
        if limit is not None and self._calls(limit).used_up:
            return f"{limit} oracle calls of run {self.learner_id} and its actors"
        return None

    def _newest(self) -> PublishedPolicy:
        start = self.context.start
        return published_policy(self.context.store, self.learner_id, start.kind, start.sha256)

    def _may_build(self, policy: PublishedPolicy) -> bool:
        store, objective = self.context.store, self.context.objective_sha256
        rows = sum(chunk.wanted for chunk in self.plan.chunks(policy.iteration))
        if not rows:
            return False
        sampled = sampled_rows(store, self.learner_id)
        inserted = inserted_rows(store, self.learner_id, objective)
        # Pending rows count as inserted: their rewards will be completed.
        return self.plan.limit.may_insert(rows, inserted=inserted.good + inserted.pending, sampled=sampled)

    def _take(self, policy: PublishedPolicy) -> None:
        if policy.sha256 != self.present.policy.sha256:
            folder, device = self.context.store.policies.folder(policy.sha256), self.context.prior.model.device
            self.present.policy = load_policy(folder, device)
        self.present.iteration = policy.iteration

    def _build(self) -> None:
        receipts = [self._commit(chunk) for chunk in self.plan.chunks(self.present.iteration)]
        self.failures.judge()
        warn_of_empty(self.context, receipts, self.failures.warn)

    def _commit(self, chunk: ActorChunk) -> BuildReceipt:
        context, sampler = self.context, self.samplers[chunk.sampler]
        spec = BuildSpec(
            run_id=context.run_id,
            iteration=self.present.iteration,
            event=Event.BUILD_BUFFER,
            sampler_order=chunk.sampler,
            wanted=chunk.wanted,
            campaign_seed=context.seed,
            chunk=self._chunks[sampler.name],
            attempt_id=context.run_id,
            drawn_before=self._drawn[sampler.name],
        )
        limit = context.max_oracle_calls
        calls = None if limit is None else self._calls(limit)
        seen = SeenWithActors(context.store, self.learner_id)
        build = make_build(sampler, spec, context.pipeline(seen, calls, approximate=True, backlog=True))
        message = f"build of {sampler.name} by an actor of run {self.learner_id}, policy of iteration {spec.iteration}"
        receipt = context.store.commit(Commit(builds=[build], message=message)).builds[0]
        self._count(receipt)
        return receipt

    def _calls(self, limit: int) -> OracleCalls:
        pairs = self.context.template is not None
        return calls_with_actors(self.context.store, limit, run_id=self.learner_id, pairs=pairs)

    def _count(self, receipt: BuildReceipt) -> None:
        self._chunks[receipt.sampler] += 1
        self._drawn[receipt.sampler] += receipt.drawn
