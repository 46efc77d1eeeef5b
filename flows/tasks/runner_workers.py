"""The workers of a run, by the runner of its configuration: Prefect tasks, or threads and processes of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from molbuffer.flows.errors import UsageError
from molbuffer.flows.settings import RunnerSettings
from molbuffer.flows.tasks.processes import WorkerProcesses
from molbuffer.flows.tasks.workers import LocalWorkers, TaskWorkers


@contextmanager
def opened_workers(settings: RunnerSettings) -> Iterator[TaskWorkers | None]:
    """Yield the workers of a run, and stop them at the end of the block; yield None if the run works alone.

    In a flow run, the workers make parts in Prefect tasks.

    Raises:
        UsageError: the settings name a cluster, which needs Prefect, and this is no flow run.
        WorkersError: the cluster cannot be reached.
    """
    if not settings.shares:
        yield None
    elif _in_flow_run():
        from molbuffer.flows.tasks.prefect_workers import prefect_workers

        with prefect_workers(settings) as workers:
            yield workers
    elif settings.needs_prefect:
        raise UsageError(
            f"the runner {settings.kind} makes parts of a build in tasks of Prefect: leave --no-prefect out, or set "
            'runner.kind = "processes"'
        )
    else:
        local = LocalWorkers(settings.workers, WorkerProcesses(settings.workers) if settings.apart else None)
        try:
            yield local
        finally:
            local.close()


def _in_flow_run() -> bool:
    if "prefect" not in sys.modules:
        return False
    from prefect.context import FlowRunContext

    return FlowRunContext.get() is not None
