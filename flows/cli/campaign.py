"""Commands that run flows: ``run``, ``build``, ``offline``, ``demo``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molbuffer.flows.cli.archive import DEFAULT_MAX_SIZE, MaxSizeOption, limits
from molbuffer.flows.cli.options import (
    ConfigurationFile,
    DeviceOption,
    JsonOption,
    ResumeOption,
    SnapshotOption,
    StoreOption,
    known_run,
)
from molbuffer.flows.cli.output import output_kept_for_results, write_result
from molbuffer.flows.cli.prefect_setup import prefect_ready
from molbuffer.flows.errors import UsageError

if TYPE_CHECKING:
    from molbuffer.flows.settings import Settings

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
    resume: ResumeOption = None,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Run a campaign: fill the buffer, train on live and stored molecules, and store them all."""
    settings, run_id = _load(file, device), known_run(store, resume)
    with prefect_ready(store):
        if settings.campaign.offline:
            from molbuffer.flows.train_offline import train_offline

            result = train_offline(settings.to_json(), str(store), run_id=run_id, device=device)
        else:
            from molbuffer.flows.train import train

            result = train(settings.to_json(), str(store), run_id=run_id, device=device)
    write_result(result, json)


def build(
    file: ConfigurationFile,
    store: StoreOption,
    resume: ResumeOption = None,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Fill the buffer once, without training; each run draws other molecules."""
    settings, run_id = _load(file, device), known_run(store, resume)
    with prefect_ready(store):
        from molbuffer.flows.build_buffer import build as build_flow

        result = build_flow(settings.to_json(), str(store), run_id=run_id, device=device)
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
    resume: ResumeOption = None,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Train on stored molecules alone; nothing is drawn or scored."""
    if source is not None and snapshot is not None:
        raise UsageError("an archive has one snapshot: leave --snapshot out, or read from the store without --from")
    settings, run_id = _load(file, device), known_run(store, resume)
    archive = None if source is None else str(source.resolve())
    with prefect_ready(store):
        from molbuffer.flows.train_offline import train_offline

        result = train_offline(
            settings.to_json(),
            str(store),
            snapshot=snapshot,
            where=where,
            run_id=run_id,
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


def _load(file: Path, device: str | None) -> Settings:
    """Load the settings of a file, which are checked before anything heavy is imported or anything is run.

    Their device counts only where the command line names none.
    """
    from molbuffer.flows.settings import load_settings

    with output_kept_for_results():
        return load_settings(file, check_device=device is None)
