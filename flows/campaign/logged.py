"""The loggers of a run of a configuration."""

from __future__ import annotations

from molbuffer.exchange import RunLogs
from molbuffer.flows.campaign.flow_runs import warn
from molbuffer.flows.settings import Settings
from molbuffer.storage import SampleStore


def run_logs(settings: Settings, store: SampleStore) -> RunLogs:
    """Return the loggers of a run, as a context around it.

    Raises:
        MissingExtraError: a logger needs a package that is not installed.
    """
    return RunLogs(store, settings.logging.loggers, warn, pictures_every=settings.logging.pictures_every)
