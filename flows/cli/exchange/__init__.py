"""Commands of the field's own tools: ``log`` and ``ingest``."""

from __future__ import annotations

import typer

from molbuffer.flows.cli.exchange import ingest, log


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this package."""
    ingest.add_commands(app)
    log.add_commands(app)
