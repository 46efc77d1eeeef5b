"""The command ``score-pending``: compute the scores that builds did not wait for."""

from __future__ import annotations

from typing import Annotated

import typer

from molbuffer.flows.cli.common.first_imports import first_imports
from molbuffer.flows.cli.common.notes import note
from molbuffer.flows.cli.common.options import JsonOption, StoreOption
from molbuffer.flows.cli.common.output import as_json, output_kept_for_results, write_text
from molbuffer.flows.cli.common.run_notes import told_how_to_go_on


def add_commands(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(name="score-pending", epilog="Example: molbuffer score-pending --store lab --watch")(score_pending)


def score_pending(
    store: StoreOption,
    run: Annotated[
        str | None,
        typer.Option(
            "--run", metavar="RUN_ID", help="Only rows of this run, by its id or the start of it (default: all)."
        ),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Wait for more rows when none is left, until Ctrl-C.")] = False,
    batch: Annotated[
        int, typer.Option("--batch", metavar="N", min=1, help="The largest number of rows that are claimed at once.")
    ] = 256,
    json: JsonOption = False,
) -> None:
    """Score the molecules of builds that did not wait for their scores (mode = "backlog"), and complete their rewards.

    It may run many times at once, on any host that has the store: no molecule is scored twice. Lost scores are tried
    again. Exit code 1: some molecules were lost at each attempt, and their rewards are still pending.
    """
    with output_kept_for_results(), told_how_to_go_on(store, resumable=False):
        with first_imports():
            from molbuffer.flows.campaign import backlog_bar
            from molbuffer.flows.work import run_score_pending

        with backlog_bar("score-pending") as report:
            done = run_score_pending(str(store), run=run, watch=watch, batch=batch, progress=report)
    if json:
        write_text(as_json(done))
    note(
        f"{done['computed']} scores computed; {done['completed']} rewards completed, {done['failed']} failed, "
        f"{done['left']} still pending"
    )
    if done["given_up"]:
        note(
            f"{done['given_up']} molecules were lost at each attempt: the table scores has their errors, with the "
            "status lost"
        )
        raise typer.Exit(1)
