"""Commands that run flows: ``run``, ``build``, ``offline``, ``demo``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from molbuffer.flows.cli.campaigns.work import build_work, by_prefect, offline_work, online_work, surroundings
from molbuffer.flows.cli.common.archive_size import DEFAULT_MAX_SIZE, MaxSizeOption, limits
from molbuffer.flows.cli.common.first_imports import first_imports
from molbuffer.flows.cli.common.notes import note
from molbuffer.flows.cli.common.options import CampaignOptions, IterationsOption, PrefectOption, SnapshotOption, taking
from molbuffer.flows.cli.common.output import write_result, write_text
from molbuffer.flows.cli.common.preparation import check_rows_there, overrides_of, prepared_run
from molbuffer.flows.errors import UsageError

DEMO_STORE = Path("demo-store")


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(epilog="Example: molbuffer run campaign.toml --store lab")(run)
    app.command(epilog="Example: molbuffer build campaign.toml --store lab")(build)
    app.command(epilog='Example: molbuffer offline campaign.toml --store lab --where "reward > 0.5"')(offline)
    app.command(epilog="Example: molbuffer demo --store demo-store")(demo)


@taking(CampaignOptions)
def run(
    given: CampaignOptions,
    iterations: IterationsOption = None,
    agents: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Train N agents at once, each in a process; default: that of the file."),
    ] = None,
) -> None:
    """Run a campaign: fill the buffer, train on live and stored molecules, and store them all."""
    wanted = [] if agents is None else [f"campaign.agents={agents}"]
    ready = prepared_run(given, overrides_of([*(given.sets or ()), *wanted]), iterations=iterations)
    if ready.settings.campaign.offline:
        check_rows_there(ready, given.store)
    work = offline_work if ready.settings.campaign.offline else online_work
    flows = by_prefect(given.prefect, ready.settings)
    with surroundings(given.store, ready.run_id, flows=flows, longer=True):
        result = work(flows=flows)(ready.settings.to_json(), str(given.store), run_id=ready.run_id, device=given.device)
    _write_offline(result, given.json)


@taking(CampaignOptions)
def build(given: CampaignOptions) -> None:
    """Fill the buffer once, without training; each run draws other molecules."""
    from molbuffer.storage import RunKind

    ready = prepared_run(given, overrides_of(given.sets), kind=RunKind.BUILD)
    flows = by_prefect(given.prefect, ready.settings)
    with surroundings(given.store, ready.run_id, flows=flows):
        result = build_work(flows=flows)(
            ready.settings.to_json(), str(given.store), run_id=ready.run_id, device=given.device
        )
    write_result(result, given.json)


@taking(CampaignOptions)
def offline(
    given: CampaignOptions,
    snapshot: SnapshotOption = None,
    where: Annotated[
        str | None,
        typer.Option(
            metavar="SQL",
            help="Train only on rows of sample_history that fulfil this condition; default: that of the file.",
        ),
    ] = None,
    sources: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            metavar="ARCHIVE|STORE",
            help="Read the rows from this archive or store; the run and its policy still go into --store. May be "
            "repeated; name --store as well to read its own rows, too; default: --store alone.",
        ),
    ] = None,
    draws: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="Evaluate the policy by N fresh draws; default: offline.evaluation.draws of the file.",
        ),
    ] = None,
    max_size: MaxSizeOption = DEFAULT_MAX_SIZE,
    iterations: IterationsOption = None,
) -> None:
    """Train on stored molecules alone, and compare the new policy with them. The file needs no sampler; nothing is
    drawn or scored unless the table [offline] or --draws says so.
    """
    if sources and snapshot is not None:
        raise UsageError(
            "--snapshot chooses a snapshot of --store alone, got --from, too: leave one of the two options out"
        )
    from molbuffer.flows.settings import OFFLINE
    from molbuffer.storage import RunKind, check_unapplied

    if where is not None:
        check_unapplied(where)
    drawn = [] if draws is None else [f"offline.evaluation.draws={draws}"]
    overrides = [*OFFLINE, *overrides_of([*(given.sets or ()), *drawn])]
    ready = prepared_run(given, overrides, kind=RunKind.OFFLINE, iterations=iterations, own_rows=not sources)
    check_rows_there(
        ready=ready, store=given.store, sources=sources or (), where=where, snapshot=snapshot, limits=limits(max_size)
    )
    flows = by_prefect(given.prefect, ready.settings)
    with surroundings(given.store, ready.run_id, flows=flows, longer=True):
        result = offline_work(flows=flows)(
            ready.settings.to_json(),
            str(given.store),
            snapshot=snapshot,
            where=where,
            run_id=ready.run_id,
            sources=[str(source.resolve()) for source in sources or ()],
            archive_limit_bytes=limits(max_size).bytes,
            device=given.device,
        )
    _write_offline(result, given.json)


def _write_offline(result: Mapping[str, Any], json: bool) -> None:
    """Write the result of a training; for an offline one, also its report as a table."""
    report = result.get("report")
    if json or report is None:
        write_result(result, json)
        return
    from molbuffer.flows.cli.campaigns.offline_report import report_text

    write_result({name: value for name, value in result.items() if name != "report"}, json)
    write_text(report_text(report))


def demo(
    store: Annotated[Path, typer.Option("--store", metavar="DIR", help="The folder of the store.")] = DEMO_STORE,
    prefect: PrefectOption = None,
) -> None:
    """Show the whole pipeline: fill a buffer, train online and on the stored rows alone, and compare the policies."""
    flows = by_prefect(prefect)
    with surroundings(store, flows=flows, resumable=False):
        train, train_offline = online_work(flows=flows), offline_work(flows=flows)
        with first_imports():
            from molbuffer.flows.tools import demo_settings, run_demo

        report = run_demo(demo_settings(), store, train, train_offline, say=note)
    from rich.console import Console

    from molbuffer.flows.tools import print_report

    print_report(report, Console())
