"""Runs whose process is gone: brings what the store and Prefect say of them into agreement, in both directions.

    store            flow run           process          what is done
    at work          crashed, ended     gone or unknown  the store records that the run is interrupted
    at work          at work            gone             both record it: interrupted, crashed
    at work          crashed            at work          Prefect records that it runs
    ended            at work            gone or unknown  Prefect records the same end
    unknown          at work            gone             Prefect records that it has crashed

A run that crashed is resumed if it has retries left, also one that crashed before it began, as when its worker could
not start a process.

A process can be looked for on its own host only; of another host's the server knows by the heartbeats. A flow run at
work whose run has ended is left alone for a while: its process may be between its last commit and its last word.
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
"""The time from the end of a run to that of its flow run."""
JUST_CRASHED = timedelta(hours=1)
"""The age up to which a crash before the run began is worth a retry: its night is not over."""
LOOKED_BACK = timedelta(days=3)
"""The age up to which ended flow runs are looked at, for runs that the store believes at work."""
_MOST_RUNS = 200
_RETRY = "AwaitingRetry"
_ENDS = {
    RunStatus.FINISHED: ("COMPLETED", "Completed"),
    RunStatus.FAILED: ("FAILED", "Failed"),
    RunStatus.INTERRUPTED: ("CRASHED", "Crashed"),
}
"""The state of a flow run whose run has ended so in the store."""


@dataclass
class Agreement:
    """What was done, by run id.

    Attributes:
        interrupted: runs that the store believed at work.
        closed: flow runs that Prefect believed at work, by the id of their run.
        reopened: flow runs that Prefect believed dead, and whose process is at work.
        resumed: runs that a worker resumes.
    """

    interrupted: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    reopened: list[str] = field(default_factory=list)
    resumed: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def note_run(run_id: str) -> None:
    """Tag the present flow run with the run that it works on: a resumed run has several flow runs."""
    from prefect import runtime
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        tags = {*(runtime.flow_run.tags or ()), run_tag(run_id)}
        client.update_flow_run(UUID(runtime.flow_run.id), tags=sorted(tags))


def agree(store: str, name: str, *, resume: bool = True, settling: timedelta = SETTLING) -> Agreement:
    """Bring a store and the flow runs of the deployments of one name into agreement.

    Args:
        store: the folder of the store.
        name: the name of the deployments.
        resume: have the runs that crashed with retries left resumed.
        settling: the time that a flow run at work may take to end after its run.
    """
    from prefect.client.orchestration import get_client

    done = Agreement()
    if not (Path(store) / "store.toml").is_file():
        inform(f"{store} is no store yet: no run of it can be dead")
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
    """Yield the flow runs of a name that are at work or ended lately, of each run the newest."""
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
        """Do what the table of the module says."""
        run_id, state = _run_of(self.flow_run), self.flow_run.state
        assert state is not None
        found = run_event(self.store, run_id)
        at_work_there = state.is_running() or state.is_cancelling()
        if found is None:
            if at_work_there and _is_gone(self.flow_run.infrastructure_pid):
                self._set("CRASHED", "Crashed", "its process is gone, and it began no run", run_id)
                self._resume(run_id, resume)
            elif datetime.now(UTC) - state.timestamp < JUST_CRASHED:
                self._resume(run_id, resume)
        elif found.status in (RunStatus.STARTED, RunStatus.RESUMED):
            gone = found.process is not None and found.process.gone
            alive = found.process is not None and found.process.here and not gone
            # Somebody may have gone on with the run since this flow run ended: that process is not this one's.
            own = at_work_there or found.when < state.timestamp.astimezone(UTC).replace(tzinfo=None)
            if at_work_there and gone:
                self._set("CRASHED", "Crashed", "its process is gone", run_id)
            if state.is_crashed() and alive and own:
                self._set("RUNNING", "Running", "its process is at work", run_id, self.done.reopened)
            elif (state.is_final() and not alive and own) or gone:
                self._interrupt(run_id, resume)
        elif at_work_there and now() - found.when >= settling:
            self._set(*_ENDS[found.status], f"the store says that run {run_id} is {found.status}", run_id)

    def _interrupt(self, run_id: str, resume: bool) -> None:
        self.store.finish_run(run_id, RunStatus.INTERRUPTED, "its process is gone; found by close-dead-runs")
        self.done.interrupted.append(run_id)
        self._resume(run_id, resume)

    def _resume(self, run_id: str, resume: bool) -> None:
        """Have a worker go on with a run that crashed, if it has retries left."""
        state = self.flow_run.state
        retries = int(((self.flow_run.parameters or {}).get(RUN) or {}).get("retries", 0))
        if not (resume and retries and state is not None and state.is_crashed() and self.flow_run.deployment_id):
            return
        before = sum(each.name == _RETRY for each in self.client.read_flow_run_states(self.flow_run.id))
        if before < retries:
            why = f"its process was lost; it goes on from what is stored (retry {before + 1} of {retries})"
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
        status: the status that it gave the run.
        when: when, in UTC.
        process: the process at work on the run; None for an end.
    """

    status: RunStatus
    when: datetime
    process: Process | None


def run_event(store: SampleStore, run_id: str) -> RunEvent | None:
    """Return the newest event of a run that tells its status; None for a run that the store does not know."""
    found = store.read_arrow(
        "SELECT status, detail, changed FROM {run_states} WHERE run_id = ?", parameters=[run_id]
    ).to_pylist()
    return (
        RunEvent(RunStatus(found[0]["status"]), found[0]["changed"], Process.parse(found[0]["detail"]))
        if found
        else None
    )


def _is_gone(infrastructure: str | None) -> bool:
    """Return whether a process, as HOST:NUMBER, is of this host and has ended."""
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
