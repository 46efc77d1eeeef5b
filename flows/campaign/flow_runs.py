"""What runs have from Prefect, where it runs them: the id of the flow run, and its log.

A command may run without Prefect, which takes more than a second to import: it is asked only if it is there.
"""

from __future__ import annotations

import logging
import sys
import uuid

from molbuffer.lab import log_warning


def current_run_id() -> str:
    """Return the run_id of the present flow run: a retried flow has the same one, and so resumes its run. Without one,
    the run_id is new.
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
    """Write a line to the log of the flow run if there is one: it says what a terminal's bar says otherwise."""
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
