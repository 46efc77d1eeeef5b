"""The names, tags and limits of deployments and flow runs, by which Prefect's pages refer to runs of the store.

The import of this module does not import Prefect.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

POOL = "molbuffer"
"""The default work pool of deployments."""
TAG = "molbuffer"
"""The tag of every flow run of a deployment."""
HEARTBEAT_SECONDS = 30
"""The seconds between two heartbeats of a flow run; 30 is the least that Prefect allows."""
HEARTBEATS_MISSED = 4
"""The number of missing heartbeats after which a run counts as dead; with three, one late heartbeat could close it."""
RUN = "parameters"
"""The name of the only parameter of each flow, whose type is a model of ``parameters``."""

_NOT_IN_A_NAME = re.compile(r"[^\w.-]+")


def slug(text: str) -> str:
    """Return a text as part of a name, with only letters, digits, dots, dashes and underscores."""
    return _NOT_IN_A_NAME.sub("-", text).strip("-.") or "campaign"


def deployment_tag(name: str) -> str:
    """Return the tag of the flow runs of all deployments of one name."""
    return f"{TAG}-of-{name}"


def heartbeat_tag(seconds: int) -> str:
    """Return the tag of the flow runs with this heartbeat, by which their automation finds them."""
    return f"{TAG}-heartbeat-{seconds}"


def run_tag(run_id: str) -> str:
    """Return the tag of the flow runs of a run of a store; a resumed run has several flow runs."""
    return f"run-{run_id}"


def silence_seconds(heartbeat: int) -> int:
    """Return the seconds without a heartbeat after which a flow run counts as dead.

    The time follows from the heartbeat, since a fixed window of 75 s closed a live run with a heartbeat of 180 s.
    """
    return HEARTBEATS_MISSED * heartbeat


def flow_run_name() -> str:
    """Return the name of the present flow run: the campaign and the start of the run_id, or the store and the flow."""
    from prefect import runtime

    given = runtime.flow_run.parameters.get(RUN, {})
    values = given if isinstance(given, Mapping) else given.model_dump()
    if "settings" in values:
        return f"{campaign_name(values['settings'])} {run_id_of(values, runtime.flow_run.id)[:8]}"
    return f"{PurePath(str(values.get('store', 'store'))).name} {runtime.flow_run.flow_name}"


def campaign_name(settings: Mapping[str, Any]) -> str:
    """Return the name of a campaign from its settings, which come from a form and need not be valid."""
    campaign = settings.get("campaign")
    return str(campaign.get("name", "campaign")) if isinstance(campaign, Mapping) else "campaign"


def run_id_of(parameters: Mapping[str, Any], flow_run_id: str) -> str:
    """Return the run_id of a flow run: that of the run that it resumes, or else its own id."""
    return str(parameters.get("run_id") or uuid.UUID(str(flow_run_id)).hex)
