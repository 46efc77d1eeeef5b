"""All commands of ``molbuffer``.

Commands import what they need when they run, so that help and light commands answer at once, and only commands that
train wait for torch and Prefect.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from molbuffer.flows.cli import campaigns, chemistry, configurations, exchange, look, nights, stores
from molbuffer.flows.cli.common.errors import ReportingGroup
from molbuffer.lab import limit_threads

app = typer.Typer(
    cls=ReportingGroup,
    name="molbuffer",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A streaming data pipeline on a persistent store for reinforcement learning of molecule generators.",
    epilog="Start with: molbuffer demo",
)
PANELS = {
    "Campaigns": (campaigns, nights),
    "Stores": (stores,),
    "Molecules and policies": (chemistry,),
    "What runs do and did": (look,),
    "Archives and other programs": (exchange,),
    "Configurations": (configurations,),
}
"""The packages of the commands, by the titles of their sections in ``--help``."""


def _add_commands() -> None:
    for title, packages in PANELS.items():
        commands, groups = len(app.registered_commands), len(app.registered_groups)
        for package in packages:
            package.add_commands(app)
        for command in app.registered_commands[commands:]:
            command.rich_help_panel = title
        for group in app.registered_groups[groups:]:
            group.rich_help_panel = title


_add_commands()


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"molbuffer {version('molbuffer')}")
        raise typer.Exit


@app.callback()
def _options_of_all(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    pass


def prepare_process() -> None:
    """Set up the process of a command: the import path for modules of the user, and the number of threads."""
    # Scoring functions may be in the user's working folder, which comes last so that no file there hides a library.
    sys.path.append(str(Path.cwd()))
    limit_threads()
