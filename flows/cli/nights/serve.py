"""``molbuffer serve``: run the scheduled flows of a campaign on one machine, in one process."""

from __future__ import annotations

import typer

from molbuffer.flows.cli.common.notes import note
from molbuffer.flows.cli.common.options import taking
from molbuffer.flows.cli.nights.asked import NightOptions, asked_nights, listed


def add_commands(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(epilog='Example: molbuffer serve campaign.toml --store lab --cron "0 2 * * *"')(serve)


@taking(NightOptions)
def serve(given: NightOptions) -> None:
    """Register the flows of a campaign and run them on their schedules, in this process, until Ctrl-C.

    No work pool and no worker is needed. If Prefect's settings name no server, the command starts one, prints the
    address of its pages, and stops it at the end.
    """
    nights = asked_nights(given, pool=None)
    from molbuffer.flows.cli.common.prefect_setup import served_nights
    from molbuffer.flows.deployments import planned

    plans = planned(nights)
    with served_nights() as url:
        note(f"{listed(plans)}\nthe pages of the runs are at {url}; Ctrl-C ends this command")
        from molbuffer.flows.deployments import serve_plans

        serve_plans(plans, nights.heartbeat)
