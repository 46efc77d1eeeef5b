"""Rows in flight: the run has drawn them for its buffer, and their rewards are still to come from the backlog.

A training that is short of rows waits for them as long as somebody scores them (R14). It is a sign of that when a
reward is completed, or a molecule is claimed that was not before; a claim that is only renewed is none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field

from molbuffer.storage import PendingCount, SampleStore

LOOKED_AT = 1000
"""The most molecules whose claims are looked at."""


@dataclass(frozen=True)
class Waiting:
    """The intervals of a training that waits.

    Attributes:
        timeout_seconds: the longest time without a sign that somebody scores.
        look_seconds: between looks for completed rewards.
        claims_seconds: between looks at claims.
        say_seconds: between two lines about it.
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
    """The rows of a run whose rewards under an objective are to come.

    Attributes:
        store: the store.
        run_id: the run.
        objective_sha256: the objective whose rewards the training learns from.
        claimed_as: the name and version under which each component of the backlog claims molecules.
        settle: commits all that the run has drawn live, so that a newer snapshot has it.
        waiting: the intervals.
        say: tells people that the training waits, and for whom.
        clock: in seconds.
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
        """Return the number of rows whose reward is to come."""
        return self._look().rows

    def wait(self, iteration: int, needed: int) -> bool:
        """Wait until so many more rows have a reward, or as many as will.

        Returns:
            Whether there are more than at the last time that it returned true; none come when it returns false: all
            are there or failed, or nobody has scored for ``timeout_seconds``, in this iteration.
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
        """Whether there was no sign for too long that somebody scores."""
        return self.clock() - self._signed > self.waiting.timeout_seconds

    def advice(self) -> str:
        """Return what to say of a training that has waited in vain, with counts; nothing if no row is in flight."""
        found = self._look()
        if not found.rows:
            return ""
        return (
            f"; {found.rows} rows of the run wait for their scores since {found.since:%Y-%m-%d %H:%M} UTC, "
            f"{found.completed} have a reward and {found.failed} failed; {self._by_whom()}. A training "
            f"ends after {self.waiting.timeout_seconds:g} s (buffer.pending_timeout) without a new score or claim, and "
            "goes on from here when it is resumed"
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
