"""Prefect's settings for a command: few log lines, no telemetry, and no access to the internet.

Prefect reads its settings from the environment at its first import, so they are set before that. Variables that the
user has set are kept.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from molbuffer.flows.cli.common.errors import debugging
from molbuffer.flows.cli.common.notes import note
from molbuffer.flows.cli.common.output import output_kept_for_results
from molbuffer.flows.cli.common.prefect_server import CommandServer, PrefectServerError
from molbuffer.flows.cli.common.prefect_settings import server_is_configured
from molbuffer.flows.cli.common.run_notes import told_how_to_go_on

_TIMEOUT = "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"
_SETTINGS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
    # On a busy machine the server takes longer to start than the 20 seconds that Prefect waits for it.
    _TIMEOUT: "180",
}
_UNREACHABLE = ("Failed to reach API", "ephemeral Prefect API server")
"""Texts in Prefect's errors when there is no server; the type of these errors is only RuntimeError."""


@contextmanager
def prefect_ready(
    store: Path, resumable: bool = True, run_id: str | None = None, *, longer: bool = False
) -> Iterator[None]:
    """Set up Prefect for the flows of one command, and write a message if the command starts a server of its own.

    The output of flows goes to standard error; the command writes its result afterwards.

    Prefect must not have been imported before, except by a program that has set it up.

    Args:
        store: the folder of the store of the flows' runs, which need not exist.
        resumable: whether the command has ``--resume``, which the message about an interrupted run then names.
        run_id: the run of the flow; None if the command does not know it.
        longer: whether the command has ``--iterations``, which extends a finished run.

    Raises:
        PrefectServerError: the server cannot be started or reached.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    if not debugging():
        # The command reports the error that ends a run. These loggers would print its traceback before that; they
        # still send it to the server, which shows the run.
        for logger in ("prefect.flow_runs", "prefect.task_runs"):
            logging.getLogger(logger).propagate = False
    try:
        with told_how_to_go_on(store, resumable, run_id, longer=longer), output_kept_for_results():
            if not os.environ.get("PREFECT_API_URL") and "prefect" not in sys.modules:
                _start_server()
            yield
    except RuntimeError as error:
        if not any(text in str(error) for text in _UNREACHABLE):
            raise
        server = os.environ.get("PREFECT_API_URL")
        advice = f"start the server of PREFECT_API_URL={server}, or add --no-prefect" if server else "try again"
        raise PrefectServerError(f"{error} ({advice})") from error


@contextmanager
def served_nights() -> Iterator[str]:
    """Set up Prefect for a process that runs scheduled flows, and yield the address of the server's pages.

    Prefect must not have been imported before, except by a program that has set it up.

    Raises:
        PrefectServerError: the server cannot be started or reached.
    """
    for name in ("PREFECT_SERVER_ANALYTICS_ENABLED", "DO_NOT_TRACK", "PREFECT_SERVER_LOGGING_LEVEL", _TIMEOUT):
        os.environ.setdefault(name, _SETTINGS[name])
    with output_kept_for_results():
        if not os.environ.get("PREFECT_API_URL"):
            _start_server(pages=True)
        yield os.environ["PREFECT_API_URL"].removesuffix("/api")


def _start_server(*, pages: bool = False) -> None:
    """Use the server that Prefect's settings name, or start one that runs as long as this process."""
    if not pages and not server_is_configured():
        note("no Prefect server is configured: this command starts one, which ends with it")
    server = CommandServer(float(os.environ[_TIMEOUT]), pages=pages)
    # Prefect sends its last messages at exit. Functions that are registered before its import are called after that.
    atexit.register(server.stop)
    os.environ["PREFECT_API_URL"] = server.url
