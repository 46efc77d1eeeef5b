"""Scoring of the backlog: any number of processes score rows that were committed with pending rewards.

A round takes rows of the store, the oldest first and in turns of the runs that drew them, scores their molecules and
completes their rewards (``molbuffer.samplers.Backlog``). A lost score is tried again after a pause, which doubles with
each attempt; if all scores of a round are lost, the next round waits in the same way. Molecules that other processes
have claimed are left to them; the claims of a killed process end after ``ClaimTiming.claim_seconds``.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import KW_ONLY, dataclass, field, replace
from itertools import groupby

from molbuffer.lab.errors import BacklogError
from molbuffer.lab.provenance import described_run
from molbuffer.samplers import Backlog, WorkedOff
from molbuffer.scoring import ScoringConfigurationError, ScoringError
from molbuffer.storage import PendingCount, PendingRow, RunKind, SampleStore, StoreError, may_pass

PROBE_ROWS = 8
"""The number of rows of a round after a round in which all scores were lost, to test whether scoring works again."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pauses:
    """The pauses between attempts at lost scores, and between queries of an empty backlog.

    Attributes:
        first_seconds: the pause after the first loss; each further loss in a row doubles it.
        longest_seconds: the longest pause.
        attempts: the number of losses in a row, of a molecule or of whole rounds, after which a scorer that does not
            watch gives up.
        look_seconds: the pause between two queries for rows when there are none, or other processes have claimed all.
    """

    first_seconds: float = 1.0
    longest_seconds: float = 60.0
    attempts: int = 5
    look_seconds: float = 2.0

    def after(self, losses: int) -> float:
        """Return the pause after a number of losses in a row, in seconds."""
        return min(self.longest_seconds, self.first_seconds * 2.0 ** min(losses - 1, 30))


@dataclass(frozen=True)
class BacklogProgress:
    """The progress of a scorer of a backlog.

    Attributes:
        computed: the number of scores that were computed.
        completed: the number of rows that got a reward.
        failed: the number of rows without a reward, since a score of their molecule failed.
        lost: the number of lost scores, each attempt counted.
        left: the number of pending rewards.
        given_up: the number of molecules that are not tried again, since all attempts were lost.
    """

    computed: int = 0
    completed: int = 0
    failed: int = 0
    lost: int = 0
    left: int = 0
    given_up: int = 0


FindBacklog = Callable[[PendingCount], Backlog]
"""A function that returns the backlog of the pending rows of a run under an objective.

Raises:
    BacklogError: this process cannot make their objective; the message says why, and what to do.
"""


