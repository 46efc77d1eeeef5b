"""Prefect's settings for a command: quiet, without telemetry, and without the internet.

Prefect reads its settings from the environment when it is first imported, so they are set before. Settings of the
user are kept.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from molbuffer.flows.cli.errors import debugging
from molbuffer.flows.cli.output import note, output_kept_for_results

_SETTINGS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
    # On a busy machine the server takes longer to start than the 20 seconds that Prefect waits for it.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
}
_UNREACHABLE = ("Failed to reach API", "ephemeral Prefect API server")
"""Texts of Prefect's errors when there is no server: their type is plain RuntimeError."""


class PrefectServerError(Exception):
    """The Prefect server cannot be reached."""


@contextmanager
def prefect_ready() -> Iterator[None]:
    """Set up Prefect for the flows of one command, and say which server is used.

    The output of flows goes to standard error; the command writes its result afterwards.

    Prefect must not have been imported before.

    Raises:
        PrefectServerError: the server cannot be reached.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    if not debugging():
        # The command reports the error that ends a run. These loggers would print its traceback before; they still
        # send it to the server, where the run can be looked at.
        for logger in ("prefect.flow_runs", "prefect.task_runs"):
            logging.getLogger(logger).propagate = False
    server = os.environ.get("PREFECT_API_URL")
    if not server:
        note("PREFECT_API_URL is not set: using Prefect's ephemeral server for this command")
    try:
        with output_kept_for_results():
            yield
    except RuntimeError as error:
        if not any(text in str(error) for text in _UNREACHABLE):
            raise
        advice = f"start the server of PREFECT_API_URL={server}, or unset it" if server else "try again"
        raise PrefectServerError(f"{error} ({advice})") from error
