"""All commands of ``molbuffer``.

Commands import what they need when they run: help and light commands answer at once, and only commands that train
wait for torch and Prefect.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from molbuffer.flows.cli import (
    act,
    archive,
    bench,
    campaign,
    config,
    exchange,
    kinds,
    look,
    molecules,
    poses,
    pretrain,
    priors,
    query,
    recover,
    rescore,
    score_pending,
    store,
    verify,
)
from molbuffer.flows.cli.errors import ReportingGroup
from molbuffer.flows.cli.nights import deploy, serve
from molbuffer.lab import limit_threads

app = typer.Typer(
    cls=ReportingGroup,
    name="molbuffer",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A streaming data pipeline on a persistent store for reinforcement learning of molecule generators.",
    epilog="Start with: molbuffer demo",
)
app.add_typer(config.app, name="config")
app.add_typer(bench.app, name="bench")
act.add_commands(app)
archive.add_commands(app)
campaign.add_commands(app)
deploy.add_commands(app)
exchange.add_commands(app)
kinds.add_commands(app)
look.add_commands(app)
store.add_commands(app)
molecules.add_commands(app)
poses.add_commands(app)
pretrain.add_commands(app)
priors.add_commands(app)
query.add_commands(app)
recover.add_commands(app)
rescore.add_commands(app)
score_pending.add_commands(app)
serve.add_commands(app)
verify.add_commands(app)


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
    """Set up the process of a command: where it finds modules of the user, and its threads."""
    # Scoring functions may be in the user's working folder. At the end, so that no file there hides one of ours.
    sys.path.append(str(Path.cwd()))
    limit_threads()
