"""The id and the log of the present flow run, where Prefect runs this process.

A command may run without Prefect, whose import takes more than a second, so this module uses Prefect only if it has
been imported already.
"""

from __future__ import annotations

import logging
import sys
import uuid

from molbuffer.lab import log_warning


def current_run_id() -> str:
    """Return the run_id of the present flow run, or a new one outside of a flow run.

    A retry of a flow run has the same id, and so resumes the run.
    """
    if "prefect" in sys.modules:
        from prefect import runtime

        if flow_run_id := runtime.flow_run.id:
            return uuid.UUID(flow_run_id).hex
    return uuid.uuid4().hex


def warn(text: str) -> None:
    """Write a warning to the log of the command, and to that of the flow run if there is one."""
    log_warning(text)
    _log(logging.WARNING, text)


def inform(text: str) -> None:
    """Write a line to the log of the flow run if there is one; on a terminal, a progress bar shows the same."""
    _log(logging.INFO, text)


def _log(level: int, text: str) -> None:
    if "prefect" not in sys.modules:
        return
    from prefect import get_run_logger
    from prefect.exceptions import MissingContextError

    try:
        logger = get_run_logger()
    except MissingContextError:
        return
    logger.log(level, "%s", text)
