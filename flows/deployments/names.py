"""Names, tags and limits of what is registered, so that the pages of Prefect and the store can be read side by side.

Nothing here imports Prefect when it is imported.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

POOL = "molbuffer"
"""The work pool that deployments go to unless another one is named."""
TAG = "molbuffer"
"""The tag of every flow run of a deployment."""
HEARTBEAT_SECONDS = 30
"""The seconds between the signs of life of a flow run; Prefect allows no fewer."""
HEARTBEATS_MISSED = 4
"""The heartbeats without a sign of life after which a run counts as dead: of three, one may be late."""
RUN = "parameters"
"""The name of the only parameter of each flow, whose type is a model of ``parameters``."""

_NOT_IN_A_NAME = re.compile(r"[^\w.-]+")


def slug(text: str) -> str:
    """Return a text as a part of a name: letters, digits, dots, dashes and underscores."""
    return _NOT_IN_A_NAME.sub("-", text).strip("-.") or "campaign"


def deployment_tag(name: str) -> str:
    """Return the tag of the flow runs of all deployments of one name."""
    return f"{TAG}-of-{name}"


def heartbeat_tag(seconds: int) -> str:
    """Return the tag of the flow runs with this heartbeat, by which the right automation finds them."""
    return f"{TAG}-heartbeat-{seconds}"


def run_tag(run_id: str) -> str:
    """Return the tag of the flow runs that work on a run of a store, of which a resumed one has several."""
    return f"run-{run_id}"


def silence_seconds(heartbeat: int) -> int:
    """Return how long a flow run may give no sign of life before it counts as dead.

    A window of 75 s closed a run that was alive, and whose heartbeat came every 180 s.
    """
    return HEARTBEATS_MISSED * heartbeat


def flow_run_name() -> str:
    """Return the name of the present flow run: the campaign and the start of the id of its run, or the store and what
    is done with it.
    """
    from prefect import runtime

    given = runtime.flow_run.parameters.get(RUN, {})
    values = given if isinstance(given, Mapping) else given.model_dump()
    if "settings" in values:
        return f"{campaign_name(values['settings'])} {run_id_of(values, runtime.flow_run.id)[:8]}"
    return f"{PurePath(str(values.get('store', 'store'))).name} {runtime.flow_run.flow_name}"


def campaign_name(settings: Mapping[str, Any]) -> str:
    """Return the name of a campaign from its settings, which may be anything that a form was given."""
    campaign = settings.get("campaign")
    return str(campaign.get("name", "campaign")) if isinstance(campaign, Mapping) else "campaign"


def run_id_of(parameters: Mapping[str, Any], flow_run_id: str) -> str:
    """Return the id of the run of a flow run: the one that it resumes, or its own."""
    return str(parameters.get("run_id") or uuid.UUID(str(flow_run_id)).hex)
