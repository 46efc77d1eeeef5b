"""The store and Prefect are brought into agreement: every line of the table of ``dead_runs``, on a real server."""

import os
import platform
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from molbuffer.flows.deployments.dead_runs import Agreement, agree, run_event
from molbuffer.flows.deployments.names import deployment_tag
from molbuffer.storage import Process, Run, RunKind, RunStatus, SampleStore

GONE = Process(platform.node(), 2**22, 1, Process.current().boot)
HERE = Process.current()
ELSEWHERE = replace(HERE, host="another", boot="another")
AT_ONCE = timedelta(0)


class Case:
    """A store and the flow runs of deployments of one name."""

    def __init__(self, folder: Path, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.client, self.patch = folder, client, monkeypatch
        self.name = folder.parent.name
        SampleStore.create(folder).close()

    def flow_run(self, kind: str, *, retries: int = 0, pid: str | None = None) -> str:
        """Makes a flow run of a deployment in a state; gives the id of its run."""
        from prefect.client.schemas.objects import State, StateType

        flow = self.client.create_flow_from_name("build")
        deployment = self.client.create_deployment(flow, self.name)
        made = self.client.create_flow_run_from_deployment(
            deployment, parameters={"parameters": {"retries": retries}}, tags=[deployment_tag(self.name)]
        )
        for each in ("RUNNING", kind):
            self.client.set_flow_run_state(made.id, State(type=StateType(each)), force=True)
        if pid is not None:
            self.client.update_flow_run(made.id, infrastructure_pid=pid)
        return str(made.id.hex)

    def run(self, run_id: str, process: Process, status: RunStatus | None = None) -> None:
        """Has a process start a run, and end it where a status is given."""
        with SampleStore.open(self.folder) as store:
            with self.patch.context() as patch:
                patch.setattr(Process, "current", classmethod(lambda _: process))
                store.start_run(Run(run_id, "tiny", RunKind.BUILD, "{}", 1))
            if status is not None:
                store.finish_run(run_id, status)

    def agree(self, **more: Any) -> dict[str, list[str]]:
        done: Agreement = agree(str(self.folder), self.name, **more)
        return {what: runs for what, runs in done.as_dict().items() if runs}

    def state(self, run_id: str) -> str:
        return str(self.client.read_flow_run(UUID(run_id)).state.name)

    def status(self, run_id: str) -> str | None:
        with SampleStore.open(self.folder, read_only=True) as store:
            found = run_event(store, run_id)
        return None if found is None else found.status.value


@pytest.fixture
def case(prefect_server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        yield Case(tmp_path / "lab", client, monkeypatch)


def test_both_believe_a_run_at_work_whose_process_is_gone(case: Case) -> None:
    run_id = case.flow_run("RUNNING")
    case.run(run_id, GONE)
    assert case.agree() == {"interrupted": [run_id], "closed": [run_id]}
    assert (case.status(run_id), case.state(run_id)) == ("interrupted", "Crashed")
    assert case.agree() == {}


@pytest.mark.parametrize(("kind", "process"), [("CRASHED", GONE), ("CRASHED", ELSEWHERE), ("CANCELLED", ELSEWHERE)])
def test_the_store_alone_believes_a_run_at_work(case: Case, kind: str, process: Process) -> None:
    run_id = case.flow_run("RUNNING")
    case.run(run_id, process)
    case.client.set_flow_run_state(UUID(run_id), _state(kind), force=True)
    assert case.agree() == {"interrupted": [run_id]}
    assert case.status(run_id) == "interrupted"


def test_a_run_at_work_on_another_host_is_left_alone(case: Case) -> None:
    run_id = case.flow_run("RUNNING")
    case.run(run_id, ELSEWHERE)
    assert case.agree() == {}
    assert (case.status(run_id), case.state(run_id)) == ("started", "Running")


def test_a_run_that_was_gone_on_with_since_is_left_alone(case: Case) -> None:
    run_id = case.flow_run("CRASHED")
    case.run(run_id, ELSEWHERE)
    assert case.agree() == {}


def test_prefect_alone_believes_a_run_dead(case: Case) -> None:
    run_id = case.flow_run("RUNNING", retries=2)
    case.run(run_id, HERE)
    case.client.set_flow_run_state(UUID(run_id), _state("CRASHED"), force=True)
    assert case.agree() == {"reopened": [run_id]}
    assert (case.status(run_id), case.state(run_id)) == ("started", "Running")


def test_a_cancelled_process_that_is_still_there_is_left_to_end(case: Case) -> None:
    run_id = case.flow_run("RUNNING")
    case.run(run_id, HERE)
    case.client.set_flow_run_state(UUID(run_id), _state("CANCELLED"), force=True)
    assert case.agree() == {}


@pytest.mark.parametrize(
    ("status", "state"),
    [(RunStatus.FINISHED, "Completed"), (RunStatus.FAILED, "Failed"), (RunStatus.INTERRUPTED, "Crashed")],
)
def test_prefect_alone_believes_a_run_at_work(case: Case, status: RunStatus, state: str) -> None:
    run_id = case.flow_run("RUNNING")
    case.run(run_id, GONE, status)
    # Its process may be about to say so.
    assert case.agree() == {}
    assert case.agree(settling=AT_ONCE) == {"closed": [run_id]}
    assert (case.status(run_id), case.state(run_id)) == (status.value, state)


def test_a_flow_run_that_never_began_its_run_is_closed_when_its_process_is_gone(case: Case) -> None:
    alive = case.flow_run("RUNNING", pid=f"{platform.node()}:{os.getpid()}")
    gone = case.flow_run("RUNNING", pid=f"{platform.node()}:{2**22}")
    assert case.agree() == {"closed": [gone]}
    assert (case.state(alive), case.state(gone)) == ("Running", "Crashed")


def test_a_crashed_run_is_resumed_as_often_as_it_has_retries(case: Case) -> None:
    run_id = case.flow_run("RUNNING", retries=2)
    case.run(run_id, GONE)
    for _ in range(2):
        assert case.agree(resume=True)["resumed"] == [run_id]
        assert case.state(run_id) == "AwaitingRetry"
        case.client.set_flow_run_state(UUID(run_id), _state("RUNNING"), force=True)
        case.run(run_id, GONE)
    assert case.agree(resume=True) == {"interrupted": [run_id], "closed": [run_id]}


def test_a_run_is_not_resumed_unless_told_and_never_one_that_was_cancelled(case: Case) -> None:
    crashed, cancelled = case.flow_run("RUNNING", retries=1), case.flow_run("RUNNING", retries=1)
    for run_id, kind in ((crashed, "CRASHED"), (cancelled, "CANCELLED")):
        case.run(run_id, GONE)
        case.client.set_flow_run_state(UUID(run_id), _state(kind), force=True)
    assert sorted(case.agree(resume=False)["interrupted"]) == sorted([crashed, cancelled])
    assert (case.state(crashed), case.state(cancelled)) == ("Crashed", "Cancelled")


def test_a_night_that_crashed_before_it_began_is_tried_again(case: Case) -> None:
    run_id = case.flow_run("CRASHED", retries=1)
    assert case.agree() == {"resumed": [run_id]}
    case.client.set_flow_run_state(UUID(run_id), _state("CRASHED"), force=True)
    assert case.agree() == {}


def test_without_a_store_there_is_nothing_to_close(prefect_server: None, tmp_path: Path) -> None:
    assert agree(str(tmp_path / "none"), "none") == Agreement()
    assert not (tmp_path / "none").exists()


def _state(kind: str) -> Any:
    from prefect.client.schemas.objects import State, StateType

    return State(type=StateType(kind))
