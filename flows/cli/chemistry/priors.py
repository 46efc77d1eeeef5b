"""Commands that exchange priors with other programs: ``import-prior``, ``export-prior``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from molbuffer.flows.cli.common.options import JsonOption, StoreOption
from molbuffer.flows.cli.common.output import as_json, write_text
from molbuffer.flows.errors import UsageError

PriorFile = Annotated[Path, typer.Argument(metavar="FILE", help="A .prior or .model file of REINVENT 4.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(epilog="Example: molbuffer import-prior reinvent.prior --store lab")(import_prior)
    app.command(epilog="Example: molbuffer export-prior zinc-gru --out zinc.prior")(export_prior)


def import_prior(file: PriorFile, store: StoreOption, json: JsonOption = False) -> None:
    """Register a prior of REINVENT 4 in a store, as a policy with the same likelihoods; nothing in the file is run."""
    from molbuffer.flows.tools import import_reinvent_prior

    told = import_reinvent_prior(file, store)
    width = max(map(len, told))
    write_text(as_json(told) if json else "\n".join(f"{name:<{width}}  {value}" for name, value in told.items()))


def export_prior(
    policy: Annotated[
        str, typer.Argument(metavar="POLICY", help="A bundled policy, a folder, or a sha256 in --store.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The file to write; it must not exist.")],
    store: Annotated[
        Path | None,
        typer.Option("--store", metavar="DIR", help="The store that may have the policy; default: none."),
    ] = None,
) -> None:
    """Write a gru or lstm policy as a file that REINVENT 4 reads, with the same likelihoods."""
    if out.exists() or not out.parent.is_dir():
        reason = "it exists already" if out.exists() else f"there is no folder {out.parent}"
        raise UsageError(f"--out {out} cannot be written: {reason}")
    from molbuffer.flows.tools import named_policy
    from molbuffer.samplers import write_reinvent_prior

    write_reinvent_prior(named_policy(policy, store), out)
