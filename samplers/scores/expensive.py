"""Expensive scores: each molecule is claimed before it is scored, and each score is committed as soon as it arrives."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from typing import TypeVar

from molbuffer.scoring.components import Component, claimed_as
from molbuffer.storage import SampleStore, Score, may_pass

Result = TypeVar("Result")

_log = logging.getLogger(__name__)
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 5.0
_AT_MOST_FASTER = 8
"""The largest factor by which the number of claimed molecules grows after a call, which may be fast by chance."""


@dataclass(frozen=True)
class ClaimTiming:
    """The intervals at which expensive scores are claimed, committed and looked up.

    Attributes:
        claim_seconds: the time that a claim outlives its last renewal, the longest time that a killed scorer blocks a
            molecule.
        renewal_seconds: the time between renewals, at most half of claim_seconds, so that a renewal may be late.
        flush_seconds: scores that arrive within this time of each other share a commit.
        poll_seconds: the time between look-ups of molecules that other scorers have claimed.
        patience_seconds: how long scores are kept in memory, and commits repeated, while the store cannot be reached.
        ahead_seconds: the time of the calls, estimated by earlier calls, whose molecules are claimed at once.
    """

    claim_seconds: float = 60.0
    renewal_seconds: float = 15.0
    flush_seconds: float = 0.25
    poll_seconds: float = 0.5
    patience_seconds: float = 600.0
    ahead_seconds: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.renewal_seconds <= self.claim_seconds / 2:
            raise ValueError(
                f"renewal_seconds must be positive and at most half of claim_seconds, got {self.renewal_seconds} "
                f"and {self.claim_seconds}"
            )


@dataclass
class ClaimAhead:
    """The number of molecules that are claimed at once.

    For fast calls, these are the molecules of several calls, since a claim with its look-up takes as long as such a
    call. For slow calls, they are those of one call, since no other scorer may compute a claimed molecule.

    Attributes:
        together: the number of molecules of one call.
        most: the largest number of molecules.
        seconds: the time that the calls of the claimed molecules may take.
    """

    together: int
    most: int
    seconds: float
    _number: int = 0

    @property
    def number(self) -> int:
        """The number of molecules to claim next."""
        return max(self.together, self._number // self.together * self.together)

    def took(self, molecules: int, seconds: float) -> None:
        """Record the time from a claim to the next one.

        Args:
            molecules: the number of molecules of the claim.
            seconds: the time.
        """
        in_time = int(molecules * self.seconds / max(seconds, 1e-6))
        self._number = min(self.most, _AT_MOST_FASTER * self.number, in_time)


@dataclass
class ExpensiveScores:
    """A context that commits expensive scores in a thread, since the next call of a component may take hours.

    The thread also renews the claims on molecules that are being scored, so that claims outlive a long call, but not a
    dead process.
    """

    store: SampleStore
    run_id: str | None
    owner: str
    component: Component
    pace: ClaimTiming
    recorded: Callable[[Sequence[Score]], None] = lambda _: None
    hands_over: bool = False
    _arrived: SimpleQueue[Sequence[Score] | None] = field(default_factory=SimpleQueue)
    _claimed: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _failure: BaseException | None = None
    _thread: threading.Thread | None = None
    _ending: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> ExpensiveScores:
        self._thread = threading.Thread(target=self._work, name="expensive-scores", daemon=False)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        assert self._thread is not None
        if kind is not None:
            self._ending.set()
        self._arrived.put(None)
        self._thread.join()
        with self._lock:
            left = list(self._claimed)
        self.release(left)
        self._check()

    def claim(self, smiles: Sequence[str]) -> set[str]:
        """Claim molecules, and return those that no other scorer has claimed.

        Raises:
            StoreError: the store cannot be reached, or scores that arrived before could not be stored.
        """
        self._check()
        granted = self.insist(partial(self._ask_for, smiles))
        with self._lock:
            self._claimed |= granted
        return granted

    def release(self, smiles: Iterable[str]) -> None:
        """Give up the claims on molecules."""
        released = list(smiles)
        if released:
            with self._lock:
                self._claimed.difference_update(released)
            name, version = claimed_as(self.component)
            self.insist(partial(self.store.claims.release, name, version, released, self.owner))

    def put(self, scores: Sequence[Score]) -> None:
        """Pass the scores of a molecule to the thread that commits them; errors are those of ``claim``."""
        self._arrived.put(scores)
        self._check()

    def insist(self, work: Callable[[], Result], scores: int = 0) -> Result:
        """Return the result of a function that uses the store; the call is repeated while the store cannot be reached.

        Scores that are not stored yet wait in memory.

        Args:
            work: the function.
            scores: the number of scores that wait for it, for the warning.

        Raises:
            StoreError: the error of the last attempt, if ``patience_seconds`` are over, the scoring ends by an error,
                or a further attempt cannot succeed.
        """
        pause, last = _FIRST_PAUSE_SECONDS, time.monotonic() + self.pace.patience_seconds
        while True:
            try:
                return work()
            except Exception as error:
                if not may_pass(error) or self._ending.is_set() or time.monotonic() >= last:
                    raise
                if pause == _FIRST_PAUSE_SECONDS:
                    kept = f"; {scores} scores of {self.component.name} are kept" if scores else ""
                    _log.warning("%s%s; the store is tried again for %.0f s", error, kept, self.pace.patience_seconds)
                self._ending.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        store = self.store.hand_over_scores if self.hands_over else self.store.record_scores
        try:
            renewed = time.monotonic()
            ending = False
            while not ending:
                batch, ending = self._take()
                if batch:
                    self.insist(partial(store, batch, run_id=self.run_id), len(batch))
                    self.release({score.smiles for score in batch})
                    self.insist(partial(self.recorded, batch))
                if time.monotonic() - renewed >= self.pace.renewal_seconds:
                    self.insist(self._renew)
                    renewed = time.monotonic()
        except BaseException as error:  # passed to the thread that scores, which raises it
            self._failure = error

    def _take(self) -> tuple[list[Score], bool]:
        """Return the scores that arrive within ``flush_seconds`` of the first one, and whether they are the last."""
        batch: list[Score] = []
        try:
            scores = self._arrived.get(timeout=self.pace.renewal_seconds)
            deadline = time.monotonic() + self.pace.flush_seconds
            while scores is not None:
                batch += scores
                scores = self._arrived.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            return batch, False
        return batch, True

    def _renew(self) -> None:
        with self._lock:
            held = list(self._claimed)
        if held:
            self._ask_for(held)

    def _ask_for(self, smiles: Sequence[str]) -> set[str]:
        return self.store.claims.claim(*claimed_as(self.component), smiles, self.owner, self.pace.claim_seconds)
