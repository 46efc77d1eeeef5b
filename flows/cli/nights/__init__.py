"""Commands for scheduled runs: ``deploy`` and ``serve``."""

from __future__ import annotations

import typer

from molbuffer.flows.cli.nights import deploy, serve


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this package."""
    deploy.add_commands(app)
    serve.add_commands(app)
