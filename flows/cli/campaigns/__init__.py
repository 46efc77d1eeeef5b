"""Commands that draw, score and train."""

from __future__ import annotations

import typer

from molbuffer.flows.cli.campaigns import act, bench, campaign, pretrain, rescore, score_pending


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this package, and the group ``bench``."""
    campaign.add_commands(app)
    act.add_commands(app)
    score_pending.add_commands(app)
    rescore.add_commands(app)
    pretrain.add_commands(app)
    app.add_typer(bench.app, name="bench")
