"""The backlog of an objective: committed rows with pending rewards, whose molecules are scored later.

Molecules are claimed one call at a time, so that any number of scorers can share a backlog, and a killed scorer holds
back only the molecules of its last call. Each score is stored as it arrives, and the rewards that it completes within
a second. A row whose scores are all known is completed without a call.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from molbuffer.samplers.scores.expensive import ClaimTiming
from molbuffer.samplers.scores.scorer import ScoredMolecules, Scorer
from molbuffer.samplers.scores.settled import settled_rewards
from molbuffer.scoring import ContrastiveTemplate, Objective
from molbuffer.storage import PendingRow, Reward, SampleStore, Score, ScoreStatus, new_claimant


@dataclass(frozen=True)
class WorkedOff:
    """The result of working off rows of a backlog.

    Attributes:
        computed: the number of computed scores, each of one molecule and component, good or failed.
        completed: the number of rewards that are complete now.
        failed: the number of rewards that have failed.
        lost: the molecules with a lost score, with the reason.
        left: the rows that are still pending: other scorers compute their scores, or the scores were lost.
    """

    computed: int = 0
    completed: int = 0
    failed: int = 0
    lost: dict[str, str] = field(default_factory=dict)
    left: Sequence[PendingRow] = ()


@dataclass(frozen=True)
class Backlog:
    """The backlog of an objective in a store.

    Attributes:
        objective: the objective of the rewards.
        store: the store with the rows.
        template: the template of the rewards of pairs; None without pairs.
        owner: the name in claims, made of host, process and scorer.
        pace: the intervals of claims and commits.
    """

    objective: Objective
    store: SampleStore
    template: ContrastiveTemplate | None = None
    owner: str = field(default_factory=new_claimant)
    pace: ClaimTiming = ClaimTiming()

    @cached_property
    def pairs_sha256(self) -> str | None:
        """The sha256 of the objective of pairs; None without pairs."""
        return None if self.template is None else self.template.objective_sha256(self.objective)

    @property
    def objectives(self) -> Collection[str]:
        """The sha256 of the objectives whose rewards are completed."""
        return [self.objective.sha256, *([] if self.pairs_sha256 is None else [self.pairs_sha256])]

    def work_off(self, rows: Sequence[PendingRow], run_id: str) -> WorkedOff:
        """Score the molecules of rows of a run, and complete the rewards.

        Raises:
            ScoringError: a component does not keep its contract, or its worker processes died repeatedly.
            StoreError: the store cannot be read or written; scores that were stored before stay.
        """
        return _Work(self, rows, run_id).done()


@dataclass
class _Work:
    """The work on some rows of a backlog; one thread scores, and another stores the completed rewards."""

    backlog: Backlog
    rows: Sequence[PendingRow]
    run_id: str
    _open: dict[tuple[str, int, str], PendingRow] = field(init=False)
    _of_molecule: dict[str, list[PendingRow]] = field(init=False, default_factory=dict)
    _counts: dict[ScoreStatus, int] = field(init=False, default_factory=lambda: dict.fromkeys(ScoreStatus, 0))
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._open = {_key(row): row for row in self.rows}
        for row in self.rows:
            for molecule in self._ends(row):
                self._of_molecule.setdefault(molecule, []).append(row)

    def done(self) -> WorkedOff:
        scorer = self._scorer()
        scored = scorer.score(list(self._of_molecule))
        self._record(scored)
        self._complete(self.rows, scored)
        return WorkedOff(
            computed=scored.computed,
            completed=self._counts[ScoreStatus.OK],
            failed=self._counts[ScoreStatus.FAILED],
            lost={molecule: scored.errors[molecule] for molecule in scored.lost},
            left=list(self._open.values()),
        )

    def _scorer(self) -> Scorer:
        of = self.backlog
        # If a gate opens by a new score, cheap scores behind it are computed at once, so that the row need not wait.
        looker = Scorer(of.objective, of.store, self.run_id, of_backlog=True, computes="cheap")

        def recorded(scores: Sequence[Score]) -> None:
            rows = {_key(row): row for score in scores for row in self._of_molecule.get(score.smiles, ())}
            known = looker.score([end for row in rows.values() for end in self._ends(row)])
            self._record(known)
            self._complete(list(rows.values()), known)

        return Scorer(of.objective, of.store, self.run_id, of.owner, of.pace, of_backlog=True, recorded=recorded)

    def _ends(self, row: PendingRow) -> Sequence[str]:
        return row.molecules if row.objective_sha256 == self.backlog.pairs_sha256 else (row.smiles,)

    def _record(self, scored: ScoredMolecules) -> None:
        if scored.new:
            self.backlog.store.record_scores(scored.new, run_id=self.run_id)

    def _complete(self, rows: Sequence[PendingRow], scored: ScoredMolecules) -> None:
        template, pairs_sha256 = self.backlog.template, self.backlog.pairs_sha256
        with self._lock:
            waiting = [row for row in rows if _key(row) in self._open]
            settled = settled_rewards(waiting, scored, template, pairs_sha256)
            for status in (ScoreStatus.OK, ScoreStatus.FAILED):
                of_builds: dict[str, list[Reward]] = {}
                for row, reward in settled:
                    if reward.status is status:
                        of_builds.setdefault(row.build_id, []).append(reward)
                # Another scorer may have completed some of the rewards.
                self._counts[status] += self.backlog.store.add_rewards_of_builds(of_builds, self.run_id)
            for row, _ in settled:
                del self._open[_key(row)]


def _key(row: PendingRow) -> tuple[str, int, str]:
    return row.build_id, row.row, row.objective_sha256