@dataclass
class BacklogScorer:
    """A scorer of the backlog of a store, under any objectives.

    Attributes:
        store: the store.
        find: returns the backlog of pending rows, with their objective.
        run_id: the only run whose rows are scored; None is all runs.
        watch: go on when no row is left, and never give up.
        batch: the most rows of a round.
        pauses: the pauses between attempts.
        progress: called with the progress after each round.
        warn: called with messages about rows that cannot be scored and about lost scores.
    """

    store: SampleStore
    find: FindBacklog
    _: KW_ONLY
    run_id: str | None = None
    watch: bool = False
    batch: int = 256
    pauses: Pauses = Pauses()
    progress: Callable[[BacklogProgress], None] = lambda _: None
    warn: Callable[[str], None] = lambda text: _log.warning("%s", text)
    _done: BacklogProgress = field(default_factory=BacklogProgress)
    _backlogs: dict[str, Backlog] = field(default_factory=dict)
    _refused: dict[tuple[str, str], BacklogError] = field(default_factory=dict)
    _losses: dict[str, int] = field(default_factory=dict)
    _not_before: dict[str, float] = field(default_factory=dict)
    _lost_rounds: int = 0
    _idle_since: float | None = None
    _idle_at: int | None = None
    _record: ExitStack = field(default_factory=ExitStack)
    _recorded: bool = False

    def run(self) -> BacklogProgress:
        """Score until no row is left that this process can score, or without end if it watches.

        A run of the kind ``score`` records the work, from its first round on. Scores and rewards belong to the run that
        drew the rows.

        Raises:
            BacklogError: this process can make none of the objectives; or all scores were lost ``attempts`` times.
            ScoringError: a component has failed in the same way ``attempts`` times.
            StoreError: the store cannot be read or written.
        """
        with self._record:
            while True:
                try:
                    going_on = self._round()
                except (ScoringError, StoreError) as error:
                    if isinstance(error, ScoringConfigurationError) or not (
                        isinstance(error, ScoringError) or may_pass(error)
                    ):
                        raise
                    self._pause_after_loss(str(error), error)
                    going_on = True
                if not going_on:
                    return self._done

    def _round(self) -> bool:
        """Score some rows; return whether there may be more."""
        if self._idle_at == (snapshot := self.store.snapshot()):
            time.sleep(self.pauses.look_seconds)
            return True
        counts = [each for each in self.store.count_pending(self.run_id) if each.rows]
        self._learn(counts)
        left = sum(each.rows for each in counts if each.objective_sha256 in self._backlogs)
        rows = self._rows() if left else []
        if rows:
            self._begin()
        worked = [self._work_off(group) for group in _of_one_run(rows)]
        for each in worked:
            self._note(each)
        left -= sum(each.completed + each.failed for each in worked)
        self._done = replace(self._done, left=left)
        if worked:
            self.progress(self._done)
        self._judge(worked)
        if any(each.computed or each.completed or each.failed for each in worked):
            self._idle_since = None
            return True
        self._idle_at = snapshot if self.watch and not left else None
        return self._may_go_on(claimed=bool(rows))

    def _rows(self) -> list[PendingRow]:
        instant = time.monotonic()
        put_off = [molecule for molecule, at in self._not_before.items() if at > instant]
        most = PROBE_ROWS if self._lost_rounds else self.batch
        return self.store.pending_rows(self.run_id, objectives=list(self._backlogs), most=most, put_off=put_off)

    def _learn(self, counts: Sequence[PendingCount]) -> None:
        """Find the objectives of rows whose objectives are not known yet.

        Raises:
            BacklogError: this process can make none of the objectives, and does not watch.
        """
        fresh: list[tuple[PendingCount, BacklogError]] = []
        for each in counts:
            sha256 = each.objective_sha256
            if sha256 in self._backlogs or (each.run_id, sha256) in self._refused:
                continue
            try:
                backlog = self.find(each)
            except BacklogError as error:
                self._refused[each.run_id, sha256] = error
                fresh.append((each, error))
                continue
            self._backlogs |= dict.fromkeys(backlog.objectives, backlog)
        # An objective that cannot be made from the record of one run may be made from that of another run.
        left = [(each, why) for each, why in fresh if each.objective_sha256 not in self._backlogs]
        if left and not self._backlogs and not self.watch:
            raise left[0][1]
        for each, why in left:
            self.warn(f"{each.rows} rows of run {each.run_id[:8]} are left to other processes: {why}")

    def _work_off(self, rows: Sequence[PendingRow]) -> WorkedOff:
        return self._backlogs[rows[0].objective_sha256].work_off(rows, rows[0].run_id)

    def _note(self, worked: WorkedOff) -> None:
        done, instant = self._done, time.monotonic()
        for molecule in worked.lost:
            losses = self._losses[molecule] = self._losses.get(molecule, 0) + 1
            given_up = not self.watch and losses >= self.pauses.attempts
            self._not_before[molecule] = float("inf") if given_up else instant + self.pauses.after(losses)
        self._done = replace(
            done,
            computed=done.computed + worked.computed - len(worked.lost),
            completed=done.completed + worked.completed,
            failed=done.failed + worked.failed,
            lost=done.lost + len(worked.lost),
            given_up=sum(at == float("inf") for at in self._not_before.values()),
        )

    def _judge(self, worked: Sequence[WorkedOff]) -> None:
        """Pause after a round in which all scores were lost."""
        lost = {molecule: why for each in worked for molecule, why in each.lost.items()}
        if any(each.completed or each.failed for each in worked):
            self._lost_rounds = 0
        elif lost and not (self._done.completed + self._done.failed and all(map(self._is_given_up, lost))):
            self._pause_after_loss(next(iter(lost.values())), None)

    def _is_given_up(self, molecule: str) -> bool:
        return self._not_before.get(molecule) == float("inf")

    def _pause_after_loss(self, reason: str, error: Exception | None) -> None:
        """Wait after a round in which all scores were lost.

        Raises:
            BacklogError: it was the last of ``attempts`` such rounds in a row, and the scorer does not watch; if
                ``error`` is given, this error is raised instead.
        """
        self._lost_rounds += 1
        if not self.watch and self._lost_rounds >= self.pauses.attempts:
            if error is not None:
                raise error
            raise BacklogError(
                f"all scores were lost {self._lost_rounds} times in a row, the last time by: {reason}. "
                f"{self._done.left} rows are still pending; check the program or server that scores them, and start "
                "again"
            )
        seconds = self.pauses.after(self._lost_rounds)
        self.warn(f"no score arrived ({reason}); the next attempt is in {seconds:g} s")
        time.sleep(seconds)

    def _may_go_on(self, *, claimed: bool) -> bool:
        """Wait for rows that were put off or that other processes have claimed; return whether to query again."""
        instant = time.monotonic()
        again = [at - instant for at in self._not_before.values() if at > instant and at != float("inf")]
        if again:
            time.sleep(max(0.01, min(*again, self.pauses.look_seconds)))
            return True
        if not self.watch:
            # A live process renews its claims, and those of a killed process run out.
            self._idle_since = instant if self._idle_since is None else self._idle_since
            patience = max((each.pace.claim_seconds for each in self._backlogs.values()), default=0.0)
            if not claimed or instant - self._idle_since > patience + self.pauses.look_seconds:
                return False
        time.sleep(self.pauses.look_seconds)
        return True

    def _begin(self) -> None:
        """Record the work as a run, before its first round."""
        if not self._recorded:
            self._recorded = True
            config = json.dumps({"backlog": {"run": self.run_id, "watch": self.watch, "batch": self.batch}})
            run = described_run(uuid.uuid4().hex, "score-pending", RunKind.SCORE, config, 0)
            self._record.enter_context(self.store.recorded_run(run))


def _of_one_run(rows: Sequence[PendingRow]) -> Iterator[list[PendingRow]]:
    """Yield the rows of each run and objective; the two rewards of a pair are of two objectives, in two groups."""

    def key(row: PendingRow) -> tuple[str, str]:
        return row.run_id, row.objective_sha256

    yield from (list(group) for _, group in groupby(sorted(rows, key=key), key))


def find_among(backlogs: Mapping[str, Backlog]) -> FindBacklog:
    """Return a function that finds the backlog of rows among given backlogs, by the sha256 of their objective."""

    def find(count: PendingCount) -> Backlog:
        if count.objective_sha256 not in backlogs:
            raise BacklogError(
                f"the rows are pending under the objective {count.objective_sha256[:8]}, which is none of those given"
            )
        return backlogs[count.objective_sha256]

    return find
