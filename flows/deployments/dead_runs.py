"""Runs whose process has died: make the records of the store and of Prefect agree, in both directions.

    store            flow run           process          action
    running          crashed, ended     dead or unknown  the store records that the run is interrupted
    running          running            dead             the store records interrupted, and Prefect crashed
    running          crashed            running          Prefect records that the flow run runs
    ended            running            dead or unknown  Prefect records the same end
    unknown          running            dead             Prefect records that the flow run has crashed

A crashed run is resumed if it has retries left, also if it crashed before it began, as when its worker could not start
a process.

The flow can look for a process on its own host only; for a process on another host, the heartbeats tell the server. A
running flow run whose run has ended is left alone for a while: its process may be between its last commit and its last
message to the server.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from molbuffer.flows.campaign import inform
from molbuffer.flows.deployments.names import RUN, deployment_tag, run_id_of, run_tag
from molbuffer.storage import Process, RunStatus, SampleStore, now

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

SETTLING = timedelta(seconds=20)
"""The time that a flow run may take to end after its run."""
JUST_CRASHED = timedelta(hours=1)
"""The age up to which a crash before the run began leads to a retry."""
LOOKED_BACK = timedelta(days=3)
"""The age up to which ended flow runs are examined, for runs that are still running by the record of the store."""
_MOST_RUNS = 200
_RETRY = "AwaitingRetry"
_ENDS = {
    RunStatus.FINISHED: ("COMPLETED", "Completed"),
    RunStatus.FAILED: ("FAILED", "Failed"),
    RunStatus.INTERRUPTED: ("CRASHED", "Crashed"),
}
"""The state that a flow run gets, by the status with which its run has ended in the store."""


@dataclass
class Agreement:
    """The changes that ``agree`` made, as lists of run_ids.

    Attributes:
        interrupted: runs that were running by the record of the store, and were recorded as interrupted.
        closed: runs whose flow runs were running by the record of Prefect, and were closed.
        reopened: runs whose flow runs were crashed by the record of Prefect, and whose process is running.
        resumed: runs that a worker will resume.
    """

    interrupted: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    reopened: list[str] = field(default_factory=list)
    resumed: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return the changes as JSON values."""
        return asdict(self)


def note_run(run_id: str) -> None:
    """Tag the present flow run with the id of its run, since a resumed run has several flow runs."""
    from prefect import runtime
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        tags = {*(runtime.flow_run.tags or ()), run_tag(run_id)}
        client.update_flow_run(UUID(runtime.flow_run.id), tags=sorted(tags))


def agree(store: str, name: str, *, resume: bool = True, settling: timedelta = SETTLING) -> Agreement:
    """Make the records of a store agree with those of Prefect on the flow runs of a campaign's deployments.

    Args:
        store: the folder of the store.
        name: the name of the deployments.
        resume: resume crashed runs that have retries left.
        settling: the time that a running flow run may take to end after its run.
    """
    from prefect.client.orchestration import get_client

    done = Agreement()
    if not (Path(store) / "store.toml").is_file():
        inform(f"{store} is no store yet, so it has no dead runs")
        return done
    with SampleStore.open(Path(store)) as opened, get_client(sync_client=True) as client:
        for flow_run in _flow_runs(client, name):
            if flow_run.state is not None:
                _Pair(opened, client, flow_run, done).agree(resume, settling)
    for what, runs in done.as_dict().items():
        if runs:
            inform(f"{what}: {', '.join(runs)}")
    return done


def _flow_runs(client: SyncPrefectClient, name: str) -> Iterator[FlowRun]:
    """Yield the newest flow run of each run that runs or has ended lately, of the deployments of one name."""
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.client.schemas.sorting import FlowRunSort

    moment = datetime.now(UTC)
    chosen = FlowRunFilter.model_validate(
        {
            "tags": {"all_": [deployment_tag(name)]},
            "expected_start_time": {"after_": moment - LOOKED_BACK, "before_": moment},
            "state": {"type": {"not_any_": ["SCHEDULED", "PAUSED"]}},
        }
    )
    seen: set[str] = set()
    for flow_run in client.read_flow_runs(
        flow_run_filter=chosen, sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=_MOST_RUNS
    ):
        run_id = _run_of(flow_run)
        if run_id not in seen:
            seen.add(run_id)
            yield flow_run


