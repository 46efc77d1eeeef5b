"""The command ``init``: makes a store, or a folder that leads to one which other hosts use as well."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from molbuffer.flows.cli.options import JsonOption, StoreOption
from molbuffer.flows.cli.output import as_json, write_text


def add_commands(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    app.command(epilog="Example: molbuffer init --store lab --catalog postgres://chem@db/lab --data s3://lab/store")(
        init
    )


def init(
    store: StoreOption,
    catalog: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="A Postgres database, postgres://user@host/database, for writers on several hosts; the password comes "
            "from PGPASSWORD or ~/.pgpass. Default: a SQLite file in the folder, for one host.",
        ),
    ] = None,
    schema: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The schema of that database: one for each store. [default: molbuffer]"),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="Where tables, arrays, policies and checkpoints are: a folder, or s3://bucket/prefix with the "
            "variables AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL. Default: the store's "
            "folder.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make a store; only one whose catalog or data lie elsewhere needs this, others are made on first use.

    On each further host, the same command makes a folder that leads to the same store.
    """
    from molbuffer.storage import SampleStore

    given: dict[str, Any] = {"catalog": catalog, "catalog_schema": schema, "data_path": data}
    with SampleStore.create(store, **{name: value for name, value in given.items() if value is not None}) as made:
        result = {"store": str(store), "uuid": made.uuid, "version": made.snapshot()}
    write_text(as_json(result) if json else f"{store} leads to the store {made.uuid}, at version {result['version']}")
