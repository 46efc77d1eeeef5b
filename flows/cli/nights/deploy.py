"""``molbuffer deploy``: register the flows of a campaign with a Prefect server, or check that they can run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from molbuffer.flows.cli.common.notes import note
from molbuffer.flows.cli.common.options import JsonOption, taking, with_a_folder
from molbuffer.flows.cli.common.output import as_json, write_text
from molbuffer.flows.cli.nights.asked import NightOptions, as_rows, asked_nights, listed, told_of_files


def add_commands(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(epilog='Example: molbuffer deploy campaign.toml --store lab --cron "0 2 * * *"')(deploy)


@taking(NightOptions)
def deploy(
    given: NightOptions,
    work_pool: Annotated[
        str,
        typer.Option("--work-pool", metavar="NAME", help="The pool whose workers run the flows; made if missing."),
    ] = "molbuffer",
    store_there: Annotated[
        str | None,
        typer.Option(
            "--store-there",
            metavar="DIR",
            help="The folder of the store on the hosts of the workers; default: that of --store.",
        ),
    ] = None,
    portable: Annotated[
        bool, typer.Option("--portable", help="Refuse settings that name files of this host; default: list them.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only check what runs need, with exit code 1 if anything is missing.")
    ] = False,
    yaml: Annotated[
        Path | None,
        typer.Option(
            "--yaml",
            metavar="FILE",
            help="Only write a prefect.yaml for prefect deploy --all; default: register with the server.",
            callback=with_a_folder,
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Register the flows of a campaign with a Prefect server, which runs them on a schedule or when asked.

    A deployment contains the settings as JSON, and names its flow by module, so that a worker may be started in any
    folder of a host that has molbuffer and the store. The automations that close dead runs are registered, too.
    """
    if check:
        _check(given, work_pool, json)
        return
    nights = asked_nights(given, pool=work_pool, store_there=store_there)
    told_of_files(nights, portable=portable)
    from molbuffer.flows.deployments import as_yaml, planned

    plans = planned(nights)
    if yaml is not None:
        yaml.write_text(as_yaml(plans), encoding="utf-8")
        note(f"{yaml} has {len(plans)} deployments: prefect deploy --all")
        return
    from molbuffer.flows.deployments import ready_pool, refuse_other_store, register, register_automations, server

    with server() as client:
        refuse_other_store(client, plans)
        if ready_pool(client, work_pool):
            note(f"made the work pool {work_pool}, of the type process")
        register_automations(client, plans, register(plans))
    write_text(as_json(as_rows(plans)) if json else listed(plans))
    note(f"start a worker on each host that is to run them: prefect worker start --pool {work_pool}")


def _check(given: NightOptions, pool: str, json: bool) -> None:
    from molbuffer.flows.deployments import look, slug

    name = None if given.name is None else slug(given.name)
    if name is None and given.file is not None:
        name = asked_nights(given, pool=pool).name
    found = look(pool, name, given.store)
    if json:
        write_text(as_json([{"what": each.what, "ok": each.ok, "said": each.said} for each in found]))
    else:
        write_text("\n".join(each.text for each in found))
    if not all(each.ok for each in found):
        raise typer.Exit(1)
