"""An attempt at a chunk."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Attempt:
    """An attempt at a chunk; without Prefect it has no ids.

    Attributes:
        flow_run_id: the flow run.
        task_run_id: the task run.
        attempt_id: the attempt of that task run.
    """

    flow_run_id: str | None = None
    task_run_id: str | None = None
    attempt_id: str = ""
