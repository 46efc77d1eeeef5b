"""The share of failed scores of a run: a run whose scorer fails on too many molecules ends with an error.

A build is judged by its distinct kept molecules that were to be scored under the objective, whether their scores were
computed or read from the store. Therefore a resumed build, or a build with the molecules of an earlier run, is judged
in the same way. The builds of an iteration are judged together; in a training, together with the live builds since the
last judgement. Few molecules do not show whether a scorer works: fewer than ``LEAST_MOLECULES`` are judged together
with those of later iterations, as are molecules whose scores in the backlog are pending.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from molbuffer.lab.context import RunContext
from molbuffer.lab.errors import EmptyBuildError, FailedScoresError
from molbuffer.scoring import commonest_error
from molbuffer.storage import BuildReceipt

LEAST_MOLECULES = 20
"""The least number of molecules whose share of failures ends a run, unless no molecule of the run has a reward."""

_log = logging.getLogger(__name__)

_BUILDS = """SELECT build_id, objective_sha256, created FROM {builds} WHERE run_id = ? AND iteration >= ?"""
# The times let DuckLake skip the files of earlier builds. A row that was scored again counts by its good reward.
_REWARDED = """
    SELECT s.build_id, s.smiles, bool_or(r.status = 'ok') AS good, bool_and(r.status = 'pending') AS pending
    FROM {rewards} AS r JOIN fresh ON fresh.build_id = r.build_id AND fresh.objective_sha256 = r.objective_sha256
    JOIN {samples} AS s ON s.build_id = r.build_id AND s."row" = r."row"
    WHERE r.created >= ? AND s.created >= ? GROUP BY ALL"""
_ERRORS = """
    SELECT DISTINCT s.smiles, s.component || ': ' || coalesce(s.error, 'no error was recorded') AS error
    FROM {scores} AS s JOIN failed ON failed.smiles = s.smiles JOIN versions ON versions.version = s.version
    WHERE s.status NOT IN ('ok', 'pending')"""
_UNKNOWN = "a value that its transform does not take"
"""The error if all scores are good, but the objective has no reward for them."""


def log_warning(text: str) -> None:
    """Write a warning to the log of this process."""
    _log.warning("%s", text)


@dataclass
class ScoreFailures:
    """A counter of the failed scores of a run, as builds are committed.

    Attributes:
        context: the run.
        since: the first iteration whose builds are counted; earlier builds were judged before.
        warn: called with messages about failures that do not end the run.
    """

    context: RunContext
    since: int = 0
    warn: Callable[[str], None] = log_warning
    _known: set[str] = field(default_factory=set)
    _looked: set[str] = field(default_factory=set)
    _waiting: dict[str, set[str]] = field(default_factory=dict)
    _molecules: int = 0
    _failed: list[str] = field(default_factory=list)
    _seen: int | None = None

    def look(self, to_come: int = 0) -> None:
        """Count the new builds, and end the run if too many molecules have failed even if all others succeed.

        Args:
            to_come: the number of rows that are still to be built for this iteration.

        Raises:
            FailedScoresError: the share of failures is above ``max_failed_share``.
        """
        self._count()
        molecules = self._molecules + to_come
        if self._too_many(molecules) and (molecules >= LEAST_MOLECULES or self._strict):
            raise self._error()

    def judge(self) -> None:
        """Judge the builds up to now, if they have enough molecules: end the run, or warn of failures.

        Raises:
            FailedScoresError: the share of failures is above ``max_failed_share``.
        """
        self.look()
        if self._molecules >= LEAST_MOLECULES:
            self._settle()

    def end(self) -> None:
        """Judge the remaining builds at the end of the run, even if they have few molecules.

        Raises:
            FailedScoresError: the share of failures is above ``max_failed_share``, and there are enough molecules or no
                molecule of the run has a reward.
        """
        self.look()
        if self._failed and self._too_many(self._molecules) and not self._any_reward():
            raise self._error()
        self._settle()

    @property
    def _strict(self) -> bool:
        return self.context.max_failed_share == 0

    def _too_many(self, molecules: int) -> bool:
        return len(self._failed) > self.context.max_failed_share * molecules

    def _count(self) -> None:
        newest = self.context.store.snapshot()
        # Most calls find the same snapshot as the call before.
        if newest == self._seen:
            return
        found = self.context.store.read_arrow(_BUILDS, parameters=[self.context.run_id, self.since])
        fresh = found.filter(pa.array([each not in self._known for each in found["build_id"].to_pylist()], pa.bool_()))
        if len(fresh):
            self._count_molecules(fresh)
        self._seen = newest

    def _count_molecules(self, fresh: pa.Table) -> None:
        """Count the molecules of the builds ``fresh`` that were not counted yet, such as those that were pending."""
        first = min(fresh["created"].to_pylist())
        for row in self.context.store.read_arrow(_REWARDED, parameters=[first, first], fresh=fresh).to_pylist():
            build_id, smiles = row["build_id"], row["smiles"]
            waiting = self._waiting.setdefault(build_id, set())
            if row["pending"]:
                waiting.add(smiles)
            elif build_id not in self._looked or smiles in waiting:
                waiting.discard(smiles)
                self._molecules += 1
                self._failed += [] if row["good"] else [smiles]
        self._looked.update(fresh["build_id"].to_pylist())
        self._waiting = {build_id: waiting for build_id, waiting in self._waiting.items() if waiting}
        self._known = self._looked - self._waiting.keys()

    def _settle(self) -> None:
        """Warn of failures, and reset the counts."""
        if self._failed:
            self.warn(f"{self._counts()}; {self._commonest()[0]}")
        self._molecules, self._failed = 0, []

    def _counts(self) -> str:
        return f"{len(self._failed)} of {self._molecules} molecules have no reward, because a score failed or was lost"

    def _commonest(self) -> tuple[str, str]:
        """Return the most frequent error, first in a sentence with its count, then alone."""
        versions = [weighted.component.version for weighted in self.context.objective.components]
        tables = {"failed": pa.table({"smiles": self._failed}), "versions": pa.table({"version": versions})}
        rows = self.context.store.read_arrow(_ERRORS, **tables).to_pylist()
        known = commonest_error((row["smiles"], row["error"]) for row in rows)
        error, count = known or (_UNKNOWN, len(self._failed))
        return f"the most frequent error ({count} of them): {error}", error

    def _any_reward(self) -> bool:
        sql = "SELECT count(*) AS n FROM (SELECT 1 FROM {rewards} WHERE run_id = ? AND status = 'ok' LIMIT 1)"
        return bool(self.context.store.read_arrow(sql, parameters=[self.context.run_id])["n"][0].as_py())

    def _error(self) -> FailedScoresError:
        told, error = self._commonest()
        message = (
            f"{self._counts()}, and max_failed_share = {self.context.max_failed_share:g} allows no more; {told}. All "
            f"rows and scores up to here are kept in run {self.context.run_id}"
        )
        return FailedScoresError(message, len(self._failed), self._molecules, error)


def check_kept(
    context: RunContext, receipts: Sequence[BuildReceipt], warn: Callable[[str], None] = log_warning
) -> None:
    """Check that a build kept rows, and warn of each sampler that kept none.

    Raises:
        EmptyBuildError: no sampler kept a row.
    """
    if not any(receipt.kept for receipt in receipts):
        raise EmptyBuildError(f"{_emptiness(context, receipts)}. All rows are kept in run {context.run_id}")
    warn_of_empty(context, receipts, warn)


def warn_of_empty(
    context: RunContext, receipts: Sequence[BuildReceipt], warn: Callable[[str], None] = log_warning
) -> None:
    """Warn of each sampler that kept no row in a build."""
    for name in dict.fromkeys(receipt.sampler for receipt in receipts):
        of_sampler = [receipt for receipt in receipts if receipt.sampler == name]
        if not any(receipt.kept for receipt in of_sampler):
            warn(f"sampler {name!r}: {_emptiness(context, of_sampler)}")


def _emptiness(context: RunContext, receipts: Sequence[BuildReceipt]) -> str:
    """Return a sentence about a build without kept rows: how many rows were drawn, and which filters refused them."""
    if not receipts:
        return "the build is empty: no sampler has a buffer_size"
    builds = pa.table({"build_id": [receipt.build_id for receipt in receipts]})
    sql = """SELECT rejected_by, count(*) AS n
        FROM {samples} AS samples JOIN empty ON empty.build_id = samples.build_id
        WHERE rejected_by IS NOT NULL GROUP BY rejected_by ORDER BY n DESC, rejected_by"""
    refused = context.store.read_arrow(sql, empty=builds).to_pylist()
    reasons = ", ".join(f"{row['rejected_by']} {row['n']}" for row in refused)
    drawn = sum(receipt.drawn for receipt in receipts)
    return f"the build kept none of {drawn} drawn rows" + (f"; refused by {reasons}" if reasons else "")
