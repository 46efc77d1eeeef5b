"""The record of an attempt at a chunk."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Attempt:
    """The ids of an attempt at a chunk.

    Attributes:
        flow_run_id: the Prefect flow run; None without Prefect.
        task_run_id: the Prefect task run; None without Prefect.
        attempt_id: the task run, or without Prefect the run, and the number of the attempt, from 1, as ``RUN_ID/1``.
    """

    flow_run_id: str | None = None
    task_run_id: str | None = None
    attempt_id: str = ""


def attempt_of_run(run_id: str, number: int) -> Attempt:
    """Return the ids of an attempt that a run makes without Prefect.

    Examples:
        >>> attempt_of_run("3f2a", 2).attempt_id
        '3f2a/2'
    """
    return Attempt(attempt_id=f"{run_id}/{number}")
