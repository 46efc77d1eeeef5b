"""The work of a learner with actors: it follows the snapshots of the store, waits as the rate limit demands, and ends
if no actor draws rows.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field

from molbuffer.lab.actors.progress import SAMPLED, actors_of, builds_of_actors, inserted_rows, sampled_rows
from molbuffer.lab.context import RunContext
from molbuffer.lab.errors import SilentActorsError
from molbuffer.lab.score_failures import log_warning
from molbuffer.samplers import CallsOfTraining, SeenMolecules
from molbuffer.training import Buffer, RateLimit

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 1.0
"""The first and the longest pause between two queries of a waiting learner, in seconds; each is 1.5 times the last."""
SECONDS_BEFORE_TOLD, SECONDS_BETWEEN_TOLD = 10.0, 60.0


@dataclass(frozen=True)
class ActorsPlan:
    """The settings by which a learner follows its actors.

    Attributes:
        limit: the rate limit between actors and learner.
        repin_every: the number of iterations between two readings of new rows of actors.
        patience: how long a waiting learner goes on without a new build of any actor, in seconds.
        watch: checks the actors that were started with the learner while it waits; raises an error if one has failed.
        pause: waits a number of seconds.
    """

    limit: RateLimit
    repin_every: int = 1
    patience: float = 1800.0
    watch: Callable[[], None] = lambda: None
    pause: Callable[[float], None] = time.sleep


@dataclass
class FollowedActors:
    """A reader of the rows of actors into the buffer of their learner.

    Attributes:
        context: the run of the learner.
        plan: the settings by which the learner follows its actors.
        buffer: the buffer.
        seen: the molecules of the run so far.
        calls: the oracle calls of the run and its actors.
        publish: commits a checkpoint of the learner with its policy, so that actors can draw with it.
        tell: called with messages to the user: what the learner waits for.
        sampled: the number of rows that the learner has taken from the buffer.
        inserted: the number of rows of actors with a reward, as of the pinned snapshot.
    """

    context: RunContext
    plan: ActorsPlan
    buffer: Buffer
    _: KW_ONLY
    seen: SeenMolecules
    calls: CallsOfTraining
    publish: Callable[[], object]
    tell: Callable[[str], None] = log_warning
    sampled: int = field(default=0, init=False)
    inserted: int = field(default=0, init=False)
    _known: set[str] = field(default_factory=set, init=False)
    _pinned_in: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.sampled = sampled_rows(self.context.store, self.context.run_id)

    def follow(self, iteration: int, *, of_batch: int, rows: int) -> list[str]:
        """Read the new rows of actors, and wait until the rate limit and the selection admit an iteration.

        Args:
            iteration: the iteration.
            of_batch: the number of rows that the batch takes from the buffer, which the selection must offer.
            rows: the number of rows that all updates of the iteration take from the buffer.

        Returns:
            The ids of the builds that are new to the training.

        Raises:
            SilentActorsError: no actor has committed a build for ``patience`` seconds.
        """
        arrived: list[str] = []
        if self._pinned_in is None or iteration - self._pinned_in >= self.plan.repin_every:
            arrived += self._pin(iteration)
        if not self._has(of_batch, rows):
            arrived += self._pin(iteration)
        if not self._has(of_batch, rows):
            arrived += self._wait(iteration, of_batch, rows)
        return arrived

    def took(self, rows: int) -> Mapping[str, float | None]:
        """Count the rows that an iteration has taken from the buffer; return the metrics of the rows of actors."""
        self.sampled += rows
        surplus = self.plan.limit.surplus(self.inserted, self.sampled)
        metrics = {"inserted": self.inserted, SAMPLED: self.sampled, "surplus": surplus}
        return {**metrics, "snapshot": float(self.buffer.snapshot)}

    def _has(self, of_batch: int, rows: int) -> bool:
        """Return whether the iteration can go on: it takes no rows, may take its rows, or the budget is used up."""
        if not rows or self.calls.used_up:
            return True
        allowed = self.plan.limit.may_sample(rows, inserted=self.inserted, sampled=self.sampled)
        return allowed and self.buffer.available >= of_batch

    def _pin(self, iteration: int) -> list[str]:
        """Move the buffer to the newest snapshot; return the ids of the builds that are new."""
        store, run_id, self._pinned_in = self.context.store, self.context.run_id, iteration
        snapshot = store.snapshot()
        if snapshot == self.buffer.snapshot and self._known:
            return []
        self.buffer.follow(snapshot)
        self.inserted = inserted_rows(store, run_id, self.context.objective_sha256, snapshot).good
        arrived = [each for each in builds_of_actors(store, run_id, snapshot) if each not in self._known]
        if arrived:
            self._known.update(arrived)
            self.seen.read_builds(arrived)
            self.calls.read_builds(arrived)
            if self.calls.limit is not None:
                self.calls.read_refusals()
        return arrived

    def _wait(self, iteration: int, of_batch: int, rows: int) -> list[str]:
        # Actors see only the last checkpoint of the learner: without a new one, they would wait for the learner.
        self.publish()
        arrived: list[str] = []
        began = heard = time.monotonic()
        told, pause = began + SECONDS_BEFORE_TOLD - SECONDS_BETWEEN_TOLD, FIRST_PAUSE
        while not self._has(of_batch, rows):
            self.plan.watch()
            self.plan.pause(pause)
            before, now = self.inserted, time.monotonic()
            fresh = self._pin(iteration)
            pause = min(1.5 * pause, LONGEST_PAUSE)
            if fresh or self.inserted > before:
                heard, pause = now, FIRST_PAUSE
                arrived += fresh
            elif now - heard > self.plan.patience:
                raise SilentActorsError(self._silence(iteration, rows))
            if now - told >= SECONDS_BETWEEN_TOLD:
                self.tell(f"{self._waiting(iteration, rows)}, since {now - began:.0f} s")
                told = now
        return arrived

    def _waiting(self, iteration: int, rows: int) -> str:
        actors = actors_of(self.context.store, self.context.run_id)
        working = [f"{each.run_id[:8]} on {each.host}" for each in actors if each.at_work]
        return (
            f"iteration {iteration} of run {self.context.run_id} waits for {rows} rows from the buffer: actors have "
            f"drawn {self.inserted} with a reward, {self.sampled} were sampled, and {self.plan.limit.min_rows} must be "
            f"there to begin; at work: {', '.join(working) or 'no actor'} of {len(actors)}"
        )

    def _silence(self, iteration: int, rows: int) -> str:
        store, run_id = self.context.store, self.context.run_id
        command = shlex.join(["molbuffer", "act", "--store", str(store.path), "--run", run_id])
        return (
            f"{self._waiting(iteration, rows)}. None of them has committed a build for {self.plan.patience / 60:g} "
            f"minutes (actors.wait_minutes). Start one, on any host that reaches the store, with:\n  {command}\nor set "
            f"actors.local, and go on with the run"
        )
