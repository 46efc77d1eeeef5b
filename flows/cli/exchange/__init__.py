"""Commands that exchange rows with other stores and programs."""

from __future__ import annotations

import typer

from molbuffer.flows.cli.exchange import archive, ingest, log


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this package."""
    archive.add_commands(app)
    ingest.add_commands(app)
    log.add_commands(app)
