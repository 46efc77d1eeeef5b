"""The command ``molbuffer``.

Commands import what they need when they run: the help and the light commands answer at once, and only what trains
waits for torch and Prefect.
"""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from flows import (
    cli_archive,
    cli_campaign,
    cli_config,
    cli_init,
    cli_maintain,
    cli_migrate,
    cli_molecules,
    cli_pairs,
    cli_priors,
    cli_store,
    cli_verify,
)
from flows.cli_errors import ReportingGroup

app = typer.Typer(
    cls=ReportingGroup,
    name="molbuffer",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A streaming data pipeline on a persistent store for reinforcement learning of molecule generators.",
    epilog="Start with: molbuffer demo",
)
app.add_typer(cli_config.app, name="config")
cli_archive.add_commands(app)
cli_campaign.add_commands(app)
cli_init.add_commands(app)
cli_maintain.add_commands(app)
cli_migrate.add_commands(app)
cli_molecules.add_commands(app)
cli_pairs.add_commands(app)
cli_priors.add_commands(app)
cli_store.add_commands(app)
cli_verify.add_commands(app)


def main() -> None:
    """Runs the command line of this process."""
    # Functions to score with may lie where the user is. At the end, so that no file there hides one of ours.
    sys.path.append(str(Path.cwd()))
    app()
