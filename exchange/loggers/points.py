"""The points of a run: the metrics that its iterations have committed, by tag and step.

Only settled iterations count: those before the last checkpoint, which a resumed run does not draw again, or all
iterations of a finished run. The points are therefore a function of the store and not of the moment at which it is
read, so that a log that is filled in afterwards has the same points as a log that was written during the run.

training/NAME           a metric of the training at an iteration: loss, reward, reward_live, policy_lag, ...
EVENT/SAMPLER/NAME      a metric of the build of a sampler for an event, over its chunks: counts and seconds are
                        summed; shares and means are averaged, weighted by the rows of each chunk
best/reward             the best reward up to an iteration
best/mean_of_top_10     the mean reward of the ten best molecules up to an iteration
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from molbuffer.exchange.loggers.base import LoggedRun, LogPoint
from molbuffer.storage import RunStatus, SampleStore

SUMMED = ("drawn", "parseable", "kept", "duplicates", "shortfall", "seconds")
"""The metrics of a build that are counts or durations, which are summed over chunks."""

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
    """The progress of a run at a snapshot.

    Attributes:
        snapshot: the snapshot.
        settled: the number of iterations that a resumed run does not draw again; None if the run is finished.
        status: the last status of the run.
    """

    snapshot: int
    settled: int | None
    status: RunStatus


def logged_run(store: SampleStore, run_id: str) -> LoggedRun:
    """Return the description of a run for its log.

    Raises:
        UnknownRunError: there is no such run.
    """
    known = store.run(run_id).run_id
    return LoggedRun(**store.read_arrow(_RUN, parameters=[known]).to_pylist()[0])


def run_state(store: SampleStore, run_id: str) -> RunState:
    """Return the progress of a run at the newest snapshot."""
    snapshot = store.snapshot()
    (row,) = store.read_arrow(_STATE, snapshot=snapshot, parameters=[run_id, run_id]).to_pylist()
    status = RunStatus(row["status"])
    settled = None if status is RunStatus.FINISHED else row["checkpointed"] or 0
    return RunState(snapshot, settled, status)


def points_between(store: SampleStore, run_id: str, state: RunState, first: int) -> Iterator[LogPoint]:
    """Yield the points of the settled iterations of a run from ``first`` on, by step, except the ``best/`` points.

    Args:
        store: the store.
        run_id: the run.
        state: the progress of the run.
        first: the first iteration.
    """
    bounds = [run_id, first, state.settled, state.settled]
    for batch in store.read_batches(_POINTS, snapshot=state.snapshot, parameters=[*bounds, list(SUMMED), *bounds]):
        for row in batch.to_pylist():
            yield LogPoint(_plain(row["tag"]), row["iteration"], row["value"], row["created"])


def _plain(tag: str) -> str:
    """Return a tag in which characters that a logger may refuse are underscores: a sampler's name may have any."""
    return re.sub(r"[^A-Za-z0-9_\-./ ]", "_", tag)
