"""Working the backlog off: rows that were committed with rewards to come are scored, by any number of processes.

A round takes rows of the store, the oldest first and in turns of the runs that drew them, scores their molecules and
completes their rewards (``molbuffer.samplers.Backlog``). A score that the machinery lost is tried again after a pause
that doubles, and so is everything after a round of which all was lost. What others have claimed is left to them; the
claims of one that was killed end after ``ClaimTiming.claim_seconds``.
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
"""The rows of a round after one of which all was lost: so many tell whether the machinery is back."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pauses:
    """The times between attempts at what was lost, and between looks at an empty backlog.

    Attributes:
        first_seconds: after the first loss; each further one in a row has twice the pause of that before.
        longest_seconds: the longest pause.
        attempts: the losses in a row, of a molecule or of whole rounds, after which one who does not watch gives up.
        look_seconds: between looks for rows, where there are none, or others have claimed all.
    """

    first_seconds: float = 1.0
    longest_seconds: float = 60.0
    attempts: int = 5
    look_seconds: float = 2.0

    def after(self, losses: int) -> float:
        """Return the pause after a number of losses in a row."""
        return min(self.longest_seconds, self.first_seconds * 2.0 ** min(losses - 1, 30))


@dataclass(frozen=True)
class BacklogProgress:
    """What was done of a backlog up to now.

    Attributes:
        computed: the scores that were computed.
        completed: the rewards that are good.
        failed: the rewards of rows whose molecule has none.
        lost: how often the machinery lost a score.
        left: the rewards that are still to come.
        given_up: the molecules that are tried no more, since the machinery lost each attempt.
    """

    computed: int = 0
    completed: int = 0
    failed: int = 0
    lost: int = 0
    left: int = 0
    given_up: int = 0


FindBacklog = Callable[[PendingCount], Backlog]
"""Returns the backlog of the rows of a run under an objective.

Raises:
    BacklogError: their objective cannot be made here; it says why, and what to do.
"""


@dataclass
class BacklogScorer:
    """A scorer that works the backlog of a store off, whatever the objectives of its rows.

    Attributes:
        store: the store.
        find: finds the objective of rows.
        run_id: the only run whose rows are scored; None is every one.
        watch: whether it goes on when nothing is left, and never gives up.
        batch: the most rows of a round.
        pauses: the times between attempts.
        progress: told what was done, after each round.
        warn: tells people of what cannot be scored, and of what was lost.
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
        """Score until nothing is left that this process can score, or without end if it watches.

        A run of kind ``score`` records the work, from its first round on. Scores and rewards belong to the run that
        drew the rows.

        Raises:
            BacklogError: nothing could be scored here; or all was lost, again and again.
            ScoringError: a component does not keep its contract, again and again.
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
        """Find the objectives of rows that were not met before.

        Raises:
            BacklogError: that of the run which was asked for, or of all rows, cannot be made here.
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
        # What one run does not say of an objective, another one may.
        left = [(each, why) for each, why in fresh if each.objective_sha256 not in self._backlogs]
        if left and not self._backlogs and not self.watch:
            raise left[0][1]
        for each, why in left:
            self.warn(f"{each.rows} rows of run {each.run_id[:8]} are left to others: {why}")

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
        """Pause after a round of which all was lost."""
        lost = {molecule: why for each in worked for molecule, why in each.lost.items()}
        if any(each.completed or each.failed for each in worked):
            self._lost_rounds = 0
        elif lost and not (self._done.completed + self._done.failed and all(map(self._is_given_up, lost))):
            self._pause_after_loss(next(iter(lost.values())), None)

    def _is_given_up(self, molecule: str) -> bool:
        return self._not_before.get(molecule) == float("inf")

    def _pause_after_loss(self, reason: str, error: Exception | None) -> None:
        """Wait after a round of which all was lost.

        Raises:
            BacklogError: there were too many in a row, for one who does not watch; or the error itself.
        """
        self._lost_rounds += 1
        if not self.watch and self._lost_rounds >= self.pauses.attempts:
            if error is not None:
                raise error
            raise BacklogError(
                f"all scores were lost {self._lost_rounds} times in a row, the last one by: {reason}. "
                f"{self._done.left} rows wait still; see to the program or server that scores them, and start again"
            )
        seconds = self.pauses.after(self._lost_rounds)
        self.warn(f"no score arrived ({reason}); the next attempt is in {seconds:g} s")
        time.sleep(seconds)

    def _may_go_on(self, *, claimed: bool) -> bool:
        """Wait for rows that were put off, or that others have claimed; return whether to look again."""
        instant = time.monotonic()
        again = [at - instant for at in self._not_before.values() if at > instant and at != float("inf")]
        if again:
            time.sleep(max(0.01, min(*again, self.pauses.look_seconds)))
            return True
        if not self.watch:
            # Who lives renews the claims, and who was killed does not.
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
    """Yield the rows of each run and objective; a pair's two rewards are of two objectives, and come apart."""

    def key(row: PendingRow) -> tuple[str, str]:
        return row.run_id, row.objective_sha256

    yield from (list(group) for _, group in groupby(sorted(rows, key=key), key))


def find_among(backlogs: Mapping[str, Backlog]) -> FindBacklog:
    """Return what finds the backlog of rows among some, by the sha256 of objectives."""

    def find(count: PendingCount) -> Backlog:
        if count.objective_sha256 not in backlogs:
            raise BacklogError(
                f"they wait for rewards of the objective {count.objective_sha256[:8]}, and not of one that was given"
            )
        return backlogs[count.objective_sha256]

    return find
