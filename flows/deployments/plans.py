"""The deployments of a campaign, one for each scheduled flow, as plain data.

``deploy`` registers these deployments, and ``as_yaml`` writes the same deployments for ``prefect deploy --all``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import yaml

from molbuffer.flows.deployments.names import (
    HEARTBEAT_SECONDS,
    POOL,
    RUN,
    TAG,
    deployment_tag,
    heartbeat_tag,
)
from molbuffer.flows.errors import UsageError
from molbuffer.flows.settings import ASYNC, Settings, did_you_mean

_MODULE = "molbuffer.flows.deployments.night_flows"
BUILD, TRAIN, OFFLINE, SCORE, MAINTAIN, ARCHIVE, EXPORT, REPORT, DEAD_RUNS = (
    "build",
    "train",
    "train-offline",
    "score-pending",
    "maintain",
    "archive",
    "export",
    "report",
    "close-dead-runs",
)
OF_CAMPAIGN = (BUILD, TRAIN, OFFLINE)
FLOWS = (*OF_CAMPAIGN, SCORE, MAINTAIN, ARCHIVE, EXPORT, REPORT, DEAD_RUNS)
"""The names of the flows that any campaign may have, in the order in which they are registered."""
ACT = "act"
"""The flow of the actors of an asynchronous training, which other campaigns do not have."""
USUAL_CRONS = {DEAD_RUNS: "17 * * * *"}
"""The default schedules: dead runs are looked for every hour."""

_DESCRIPTIONS = {
    BUILD: "Adds buffer_size molecules of every sampler to the buffer of **{campaign}**; each night draws other ones.",
    TRAIN: "Trains the policy of **{campaign}** on live and stored molecules, and stores all that it draws.",
    OFFLINE: "Trains a policy of **{campaign}** on stored molecules alone, and compares it with them.",
    SCORE: "Scores the molecules of builds that did not wait for their scores; any number of hosts share the work.",
    MAINTAIN: "Merges small files, backs the catalog up, and removes files that nothing refers to, while others work.",
    ARCHIVE: "Copies rows with their provenance into plain files that any program can read.",
    EXPORT: "Writes the molecules, or the history, as one file for other programs.",
    REPORT: "Writes a report on runs as one HTML file, which needs no network.",
    ACT: "Draws for the newest running asynchronous training of **{campaign}**, until that ends; start as many as "
    "there are workers.",
    DEAD_RUNS: "Records the end of runs whose process has died, and resumes those that have retries left.",
}


@dataclass(frozen=True)
class Nights:
    """The scheduled flows of a campaign, as the options of ``deploy`` and ``serve`` describe them.

    Attributes:
        settings: the checked settings of the campaign.
        store: the folder of the store, as the hosts of the workers see it.
        name: the name of the deployments.
        crons: the schedules of flows, in cron's notation, by the name of the flow.
        timezone: the time zone of the schedules.
        work_pool: the pool whose workers run the flows; None to run them in the process that serves them.
        out: the folder of archives, exports and reports, as the hosts of the workers see it; None is the path of the
            store with ``-files`` appended.
        heartbeat: the seconds between two heartbeats of a run.
        limits: values of the forms of build, train and train-offline that replace their defaults.
    """

    settings: Settings
    store: str
    name: str
    crons: Mapping[str, str] = field(default_factory=dict)
    timezone: str = "UTC"
    work_pool: str | None = POOL
    out: str | None = None
    heartbeat: int = HEARTBEAT_SECONDS
    limits: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Planned:
    """A deployment of a flow.

    Attributes:
        flow: the name of the flow.
        name: the name of the deployment.
        parameters: the values of its form.
        cron: its schedule in cron's notation; None without one.
        timezone: the time zone of the schedule.
        work_pool: the pool whose workers run it; None if the serving process runs it.
        description: a text about the deployment in Markdown.
        tags: the tags of its flow runs.
        heartbeat: the seconds between two heartbeats of a run.
    """

    flow: str
    name: str
    parameters: Mapping[str, Any]
    cron: str | None
    timezone: str
    work_pool: str | None
    description: str
    tags: tuple[str, ...]
    heartbeat: int

    @property
    def entrypoint(self) -> str:
        """The flow as ``module.function``, which a worker finds in any folder."""
        return f"{_MODULE}.{self.flow.replace('-', '_')}"

    @property
    def full_name(self) -> str:
        """The name by which Prefect knows the deployment."""
        return f"{self.flow}/{self.name}"

    @property
    def most_at_once(self) -> int | None:
        """The largest number of its runs at once; the next one waits. None, for scoring and actors, is no limit."""
        return None if self.flow in (SCORE, ACT) else 1

    @property
    def job_variables(self) -> dict[str, Any]:
        """The environment with which a worker starts the process of a run.

        It sets the heartbeat, since the automation that detects dead runs could not know the worker's own setting.
        """
        return {"env": {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(self.heartbeat)}}

    def as_yaml(self) -> dict[str, Any]:
        """Return the deployment as an entry of ``prefect.yaml``."""
        schedules = [{"cron": self.cron, "timezone": self.timezone, "slug": "nightly", "active": True}]
        return {
            "name": self.name,
            "entrypoint": self.entrypoint,
            "description": self.description,
            "tags": list(self.tags),
            "work_pool": {"name": self.work_pool or POOL, "job_variables": self.job_variables},
            **(
                {"concurrency_limit": {"limit": self.most_at_once, "collision_strategy": "ENQUEUE"}}
                if self.most_at_once
                else {}
            ),
            "schedules": schedules if self.cron else [],
            "parameters": {RUN: dict(self.parameters)},
        }


def planned(nights: Nights) -> list[Planned]:
    """Return the deployments of a campaign.

    Raises:
        UsageError: a schedule names a flow that the campaign does not have.
    """
    flows = [each for each in (*FLOWS, ACT) if _has(nights.settings, each)]
    for name in nights.crons:
        if name not in flows:
            why = "the campaign has no such flow." if name in (*FLOWS, ACT) else f"no flow{did_you_mean(name, flows)}"
            raise UsageError(f"--cron {name}=...: {why} Expected one of {', '.join(flows)}")
    crons = USUAL_CRONS | dict(nights.crons)
    # All deployments share this object, so that the YAML file contains the settings once.
    settings = nights.settings.model_dump(mode="json")
    tags = (TAG, heartbeat_tag(nights.heartbeat))
    return [
        Planned(
            flow=flow,
            name=nights.name,
            parameters=_parameters(nights, flow, settings),
            cron=crons.get(flow),
            timezone=nights.timezone,
            work_pool=nights.work_pool,
            description=_DESCRIPTIONS[flow].format(campaign=nights.settings.campaign.name),
            # A crash of close-dead-runs must not start another one.
            tags=tags if flow == DEAD_RUNS else (*tags, deployment_tag(nights.name)),
            heartbeat=nights.heartbeat,
        )
        for flow in flows
    ]


def _has(settings: Settings, flow: str) -> bool:
    """Return whether a campaign has a flow: an offline campaign has neither builds nor online trainings."""
    if flow == ACT:
        return settings.training.mode == ASYNC and not settings.campaign.offline
    if flow == BUILD:
        return not settings.campaign.offline and any(each.size.buffer_size_at(0) for each in settings.samplers)
    return flow != TRAIN or not settings.campaign.offline


def _parameters(nights: Nights, flow: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    out = nights.out or f"{nights.store.rstrip('/')}-files"
    match flow:
        case "maintain":
            return {"store": nights.store}
        case "score-pending":
            return {"store": nights.store, "timeout_hours": nights.limits.get("timeout_hours", 23.0)}
        case "archive":
            return {"store": nights.store, "out": str(PurePosixPath(out) / f"{nights.name}-{{date}}-{{time}}.tar")}
        case "export":
            return {"store": nights.store, "out": str(PurePosixPath(out) / f"{nights.name}-{{date}}.parquet")}
        case "report":
            return {"store": nights.store, "out": str(PurePosixPath(out) / f"{nights.name}-{{date}}.html")}
        case "close-dead-runs":
            return {"store": nights.store, "name": nights.name}
        case "act":
            return {"store": nights.store, "campaign": nights.settings.campaign.name}
        case _:
            return {"settings": settings, "store": nights.store, **nights.limits}


_HEAD = """\
# Deployments for `prefect deploy --all`, as `molbuffer deploy` registers them; written by `molbuffer deploy --yaml`.
# Flows are named by module and `pull` is empty, so that a worker may be started in any folder. Automations that close
# dead runs are registered by `molbuffer deploy` alone.
"""


def as_yaml(listed: list[Planned]) -> str:
    """Return a ``prefect.yaml`` with these deployments."""
    content = {"name": "molbuffer", "pull": [], "deployments": [each.as_yaml() for each in listed]}
    return _HEAD + str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120))
