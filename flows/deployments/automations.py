"""Automations of the server that end flow runs without heartbeats, and record the end of their runs in the store.

A killed process cannot report its end. When several heartbeats of a flow run are missing, an automation sets it to
crashed; when a flow run has crashed, for whatever reason, another automation starts the flow ``close-dead-runs``, which
records the end in the store, and resumes the run if it has retries left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from molbuffer.flows.deployments.names import deployment_tag, heartbeat_tag, silence_seconds
from molbuffer.flows.deployments.plans import DEAD_RUNS, Planned

if TYPE_CHECKING:
    from prefect.automations import AutomationCore
    from prefect.client.orchestration import SyncPrefectClient

_ENDS = ("Completed", "Failed", "Crashed", "Cancelled", "Cancelling", "AwaitingRetry", "Paused", "Suspended")


def silent_runs(heartbeat: int, window_seconds: int | None = None) -> AutomationCore:
    """Return the automation that sets flow runs without heartbeats to crashed.

    Args:
        heartbeat: the seconds between two heartbeats; the automation applies to flow runs with the tag of this number.
        window_seconds: the seconds without a heartbeat after which a run counts as dead; by default
            ``silence_seconds``.
    """
    from prefect.automations import AutomationCore
    from prefect.client.schemas.objects import StateType
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.automations import EventTrigger, Posture

    window = silence_seconds(heartbeat) if window_seconds is None else window_seconds
    return AutomationCore(
        name=f"molbuffer: silent runs (a heartbeat every {heartbeat} s)",
        description=f"Sets a flow run without a heartbeat for {window} s to crashed: its process has died.",
        trigger=EventTrigger(
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related=_tagged(heartbeat_tag(heartbeat)),
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.heartbeat", *(f"prefect.flow-run.{end}" for end in _ENDS)},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=window),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                name="Crashed",
                force=False,
                message=f"no heartbeat for {window} s: the process of this run has died",
            )
        ],
    )


def crashed_runs(name: str, dead_runs_id: UUID) -> AutomationCore:
    """Return the automation that runs ``close-dead-runs`` when a flow run of a campaign's deployments has crashed.

    Args:
        name: the name of the deployments.
        dead_runs_id: the id of the deployment of ``close-dead-runs`` with this name.
    """
    from prefect.automations import AutomationCore
    from prefect.events.actions import RunDeployment
    from prefect.events.schemas.automations import EventTrigger, Posture

    return AutomationCore(
        name=f"molbuffer: crashed runs of {name}",
        description="Records the end of a crashed run in the store, and resumes it if it has retries left.",
        trigger=EventTrigger(
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related=_tagged(deployment_tag(name)),
            expect={"prefect.flow-run.Crashed"},
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(seconds=0),
        ),
        actions=[RunDeployment(source="selected", deployment_id=dead_runs_id, parameters=None, job_variables=None)],
    )


def _tagged(tag: str) -> dict[str, Any]:
    return {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{tag}"}


def register_automation(client: SyncPrefectClient, automation: AutomationCore) -> None:
    """Register an automation, and replace those of the same name."""
    for known in client.read_automations_by_name(automation.name):
        client.delete_automation(known.id)
    client.create_automation(automation)


def register_automations(client: SyncPrefectClient, plans: Sequence[Planned], ids: Mapping[str, UUID]) -> None:
    """Register the automations of a campaign's deployments.

    Args:
        client: the client of the server.
        plans: the deployments, which have the same name.
        ids: the ids of the deployments, by full name.
    """
    dead_runs = next(plan for plan in plans if plan.flow == DEAD_RUNS)
    register_automation(client, silent_runs(dead_runs.heartbeat))
    register_automation(client, crashed_runs(dead_runs.name, ids[dead_runs.full_name]))
