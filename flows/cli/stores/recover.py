"""The command ``recover``: rebuild the catalog of a store, or restore a backup of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molbuffer.flows.cli.common.options import JsonOption
from molbuffer.flows.cli.common.output import as_json, write_text

if TYPE_CHECKING:
    from molbuffer.storage import RecoveryReport

MOST_SHOWN = 20
"""The most files that are shown one by one; ``--json`` lists all."""


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(epilog="Example: molbuffer recover lab")(recover)


def recover(
    folder: Annotated[
        Path | None, typer.Argument(metavar="STORE", help="The folder of the store, unless --store names it.")
    ] = None,
    store: Annotated[
        Path | None, typer.Option("--store", metavar="DIR", help="The folder of the store; default: STORE.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="SOURCE",
            help="journal (all snapshots, from the file journal.jsonl), backup (the newest one that `maintain` made, "
            "and the later commits) or files (the rows of all Parquet files, each once). Default: the first of these "
            "that exists.",
        ),
    ] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Recover the store although its catalog is sound.")] = False,
    json: JsonOption = False,
) -> None:
    """Recover a store whose catalog is lost or damaged, from its own files; end the programs that use it first.

    Nothing is overwritten: the previous catalog is kept in the store's folder backups. The exit code is 1 if something
    could not be recovered, or if the recovered store has errors.
    """
    from molbuffer.flows.errors import UsageError
    from molbuffer.storage import Source, recover_store

    place = store or folder
    if place is None or (store is not None and folder is not None):
        raise UsageError("expected exactly one store: molbuffer recover STORE, or --store DIR")
    if source is not None and source not in list(Source):
        raise UsageError(f"--from needs journal, backup or files, got {source!r}")
    report = recover_store(place, source=None if source is None else Source(source), anyway=anyway)
    write_text(as_json(_json(report)) if json else "\n".join(_lines(report)))
    if report.lost or report.verification.errors:
        raise typer.Exit(1)


def _json(report: RecoveryReport) -> dict[str, object]:
    errors = [finding.message for finding in report.verification.errors]
    said = {name: value for name, value in asdict(report).items() if name != "verification"}
    return said | {"kept": None if report.kept is None else str(report.kept), "errors": errors}


def _lines(report: RecoveryReport) -> Iterator[str]:
    """Yield the report as lines of text."""
    rows = ", ".join(f"{count:,} {table}" for table, count in report.rows.items() if count)
    yield f"recovered from the {report.source}: snapshots {report.oldest} to {report.snapshot}, {rows}"
    yield from report.notes
    if report.salvaged:
        salvaged = ", ".join(f"{count:,} {table}" for table, count in report.salvaged.items())
        yield f"of these, from files that the source does not name: {salvaged}"
    if report.unnamed:
        yield (
            f"{report.unnamed} Parquet files are in no snapshot: their rows are in other files, or their writer was "
            "killed. They stay until a vacuum"
        )
    shown = list(report.lost.items())[:MOST_SHOWN]
    yield from (f"not recovered: {path}: {why}" for path, why in shown)
    if len(report.lost) > len(shown):
        yield f"not recovered: {len(report.lost) - len(shown)} more files; --json lists them"
    yield from (f"error: {finding.message}" for finding in report.verification.errors)
    if report.kept is not None:
        yield f"the previous catalog is kept in {report.kept}"
    verdict = "everything is recovered" if not (report.lost or report.verification.errors) else "something is missing"
    yield f"{verdict}; `molbuffer verify` checks every byte"
