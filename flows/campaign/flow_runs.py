"""What runs have from Prefect: the id of the flow run, and its log."""

from __future__ import annotations

import uuid

from prefect import get_run_logger, runtime
from prefect.exceptions import MissingContextError

from molbuffer.lab import log_warning


def current_run_id() -> str:
    """Return the run_id of the present flow run: a retried flow has the same one, and so resumes its run."""
    flow_run_id = runtime.flow_run.id
    return uuid.UUID(flow_run_id).hex if flow_run_id else uuid.uuid4().hex


def warn(text: str) -> None:
    """Write a warning to the log of the command, and to that of the flow run."""
    log_warning(text)
    try:
        logger = get_run_logger()
    except MissingContextError:
        return
    logger.warning("%s", text)
