"""The workers of a flow run: each part is a task run of one of Prefect's task runners.

threads     ThreadPoolTaskRunner
processes   ThreadPoolTaskRunner, whose threads wait for the processes of ``WorkerProcesses`` (``processes`` says why)
dask, ray   DaskTaskRunner, RayTaskRunner
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from typing import Any
from urllib.parse import urlsplit

from prefect import State, Task, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas import TaskRun
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from molbuffer.flows.errors import WorkersError
from molbuffer.flows.settings import RunnerSettings
from molbuffer.flows.tasks.attempts import Attempt
from molbuffer.flows.tasks.build_request import BuildRequest, ScoreRequest
from molbuffer.flows.tasks.parts import (
    make_part,
    make_part_apart,
    make_part_on_cluster,
    score_part,
    score_part_apart,
)
from molbuffer.flows.tasks.processes import WorkerProcesses
from molbuffer.flows.tasks.retries import RETRIES, RETRY_DELAY_SECONDS, can_pass
from molbuffer.flows.tasks.workers import Part, TaskWorkers


def failed_for_now(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Return whether Prefect tries a failed part again."""
    return can_pass(state.data)


def present_attempt() -> Attempt:
    """Return the ids of the present task run as an attempt."""
    run = runtime.task_run
    return Attempt(runtime.flow_run.id, run.id, f"{run.id}/{run.run_count}")


@task(
    name="build_buffer",
    task_run_name="build_buffer-{request.iteration}-{request.sampler}-{request.chunk}",
    cache_policy=NO_CACHE,
    retries=RETRIES,
    retry_delay_seconds=RETRY_DELAY_SECONDS,
    retry_condition_fn=failed_for_now,
)
def make_part_task(
    request: BuildRequest, apart: bool = False, processes: WorkerProcesses | None = None
) -> dict[str, Any]:
    """Make one chunk, which the flow commits."""
    attempt = present_attempt()
    if processes is not None:
        return processes.call(make_part_apart, request, attempt)
    return make_part_on_cluster(request, attempt) if apart else make_part(request, attempt)


@task(
    name="score",
    task_run_name="score",
    cache_policy=NO_CACHE,
    retries=RETRIES,
    retry_delay_seconds=RETRY_DELAY_SECONDS,
    retry_condition_fn=failed_for_now,
)
def score_task(request: ScoreRequest, processes: WorkerProcesses | None = None) -> dict[str, int]:
    """Score molecules, and store each score within a second."""
    return score_part(request) if processes is None else processes.call(score_part_apart, request)


class PrefectWorkers(TaskWorkers):
    """Workers that make parts in task runs.

    Args:
        number: the number of parts that they make at once.
        runner: the task runner, already started.
        apart: whether the task runner runs tasks in other processes.
        processes: the processes that its threads wait for; None if the threads work themselves.
    """

    def __init__(self, number: int, runner: TaskRunner[Any], *, apart: bool, processes: WorkerProcesses | None) -> None:
        self.number = number
        self._runner, self._apart, self._processes = runner, apart, processes
        # Prefect pickles the enclosing task along with a task submitted from within it, and not every task can be
        # pickled, so tasks are submitted from the context of the flow.
        self._of_flow = copy_context()

    def make(self, request: BuildRequest) -> Part:
        given = {"request": request, "apart": self._apart, "processes": self._processes}
        return self._submit(make_part_task, given)

    def score_part(self, request: ScoreRequest) -> Part:
        return self._submit(score_task, {"request": request, "processes": self._processes})

    def _submit(self, work: Task[..., Any], parameters: dict[str, Any]) -> Part:
        part: Part = self._of_flow.copy().run(self._runner.submit, work, parameters)
        return part


@contextmanager
def prefect_workers(settings: RunnerSettings) -> Iterator[PrefectWorkers]:
    """Yield the workers of a flow run, and stop them at the end of the block.

    Raises:
        WorkersError: the cluster cannot be reached, or cannot reach Prefect's server.
    """
    with ExitStack() as stack:
        processes = None
        runner: TaskRunner[Any]
        runner = _cluster(settings) if settings.needs_prefect else ThreadPoolTaskRunner(max_workers=settings.workers)
        _enter(stack, runner, settings)
        if settings.kind == "processes":
            processes = WorkerProcesses(settings.workers)
            # The processes stop before the threads, which wait for them.
            stack.callback(processes.stop)
        yield PrefectWorkers(settings.workers, runner, apart=settings.needs_prefect, processes=processes)


def _cluster(settings: RunnerSettings) -> TaskRunner[Any]:
    number, address = settings.workers, settings.address
    if address is not None:
        _refuse_unreachable_server(address)
    if settings.kind == "dask":
        from prefect_dask import DaskTaskRunner

        # There is no memory limit, since Dask would divide the memory evenly and kill a worker that uses more.
        local = {"n_workers": number, "threads_per_worker": 1, "memory_limit": 0, "dashboard_address": None}
        made = {"address": address} if address is not None else {"cluster_kwargs": local}
        dask: TaskRunner[Any] = DaskTaskRunner(**made)
        return dask
    from prefect_ray import RayTaskRunner

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet: dict[str, Any] = {"log_to_driver": False}
    of_one = {} if address is not None else {"num_cpus": number, "include_dashboard": False}
    ray: TaskRunner[Any] = RayTaskRunner(address=address, init_kwargs={**quiet, **of_one})
    return ray


def _enter(stack: ExitStack, runner: TaskRunner[Any], settings: RunnerSettings) -> None:
    try:
        stack.enter_context(runner)
        # This access makes the client of Dask, which the first task would make otherwise.
        getattr(runner, "client", None)
    # Dask and Ray raise many types of errors when a connection fails, such as for a missing token.
    except Exception as error:
        at = f" at {settings.address}" if settings.address else ""
        raise WorkersError(
            f"the {settings.kind} cluster{at} cannot be reached: {type(error).__name__}: {error}"
        ) from error


def _refuse_unreachable_server(address: str) -> None:
    """Refuse a Prefect server that only this machine can reach, if the cluster is on other machines.

    Raises:
        WorkersError: the tasks of the cluster could not reach the server.
    """
    host = urlsplit(address if "://" in address else f"//{address}").hostname
    server = urlsplit(os.environ.get("PREFECT_API_URL", "")).hostname
    here = {None, "localhost", "127.0.0.1", "::1", "auto"}
    if host not in here and server in here:
        raise WorkersError(
            f"the workers at {address} cannot reach Prefect's server, which only this machine can reach: start one for "
            "other machines by `prefect server start --host 0.0.0.0`, and set PREFECT_API_URL to its address"
        )
