"""The command ``rescore``: compute scores again that failed or were lost."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from molbuffer.flows.cli.common.notes import note
from molbuffer.flows.cli.common.options import JsonOption, StoreOption
from molbuffer.flows.cli.common.output import as_json, output_kept_for_results, write_text
from molbuffer.flows.cli.common.run_notes import told_how_to_go_on


def add_commands(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(epilog="Example: molbuffer rescore --store lab --failed --component docking")(rescore)


def rescore(
    store: StoreOption,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE.toml", help="The objective; default: that of the newest run."),
    ] = None,
    failed: Annotated[
        bool,
        typer.Option("--failed", help="Also compute failed scores again, not only those that a machine lost."),
    ] = False,
    component: Annotated[
        list[str] | None,
        typer.Option("--component", metavar="NAME", help="Only this component; may be repeated; default: all."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Compute scores again that failed or were lost, and complete the rewards that lacked them. Other scores stay."""
    from molbuffer.flows.settings import load_settings

    with output_kept_for_results():
        settings = None if config is None else load_settings(config)
        from molbuffer.flows.tools import newest_settings
        from molbuffer.flows.tools import rescore as run_rescore
        from molbuffer.storage import SampleStore

        with told_how_to_go_on(store, resumable=False), SampleStore.open(store) as opened:
            run_id = uuid.uuid4().hex
            chosen = newest_settings(opened) if settings is None else settings
            done = run_rescore(chosen, opened, run_id, failed=failed, components=component or ())
    if json:
        write_text(as_json({"run_id": run_id, **asdict(done)}))
    note(
        f"{done.tried} scores tried again: {done.scored} scored, {done.failed} failed, {done.lost} lost; "
        f"{done.rewards} rewards completed"
    )
