"""The progress of a learner and its actors, read from the store: rows, the published policy, and running processes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from molbuffer.storage import ACTORS_OF_RUN, Process, RunStatus, SampleStore, shown_event

SAMPLED = "sampled"
"""The metric of the number of rows that a learner has taken from the buffer since the run began."""

# A row whose reward was completed later has two rewards.
_INSERTED = """
    WITH of_rows AS (
        SELECT bool_or(r.status = 'ok') AS good, bool_and(r.status = 'pending') AS pending
        FROM {rewards} AS r JOIN {builds} AS b USING (build_id)
        WHERE r.objective_sha256 = ? AND b.event = 'build_buffer'
            AND b.run_id IN [actors]
        GROUP BY r.build_id, r."row")
    SELECT count(*) FILTER (good) AS good, count(*) FILTER (pending) AS pending FROM of_rows""".replace(
    "[actors]", ACTORS_OF_RUN
)
_SAMPLED = "SELECT max(value) AS sampled FROM {metrics} WHERE run_id = ? AND name = ? AND build_id IS NULL"
_PUBLISHED = """
    SELECT sha256, iteration FROM {policies} WHERE run_id = ? AND kind = ? AND weights_kept AND iteration IS NOT NULL
    ORDER BY iteration DESC, created DESC LIMIT 1"""
_BUILDS = """
    SELECT build_id FROM {builds}
    WHERE event = 'build_buffer' AND run_id IN [actors]
    ORDER BY iteration, run_id, sampler_order, chunk""".replace("[actors]", ACTORS_OF_RUN)
_STATUS = "SELECT run_id, status, detail FROM {run_states} WHERE run_id = ?"
_ACTORS = """
    SELECT runs.run_id, runs.host, states.status, states.detail
    FROM {runs} AS runs JOIN {run_states} AS states USING (run_id)
    WHERE runs.parent_run_id = ? AND runs.kind = 'build' ORDER BY runs.created, runs.run_id"""


@dataclass(frozen=True)
class InsertedRows:
    """The numbers of rows that actors have drawn for a learner.

    Attributes:
        good: the number of rows with a reward, which the learner may use.
        pending: the number of rows whose reward is pending.
    """

    good: int
    pending: int


@dataclass(frozen=True)
class PublishedPolicy:
    """A policy that a learner has published.

    Attributes:
        sha256: the sha256 of the policy.
        iteration: the number of iterations that it has learned from.
    """

    sha256: str
    iteration: int


@dataclass(frozen=True)
class LearnerState:
    """The state of the run of a learner.

    Attributes:
        status: the newest status of the run.
        ended: whether the run is finished or has failed.
        gone: whether the run was interrupted, or its process is known to be gone; it may be resumed later.
    """

    status: RunStatus
    ended: bool
    gone: bool


@dataclass(frozen=True)
class ActorRun:
    """The run of an actor.

    Attributes:
        run_id: the id of the run.
        host: the host on which it started.
        status: the status for people: ``lost`` if its process is known to be gone.
    """

    run_id: str
    host: str
    status: str

    @property
    def at_work(self) -> bool:
        """Whether the actor may be running, as far as this process can tell."""
        return self.status in (RunStatus.STARTED, RunStatus.RESUMED)


def actor_run_id(learner_id: str, number: int) -> str:
    """Return the id of the run of an actor that a learner starts itself; a resumed learner gets the same ids."""
    return hashlib.sha256(f"{learner_id}\x1factor\x1f{number}".encode()).hexdigest()[:32]


def inserted_rows(
    store: SampleStore, learner_id: str, objective_sha256: str, snapshot: int | None = None
) -> InsertedRows:
    """Return the numbers of rows that the actors of a learner have committed, at a snapshot; None is the newest."""
    found = store.read_arrow(_INSERTED, snapshot=snapshot, parameters=[objective_sha256, learner_id]).to_pylist()[0]
    return InsertedRows(found["good"], found["pending"])


def sampled_rows(store: SampleStore, learner_id: str) -> int:
    """Return the number of rows that a learner has taken from the buffer, up to its last checkpoint."""
    found = store.read_arrow(_SAMPLED, parameters=[learner_id, SAMPLED])["sampled"][0].as_py()
    return int(found or 0)


def published_policy(store: SampleStore, learner_id: str, kind: str, start_sha256: str) -> PublishedPolicy:
    """Return the newest policy that a learner has published; before its first, the policy that it starts from.

    Args:
        store: the store.
        learner_id: the run of the learner.
        kind: the kind of its policies.
        start_sha256: the policy that the learner starts from.
    """
    found = store.read_arrow(_PUBLISHED, parameters=[learner_id, kind]).to_pylist()
    return PublishedPolicy(**found[0]) if found else PublishedPolicy(start_sha256, 0)


def builds_of_actors(store: SampleStore, learner_id: str, snapshot: int) -> list[str]:
    """Return the ids of the builds of all actors of a learner at a snapshot."""
    found: list[str] = store.read_arrow(_BUILDS, snapshot=snapshot, parameters=[learner_id])["build_id"].to_pylist()
    return found


def learner_state(store: SampleStore, learner_id: str) -> LearnerState:
    """Return the state of the run of a learner that has started."""
    found = store.read_arrow(_STATUS, parameters=[learner_id]).to_pylist()[0]
    status = RunStatus(found["status"])
    process = Process.parse(found["detail"]) if status in (RunStatus.STARTED, RunStatus.RESUMED) else None
    return LearnerState(
        status,
        ended=status in (RunStatus.FINISHED, RunStatus.FAILED),
        gone=status is RunStatus.INTERRUPTED or (process is not None and process.gone),
    )


def actors_of(store: SampleStore, learner_id: str) -> list[ActorRun]:
    """Return the actors of a learner, the oldest first."""
    rows = store.read_arrow(_ACTORS, parameters=[learner_id]).to_pylist()
    return [ActorRun(row["run_id"], row["host"], str(shown_event(row["status"], row["detail"])[0])) for row in rows]
