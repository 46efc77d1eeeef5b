"""Commands on molecules and on the policies that draw them."""

from __future__ import annotations

import typer

from molbuffer.flows.cli.chemistry import molecules, poses, priors


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this package."""
    molecules.add_commands(app)
    poses.add_commands(app)
    priors.add_commands(app)
