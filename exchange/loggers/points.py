"""The points of a run: what its iterations have committed, as numbers by tag and step.

Only settled iterations count: those before the last checkpoint, which a resumed run does not draw again, or all of a
run that is finished. The points are then a function of the store and not of the moment at which it is read, so that a
log that is filled in afterwards has those of one that was written meanwhile.

training/NAME           a metric of the training at an iteration: loss, reward, reward_live, policy_lag, ...
EVENT/SAMPLER/NAME      a metric of what a sampler drew for an event, over its chunks: counts and seconds are summed,
                        and shares and means are means by the rows that they are of
best/reward             the best reward up to an iteration
best/mean_of_top_10     the mean reward of the ten best molecules up to it
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from molbuffer.exchange.loggers.base import LoggedRun, LogPoint
from molbuffer.storage import RunStatus, SampleStore

SUMMED = ("drawn", "parseable", "kept", "duplicates", "shortfall", "seconds")
"""The metrics of a build that are counts or durations."""

_STATE = """
    SELECT (SELECT max(iteration) FROM {checkpoints} WHERE run_id = ?) AS checkpointed,
        (SELECT status FROM {run_states} WHERE run_id = ?) AS status"""
_RUN = "SELECT run_id, name, kind, seed, config, code_version, created FROM {runs} WHERE run_id = ?"
_OF_TRAINING = """
    SELECT 'training/' || name AS tag, iteration, arg_max(value, created) AS value, max(created) AS created
    FROM {metrics} WHERE run_id = ? AND build_id IS NULL AND iteration >= ? AND (? IS NULL OR iteration < ?)
    GROUP BY ALL"""
_OF_BUILDS = """
    SELECT metrics.event || '/' || metrics.sampler || '/' || metrics.name AS tag, metrics.iteration,
        CASE WHEN list_contains(?, metrics.name) THEN sum(metrics.value)
            WHEN count(*) = 1 THEN any_value(metrics.value)
            ELSE sum(metrics.value * rows_of) / sum(rows_of) FILTER (metrics.value IS NOT NULL) END AS value,
        max(metrics.created) AS created
    FROM (
        SELECT metrics.*, CASE metrics.name WHEN 'valid' THEN builds.drawn WHEN 'diversity' THEN builds.parseable
            ELSE builds.kept END AS rows_of
        FROM {metrics} AS metrics JOIN {builds} AS builds ON builds.build_id = metrics.build_id
        WHERE metrics.run_id = ? AND metrics.iteration >= ? AND (? IS NULL OR metrics.iteration < ?)
    ) AS metrics GROUP BY metrics.event, metrics.sampler, metrics.name, metrics.iteration"""
_POINTS = f"SELECT * FROM ({_OF_TRAINING} UNION ALL {_OF_BUILDS}) WHERE value IS NOT NULL ORDER BY 2, 1"  # noqa: S608


@dataclass(frozen=True)
class RunState:
    """How far a run has come, as of a snapshot.

    Attributes:
        snapshot: the snapshot.
        settled: the number of iterations that a resumed run does not draw again; None if all that there is counts.
        status: the last status of the run.
    """

    snapshot: int
    settled: int | None
    status: RunStatus


def logged_run(store: SampleStore, run_id: str) -> LoggedRun:
    """Return what a log says of a run.

    Raises:
        UnknownRunError: there is no such run.
    """
    known = store.run(run_id).run_id
    return LoggedRun(**store.read_arrow(_RUN, parameters=[known]).to_pylist()[0])


def run_state(store: SampleStore, run_id: str) -> RunState:
    """Return how far a run has come."""
    snapshot = store.snapshot()
    (row,) = store.read_arrow(_STATE, snapshot=snapshot, parameters=[run_id, run_id]).to_pylist()
    status = RunStatus(row["status"])
    settled = None if status is RunStatus.FINISHED else row["checkpointed"] or 0
    return RunState(snapshot, settled, status)


def points_between(store: SampleStore, run_id: str, state: RunState, first: int) -> Iterator[LogPoint]:
    """Yield the points of the settled iterations of a run from one on, by step, without those of the best molecules.

    Args:
        store: the store.
        run_id: the run.
        state: how far it has come.
        first: the first iteration.
    """
    bounds = [run_id, first, state.settled, state.settled]
    for batch in store.read_batches(_POINTS, snapshot=state.snapshot, parameters=[*bounds, list(SUMMED), *bounds]):
        for row in batch.to_pylist():
            yield LogPoint(_plain(row["tag"]), row["iteration"], row["value"], row["created"])


def _plain(tag: str) -> str:
    """Return a tag with the characters that every logger takes: the names of samplers may have any."""
    return re.sub(r"[^A-Za-z0-9_\-./ ]", "_", tag)
