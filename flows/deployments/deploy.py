"""Register deployments with a Prefect server, or serve them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from molbuffer.flows.deployments.automations import register_automations
from molbuffer.flows.deployments.names import RUN
from molbuffer.flows.deployments.plans import Planned
from molbuffer.flows.errors import UsageError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.deployments.runner import RunnerDeployment


def made_deployment(plan: Planned) -> RunnerDeployment:
    """Return a planned deployment as Prefect's object, to be registered or served."""
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.deployments.runner import RunnerDeployment
    from prefect.schedules import Cron

    made = RunnerDeployment.from_entrypoint(
        plan.entrypoint,
        name=plan.name,
        schedules=[Cron(plan.cron, timezone=plan.timezone, slug="nightly")] if plan.cron else None,
        # Runs of one deployment go one at a time: the next one waits, and other deployments do not.
        concurrency_limit=None
        if plan.most_at_once is None
        else ConcurrencyLimitConfig(limit=plan.most_at_once, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE),
        parameters={RUN: dict(plan.parameters)},
        description=plan.description,
        tags=list(plan.tags),
        work_pool_name=plan.work_pool,
        # Served deployments need no job variables: the serving process sets the heartbeat of the processes it starts.
        job_variables=plan.job_variables if plan.work_pool else None,
    )
    # Prefect would otherwise record the present folder as the place of the code.
    made._path = None
    return made


def refuse_other_store(client: SyncPrefectClient, plans: Iterable[Planned]) -> None:
    """Refuse deployments whose names the server already has for another store.

    Raises:
        UsageError: the server has such a deployment.
    """
    from prefect.exceptions import ObjectNotFound

    for plan in plans:
        try:
            known = client.read_deployment_by_name(plan.full_name)
        except ObjectNotFound:
            continue
        store = (known.parameters.get(RUN) or {}).get("store")
        if store is not None and store != plan.parameters["store"]:
            raise UsageError(
                f"the server has a deployment {plan.full_name} for the store {store}, and not for "
                f"{plan.parameters['store']}: choose another name with --name"
            )


def ready_pool(client: SyncPrefectClient, name: str) -> bool:
    """Make a work pool of the type process unless the server has one of this name; return whether it was made."""
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectNotFound

    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=name, type="process"))
        return True
    return False


def register(plans: Sequence[Planned]) -> dict[str, Any]:
    """Register deployments, which replace those of the same names, and return their ids by full name."""
    return {plan.full_name: made_deployment(plan).apply() for plan in plans}


@contextmanager
def server() -> Iterator[SyncPrefectClient]:
    """Yield a client of the server that Prefect's settings name; no server is started.

    Raises:
        UsageError: the settings name no server, or the server does not answer.
    """
    from prefect.client.orchestration import get_client

    url = server_url()
    if url is None:
        raise UsageError(
            "no Prefect server is configured: run `prefect server start` in another terminal, and "
            "`export PREFECT_API_URL=http://127.0.0.1:4200/api` in this one"
        )
    with get_client(sync_client=True) as client:
        if (failure := client.api_healthcheck()) is not None:
            raise UsageError(f"the Prefect server {url} does not answer ({failure}): start it, or set PREFECT_API_URL")
        yield client


def server_url() -> str | None:
    """Return the address of the server that Prefect's settings name; None if they name none."""
    from prefect.settings import get_current_settings

    return get_current_settings().api.url


def serve_plans(plans: Sequence[Planned], heartbeat: int) -> None:
    """Register deployments, and run their flow runs in child processes until a signal ends this process.

    Args:
        plans: deployments without a work pool.
        heartbeat: the seconds between two heartbeats of a flow run.
    """
    import asyncio

    from molbuffer.flows.deployments.serving import ServingRunner

    with server() as client:
        refuse_other_store(client, plans)
    # There is no limit on the number of processes, so that a run that hangs does not keep others from starting.
    runner = ServingRunner(heartbeat_seconds=heartbeat, limit=None)
    ids: dict[str, Any] = {plan.full_name: runner.add_deployment(made_deployment(plan)) for plan in plans}
    with server() as client:
        register_automations(client, plans, ids)
    asyncio.run(runner.start())
