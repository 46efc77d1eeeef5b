"""The command ``migrate``: brings a store of an older release to this one."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from molbuffer.flows.cli.options import JsonOption, StoreOption
from molbuffer.flows.cli.output import as_json, write_text

if TYPE_CHECKING:
    from molbuffer.storage.catalog.migrate import MigrationReceipt


def add_commands(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    app.command(epilog="Example: molbuffer migrate --store lab")(migrate)


def migrate(store: StoreOption, json: JsonOption = False) -> None:
    """Bring a store of an older release to this one, after a backup of what that changes.

    End the programs that use the store first. A store that needs nothing is left as it is; a migration that was cut
    off goes on where it ended. The backup says how to go back to it.
    """
    from molbuffer.storage.catalog.migrate import migrate_store

    receipt = migrate_store(store)
    if json:
        write_text(as_json(asdict(receipt) | {"backup": receipt.backup and str(receipt.backup)}))
    else:
        write_text(_said(receipt))


def _said(receipt: MigrationReceipt) -> str:
    """The receipt for people."""
    now = f"schema {receipt.schema}, format {receipt.format}"
    if receipt.backup is None:
        return f"nothing to do: the store is of this release ({now})"
    lines = [f"applied: {name}" for name in receipt.applied]
    return "\n".join(
        [
            *lines,
            f"schema {receipt.old_schema}, format {receipt.old_format} became {now}",
            f"backup: {receipt.backup}",
            "how-to-go-back.txt in it says how to use it. Remove the folder when you are sure: until then, a vacuum "
            "leaves what it needs",
        ]
    )
