"""Commands that run flows: ``run``, ``build``, ``offline``, ``demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from molbuffer.flows.cli.archive import DEFAULT_MAX_SIZE, MaxSizeOption, limits
from molbuffer.flows.cli.options import (
    ConfigurationFile,
    DeviceOption,
    IterationsOption,
    JsonOption,
    ResumeOption,
    SetOption,
    SnapshotOption,
    StoreOption,
)
from molbuffer.flows.cli.output import write_result
from molbuffer.flows.cli.prefect_setup import prefect_ready
from molbuffer.flows.cli.preparation import overrides_of, prepared_run
from molbuffer.flows.errors import UsageError

DEMO_STORE = Path("demo-store")


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(epilog="Example: molbuffer run campaign.toml --store lab")(run)
    app.command(epilog="Example: molbuffer build campaign.toml --store lab")(build)
    app.command(epilog='Example: molbuffer offline campaign.toml --store lab --where "reward > 0.5"')(offline)
    app.command(epilog="Example: molbuffer demo --store demo-store")(demo)


def run(
    file: ConfigurationFile,
    store: StoreOption,
    iterations: IterationsOption = None,
    sets: SetOption = None,
    resume: ResumeOption = None,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Run a campaign: fill the buffer, train on live and stored molecules, and store them all."""
    ready = prepared_run(file, store, overrides_of(sets), resume, iterations=iterations, device=device)
    with prefect_ready(store, run_id=ready.run_id, longer=True):
        if ready.settings.campaign.offline:
            from molbuffer.flows.train_offline import train_offline

            result = train_offline(ready.settings.to_json(), str(store), run_id=ready.run_id, device=device)
        else:
            from molbuffer.flows.train import train

            result = train(ready.settings.to_json(), str(store), run_id=ready.run_id, device=device)
    write_result(result, json)


def build(
    file: ConfigurationFile,
    store: StoreOption,
    sets: SetOption = None,
    resume: ResumeOption = None,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Fill the buffer once, without training; each run draws other molecules."""
    from molbuffer.storage import RunKind

    ready = prepared_run(file, store, overrides_of(sets), resume, kind=RunKind.BUILD, device=device)
    with prefect_ready(store, run_id=ready.run_id):
        from molbuffer.flows.build_buffer import build as build_flow

        result = build_flow(ready.settings.to_json(), str(store), run_id=ready.run_id, device=device)
    write_result(result, json)


def offline(
    file: ConfigurationFile,
    store: StoreOption,
    snapshot: SnapshotOption = None,
    where: Annotated[
        str | None,
        typer.Option(metavar="SQL", help="Train only on the rows of sample_history that fulfil this condition."),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="ARCHIVE",
            help="Read the rows from this archive; the run and its policy still go into the store.",
        ),
    ] = None,
    max_size: MaxSizeOption = DEFAULT_MAX_SIZE,
    iterations: IterationsOption = None,
    sets: SetOption = None,
    resume: ResumeOption = None,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Train on stored molecules alone; nothing is drawn or scored, and the file needs no sampler that draws."""
    if source is not None and snapshot is not None:
        raise UsageError("an archive has one snapshot: leave --snapshot out, or read from the store without --from")
    from molbuffer.flows.settings import OFFLINE
    from molbuffer.storage import RunKind, check_unapplied

    if where is not None:
        check_unapplied(where)
    ready = prepared_run(
        file,
        store,
        [OFFLINE, *overrides_of(sets)],
        resume,
        kind=RunKind.OFFLINE,
        iterations=iterations,
        own_rows=source is None,
        device=device,
    )
    archive = None if source is None else str(source.resolve())
    with prefect_ready(store, run_id=ready.run_id, longer=True):
        from molbuffer.flows.train_offline import train_offline

        result = train_offline(
            ready.settings.to_json(),
            str(store),
            snapshot=snapshot,
            where=where,
            run_id=ready.run_id,
            archive=archive,
            archive_limit_bytes=limits(max_size).bytes,
            device=device,
        )
    write_result(result, json)


def demo(
    store: Annotated[Path, typer.Option("--store", metavar="DIR", help="The folder of the store.")] = DEMO_STORE,
) -> None:
    """Show the whole pipeline: fill a buffer, train online, train offline on the stored rows, and compare the
    policies.
    """
    with prefect_ready(store, resumable=False):
        from molbuffer.flows.tools import demo_settings, run_demo

        report = run_demo(demo_settings(), store)
    from rich.console import Console

    from molbuffer.flows.tools import print_report

    print_report(report, Console())
