"""Rows in flight: the run has drawn them for its buffer, and their rewards in the backlog are pending.

A training that is short of rows waits for them as long as a process scores them (R14). Two events show that scoring
goes on: a reward is completed, or a molecule is claimed for the first time. The renewal of a claim does not show it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field

from molbuffer.storage import PendingCount, SampleStore

LOOKED_AT = 1000
"""The most molecules whose claims are read at once."""


@dataclass(frozen=True)
class Waiting:
    """The intervals of a training that waits for rewards, in seconds.

    Attributes:
        timeout_seconds: the longest time without a completed reward or a new claim, above 0.
        look_seconds: the time between two queries for completed rewards.
        claims_seconds: the time between two queries of the claims.
        say_seconds: the time between two messages to the user.
    """

    timeout_seconds: float = 3600.0
    look_seconds: float = 0.5
    claims_seconds: float = 5.0
    say_seconds: float = 60.0

    def __post_init__(self) -> None:
        if not self.timeout_seconds > 0:
            raise ValueError(f"timeout_seconds must be above 0, got {self.timeout_seconds:g}")


@dataclass
class RowsInFlight:
    """The rows of a run whose rewards under an objective are pending.

    Attributes:
        store: the store.
        run_id: the run.
        objective_sha256: the objective whose rewards the training learns from.
        claimed_as: the name and version under which each component of the backlog claims molecules.
        settle: commits all live rows of the run, so that a newer snapshot has them.
        waiting: the intervals.
        say: called with messages to the user: how many rows the training waits for, and who scores them.
        clock: returns the time in seconds.
    """

    store: SampleStore
    run_id: str
    objective_sha256: str
    claimed_as: Sequence[tuple[str, str]]
    _: KW_ONLY
    settle: Callable[[], object] = lambda: None
    waiting: Waiting = Waiting()
    say: Callable[[str], None] = lambda _: None
    clock: Callable[[], float] = time.monotonic
    _iteration: int = -1
    _settled: int = 0
    _pinned: int = 0
    _signed: float = 0.0
    _said: float | None = None
    _looked: float | None = None
    _claims: set[tuple[str, str]] = field(default_factory=set)
    _owners: tuple[str, ...] = ()

    def count(self) -> int:
        """Return the number of rows whose reward is pending."""
        return self._look().rows

    def wait(self, iteration: int, needed: int) -> bool:
        """Wait until ``needed`` more rows have a reward, no row is pending, or the time is over.

        The time is over when nothing was scored or claimed for ``timeout_seconds`` in this iteration.

        Args:
            iteration: the iteration that waits.
            needed: the number of rows with a reward to wait for, beyond those of the last call that returned true.

        Returns:
            Whether more rows have a reward than when a call last returned true.
        """
        if iteration != self._iteration:
            self._iteration, self._signed, self._said = iteration, self.clock(), None
        while True:
            found = self._look()
            more = found.completed - self._pinned
            if more < needed and found.rows:
                self._look_at_claims()
                self._tell(needed - more, found)
            over = not found.rows or self.timed_out
            if more >= needed or (more and over):
                self._pinned = found.completed
                return True
            if over:
                return False
            time.sleep(self.waiting.look_seconds)

    @property
    def timed_out(self) -> bool:
        """Whether no reward was completed and no molecule newly claimed for ``timeout_seconds``."""
        return self.clock() - self._signed > self.waiting.timeout_seconds

    def advice(self) -> str:
        """Return a sentence for the error of a training that waited in vain; empty if no row is in flight."""
        found = self._look()
        if not found.rows:
            return ""
        return (
            f"; {found.rows} rows of the run wait for their scores since {found.since:%Y-%m-%d %H:%M} UTC, "
            f"{found.completed} have a reward and {found.failed} failed; {self._by_whom()}. A training "
            f"ends after {self.waiting.timeout_seconds:g} s (buffer.pending_timeout) without a new score or claim; "
            "resume the run to go on"
        )

    def _look(self) -> PendingCount:
        found = self.store.count_pending(self.run_id, objectives=[self.objective_sha256])
        count = (
            found[0]
            if found
            else PendingCount(
                run_id=self.run_id, objective_sha256=self.objective_sha256, rows=0, since=None, completed=0, failed=0
            )
        )
        if count.completed + count.failed != self._settled:
            self._settled, self._signed = count.completed + count.failed, self.clock()
        return count

    def _look_at_claims(self) -> None:
        instant = self.clock()
        if self._looked is not None and instant - self._looked < self.waiting.claims_seconds:
            return
        self._looked = instant
        rows = self.store.pending_rows(self.run_id, objectives=[self.objective_sha256], most=LOOKED_AT)
        smiles = sorted({molecule for row in rows for molecule in row.molecules})
        claims, owners = set(), set()
        for component, version in self.claimed_as:
            for molecule, holder in self.store.claims.holders(component, version, smiles).items():
                claims.add((molecule, holder.owner))
                owners.add(holder.name)
        if not claims <= self._claims:
            self._signed = instant
        self._claims |= claims
        self._owners = tuple(sorted(owners))

    def _tell(self, missing: int, found: PendingCount) -> None:
        instant = self.clock()
        if self._said is not None and instant - self._said < self.waiting.say_seconds:
            return
        self._said = instant
        self.say(
            f"iteration {self._iteration} waits for {missing} rows: {found.rows} of the run wait for their scores "
            f"since {found.since:%H:%M} UTC; {self._by_whom()}"
        )

    def _by_whom(self) -> str:
        if self._owners:
            return f"scored by {', '.join(self._owners)}"
        return f"nobody scores them: start `molbuffer score-pending --store {self.store.path}`"
