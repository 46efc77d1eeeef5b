"""Commands for configuration files, and for the kinds that these can name."""

from __future__ import annotations

import typer

from molbuffer.flows.cli.configurations import config, kinds


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this package, and the group ``config``."""
    kinds.add_commands(app)
    app.add_typer(config.app, name="config")
