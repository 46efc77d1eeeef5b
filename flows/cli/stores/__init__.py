"""Commands that make, maintain, query and check a store."""

from __future__ import annotations

import typer

from molbuffer.flows.cli.stores import query, recover, store, verify


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this package."""
    query.add_commands(app)
    recover.add_commands(app)
    store.add_commands(app)
    verify.add_commands(app)
