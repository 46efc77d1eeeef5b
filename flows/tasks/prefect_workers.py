"""The workers of a flow run: each part is a task run, by one of Prefect's task runners.

threads     ThreadPoolTaskRunner
processes   ThreadPoolTaskRunner, whose threads wait for processes of ours (``processes`` says why)
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
    """Return whether Prefect shall try a failed part again."""
    return can_pass(state.data)


def present_attempt() -> Attempt:
    """Return the attempt that the present task run is."""
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
    """Make one chunk, for the flow to commit."""
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
    """Score molecules, each score stored within a second."""
    return score_part(request) if processes is None else processes.call(score_part_apart, request)


class PrefectWorkers(TaskWorkers):
    """Workers that make parts as task runs.

    Args:
        number: how many parts they make at once.
        runner: the task runner, which was started.
        apart: whether it runs tasks in other processes.
        processes: the processes that its threads wait for; None for none.
    """

    def __init__(self, number: int, runner: TaskRunner[Any], *, apart: bool, processes: WorkerProcesses | None) -> None:
        self.number = number
        self._runner, self._apart, self._processes = runner, apart, processes
        # A task that is submitted from within another one is sent along with it, and not every task can be pickled.
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
    """Have the workers of a flow run, to the end of the block.

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
            # Before the threads, which wait for them.
            stack.callback(processes.stop)
        yield PrefectWorkers(settings.workers, runner, apart=settings.needs_prefect, processes=processes)


def _cluster(settings: RunnerSettings) -> TaskRunner[Any]:
    number, address = settings.workers, settings.address
    if address is not None:
        _refuse_unreachable_server(address)
    if settings.kind == "dask":
        from prefect_dask import DaskTaskRunner

        # Without a limit, since Dask would divide the memory of the machine evenly and end who takes more.
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
        # The client of Dask is otherwise made by the first task.
        getattr(runner, "client", None)
    # Dask and Ray have errors of their own for what keeps one out, such as a token that is missing.
    except Exception as error:
        at = f" at {settings.address}" if settings.address else ""
        raise WorkersError(
            f"the {settings.kind} cluster{at} cannot be reached: {type(error).__name__}: {error}"
        ) from error


def _refuse_unreachable_server(address: str) -> None:
    """Refuse a server of Prefect on this machine alone for a cluster that is on others.

    Raises:
        WorkersError: its tasks could not report to it.
    """
    host = urlsplit(address if "://" in address else f"//{address}").hostname
    server = urlsplit(os.environ.get("PREFECT_API_URL", "")).hostname
    here = {None, "localhost", "127.0.0.1", "::1", "auto"}
    if host not in here and server in here:
        raise WorkersError(
            f"the workers at {address} cannot report to Prefect's server, which is of this machine alone: start one "
            "that they reach by `prefect server start --host 0.0.0.0`, and set PREFECT_API_URL to its address"
        )
