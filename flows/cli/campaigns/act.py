"""The command ``act``: an actor of an asynchronous training."""

from __future__ import annotations

import uuid
from typing import Annotated

import typer

from molbuffer.flows.cli.common.first_imports import first_imports
from molbuffer.flows.cli.common.options import DeviceOption, JsonOption, ResumeOption, StoreOption, known_run
from molbuffer.flows.cli.common.output import output_kept_for_results, write_result
from molbuffer.flows.cli.common.run_notes import told_how_to_go_on
from molbuffer.lab import limit_threads


def add_commands(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(epilog="Example: molbuffer act --store lab --run 3f2a")(act)


def act(
    store: StoreOption,
    run: Annotated[
        str | None,
        typer.Option(
            "--run",
            metavar="RUN_ID",
            help="The training to draw for, by its id or the start of it; default: the newest running one with "
            "training.mode = async.",
        ),
    ] = None,
    builds: Annotated[
        int | None, typer.Option("--builds", min=1, metavar="N", help="End after N builds; default: with the training.")
    ] = None,
    resume: ResumeOption = None,
    device: DeviceOption = None,
    json: JsonOption = False,
    run_id: Annotated[
        str | None,
        typer.Option(
            "--run-id", metavar="ID", hidden=True, help="The run of the actor, begun or resumed (default: a new one)."
        ),
    ] = None,
    parent_process: Annotated[
        int | None,
        typer.Option("--local-to", metavar="PID", hidden=True, help="End when this process has ended (default: none)."),
    ] = None,
) -> None:
    """Draw and score molecules for a training in another process, with the policy of its newest checkpoint, until it
    ends.
    """
    limit_threads()
    chosen = known_run(store, resume) or run_id or uuid.uuid4().hex
    with told_how_to_go_on(store, True, chosen), output_kept_for_results():
        with first_imports():
            from molbuffer.flows.work import run_actor

        result = run_actor(str(store), run, builds=builds, run_id=chosen, device=device, parent_process=parent_process)
    write_result(result, json)
