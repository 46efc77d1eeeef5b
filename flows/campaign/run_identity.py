"""The identity of a run under Prefect."""

from __future__ import annotations

import uuid

from prefect import runtime


def current_run_id() -> str:
    """The run_id of the flow run at hand: a retried flow has the same one and so resumes its run."""
    flow_run_id = runtime.flow_run.id
    return uuid.UUID(flow_run_id).hex if flow_run_id else uuid.uuid4().hex
