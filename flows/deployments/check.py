"""Check what scheduled runs need: the server, the pool, a worker, the deployments, and a store that opens here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from molbuffer.flows.deployments.deploy import server, server_url
from molbuffer.flows.deployments.names import deployment_tag
from molbuffer.flows.deployments.plans import DEAD_RUNS
from molbuffer.flows.errors import UsageError
from molbuffer.storage import SampleStore, StoreError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient


@dataclass(frozen=True)
class Looked:
    """The result of one check.

    Attributes:
        what: the name of the thing that was checked.
        ok: whether it is as runs need it.
        said: what was found, and what to do if it is missing.
    """

    what: str
    ok: bool
    said: str

    @property
    def text(self) -> str:
        """The result as a line of text."""
        return f"{'ok     ' if self.ok else 'missing'}  {self.what}: {self.said}"


def look(pool: str, name: str | None, store: Path | None) -> list[Looked]:
    """Check everything that scheduled runs need.

    Args:
        pool: the name of the work pool.
        name: the name of the deployments; None for all deployments.
        store: the folder of the store; None to leave the store out.
    """
    found = []
    try:
        with server() as client:
            found.append(Looked("server", True, f"{server_url()} answers, with Prefect {client.api_version()}"))
            found += [*_of_pool(client, pool), *_of_deployments(client, name)]
    except UsageError as error:
        found.append(Looked("server", False, str(error)))
    return [*found, *_of_store(store)]


def _of_pool(client: SyncPrefectClient, name: str) -> Iterator[Looked]:
    from prefect.exceptions import ObjectNotFound

    try:
        pool = client.read_work_pool(name)
    except ObjectNotFound:
        yield Looked("pool", False, f"there is no pool {name}: `prefect work-pool create {name} --type process`")
        return
    if pool.is_paused:
        yield Looked("pool", False, f"{name} is paused: `prefect work-pool resume {name}`")
    else:
        yield Looked("pool", True, f"{name}, of the type {pool.type}")
    workers = client.read_workers_for_work_pool(name)
    online = [worker.name for worker in workers if worker.status == "ONLINE"]
    if online:
        yield Looked("worker", True, f"{len(online)} of {name} at work: {', '.join(online[:3])}")
    else:
        last = max((worker.last_heartbeat_time for worker in workers if worker.last_heartbeat_time), default=None)
        seen = "and never had one" if last is None else f"the last one was seen at {last:%Y-%m-%d %H:%M} UTC"
        yield Looked("worker", False, f"{name} has no running worker, {seen}: `prefect worker start --pool {name}`")


def _of_deployments(client: SyncPrefectClient, name: str | None) -> Iterator[Looked]:
    from prefect.client.schemas.filters import DeploymentFilter

    listed = client.read_deployments(
        deployment_filter=DeploymentFilter.model_validate({"tags": {"all_": ["molbuffer"]}})
    )
    mine = [each for each in listed if name in (None, each.name)]
    called = "" if name is None else f" called {name}"
    if not mine:
        yield Looked("deployments", False, f"there are none{called}: `molbuffer deploy CAMPAIGN.toml --store DIR`")
        return
    planned_runs = sum(schedule.active for each in mine if not each.paused for schedule in each.schedules)
    yield Looked("deployments", True, f"{len(mine)}{called}, {planned_runs} with a schedule")
    for each in sorted({each.name for each in mine}):
        yield _of_automations(client, each)


def _of_automations(client: SyncPrefectClient, name: str) -> Looked:
    what, tag = f"dead runs of {name}", deployment_tag(name)
    listed = [each for each in client.read_automations() if each.name.startswith("molbuffer: ") and each.enabled]
    silent = any(each.name.startswith("molbuffer: silent runs") for each in listed)
    crashed = any(each.name == f"molbuffer: crashed runs of {name}" for each in listed)
    if silent and crashed:
        return Looked(what, True, f"closed by automations, and by {DEAD_RUNS}")
    return Looked(what, False, f"no enabled automation closes flow runs tagged {tag}: run `molbuffer deploy` again")


def _of_store(place: Path | None) -> Iterator[Looked]:
    if place is None:
        return
    if not (place / "store.toml").is_file():
        yield Looked("store", True, f"{place} does not exist yet; the first run makes it")
        return
    try:
        with SampleStore.open(place, read_only=True) as store:
            yield Looked("store", True, f"{place} opens, with its extensions, at snapshot {store.snapshot()}")
    except (OSError, StoreError) as error:
        yield Looked("store", False, str(error))