def _run_of(flow_run: FlowRun) -> str:
    return run_id_of((flow_run.parameters or {}).get(RUN) or {}, str(flow_run.id))


@dataclass
class _Pair:
    """A flow run and the run of the store that it works on."""

    store: SampleStore
    client: SyncPrefectClient
    flow_run: FlowRun
    done: Agreement

    def agree(self, resume: bool, settling: timedelta) -> None:
        """Make the two records agree, by the table in the docstring of the module."""
        run_id, state = _run_of(self.flow_run), self.flow_run.state
        assert state is not None
        found = run_event(self.store, run_id)
        at_work_there = state.is_running() or state.is_cancelling()
        if found is None:
            if at_work_there and _is_gone(self.flow_run.infrastructure_pid):
                self._set("CRASHED", "Crashed", "its process died before the run began", run_id)
                self._resume(run_id, resume)
            elif datetime.now(UTC) - state.timestamp < JUST_CRASHED:
                self._resume(run_id, resume)
        elif found.status in (RunStatus.STARTED, RunStatus.RESUMED):
            gone = found.process is not None and found.process.gone
            alive = found.process is not None and found.process.here and not gone
            # Another process may have resumed the run since this flow run ended.
            own = at_work_there or found.when < state.timestamp.astimezone(UTC).replace(tzinfo=None)
            if at_work_there and gone:
                self._set("CRASHED", "Crashed", "its process has died", run_id)
            if state.is_crashed() and alive and own:
                self._set("RUNNING", "Running", "its process is running", run_id, self.done.reopened)
            elif (state.is_final() and not alive and own) or gone:
                self._interrupt(run_id, resume)
        elif at_work_there and now() - found.when >= settling:
            self._set(*_ENDS[found.status], f"the store says that run {run_id} is {found.status}", run_id)

    def _interrupt(self, run_id: str, resume: bool) -> None:
        self.store.finish_run(run_id, RunStatus.INTERRUPTED, "its process is gone; found by close-dead-runs")
        self.done.interrupted.append(run_id)
        self._resume(run_id, resume)

    def _resume(self, run_id: str, resume: bool) -> None:
        """Schedule the flow run again, so that a worker resumes a crashed run, if it has retries left."""
        state = self.flow_run.state
        retries = int(((self.flow_run.parameters or {}).get(RUN) or {}).get("retries", 0))
        if not (resume and retries and state is not None and state.is_crashed() and self.flow_run.deployment_id):
            return
        before = sum(each.name == _RETRY for each in self.client.read_flow_run_states(self.flow_run.id))
        if before < retries:
            why = f"its process died; the run is resumed from the store (retry {before + 1} of {retries})"
            self._set("SCHEDULED", _RETRY, why, run_id, self.done.resumed)

    def _set(self, kind: str, name: str, message: str, run_id: str, into: list[str] | None = None) -> None:
        from prefect.client.schemas.objects import State, StateType

        state = State[Any](type=StateType(kind), name=name, message=message)
        self.client.set_flow_run_state(self.flow_run.id, state, force=True)
        self.flow_run.state = state
        (self.done.closed if into is None else into).append(run_id)


@dataclass(frozen=True)
class RunEvent:
    """The newest event of a run in the store.

    Attributes:
        status: the status of the run from this event on.
        when: the time of the event, in UTC.
        process: the process of the run; None if the event is the end of the run.
    """

    status: RunStatus
    when: datetime
    process: Process | None


def run_event(store: SampleStore, run_id: str) -> RunEvent | None:
    """Return the newest event that changed the status of a run; None for a run that the store does not know."""
    found = store.read_arrow(
        "SELECT status, detail, changed FROM {run_states} WHERE run_id = ?", parameters=[run_id]
    ).to_pylist()
    return (
        RunEvent(RunStatus(found[0]["status"]), found[0]["changed"], Process.parse(found[0]["detail"]))
        if found
        else None
    )


def _is_gone(infrastructure: str | None) -> bool:
    """Return whether a process, given as HOST:PID, belongs to this host and has ended."""
    host, _, number = (infrastructure or "").rpartition(":")
    if host != platform.node() or not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
