"""Commands that move rows between stores: ``archive``, ``merge``, ``export``."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molbuffer.flows.cli.common.archive_size import DEFAULT_MAX_SIZE, MaxSizeOption, limits
from molbuffer.flows.cli.common.formats import chosen_format
from molbuffer.flows.cli.common.notes import note
from molbuffer.flows.cli.common.options import FormatOption, JsonOption, SnapshotOption, StoreOption, with_a_folder
from molbuffer.flows.cli.common.output import as_json, write_text
from molbuffer.flows.cli.exchange.exporting import export_as
from molbuffer.flows.errors import UsageError

if TYPE_CHECKING:
    from molbuffer.storage import SampleStore

WhereOption = Annotated[
    str | None,
    typer.Option(
        "--where", metavar="SQL", help="Use only rows of sample_history that fulfil this condition; default: all."
    ),
]
ArchiveArgument = Annotated[
    Path, typer.Argument(metavar="ARCHIVE", help="A folder or tar file that molbuffer archive made.")
]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(epilog='Example: molbuffer archive --store lab --out best.tar --where "reward > 0.8"')(archive)
    app.command(epilog="Example: molbuffer merge best.tar --store home")(merge)
    app.command(epilog="Example: molbuffer export --store lab --out history.parquet")(export)


def archive(
    store: StoreOption,
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="PATH", help="The archive: a new folder, or a new .tar, .tar.gz, .tgz or .tar.zst file."
        ),
    ],
    run: Annotated[
        list[str] | None,
        typer.Option(
            "--run",
            metavar="RUN_ID",
            help="Archive only this run, by its id or the start of it; may be repeated; default: all runs.",
        ),
    ] = None,
    where: WhereOption = None,
    licence: Annotated[
        str | None,
        typer.Option(
            "--license",
            metavar="ID",
            help="The licence of the data, such as CC-BY-4.0; default: the one in the runs' configurations, if they "
            "agree.",
        ),
    ] = None,
    author: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help='An author, as "Ada Lovelace <https://orcid.org/0000-0002-1825-0097>"; may be repeated; default: '
            "those of the runs' configurations.",
        ),
    ] = None,
    snapshot: SnapshotOption = None,
    json: JsonOption = False,
) -> None:
    """Copy rows, with their provenance, into plain files that any program can read.

    ro-crate-metadata.json in the archive describes its files for catalogues of research data.
    """
    from molbuffer.flows.cli.exchange.terms import archive_terms

    with _writable_where_possible(store) as opened:
        terms = archive_terms(opened, run or (), licence, author)
        receipt = opened.archive(out, runs=run or (), where=where, snapshot=snapshot, terms=terms)
    if receipt.quarantined:
        note(f"left out: {receipt.quarantined} builds whose arrays are in quarantine")
    if not receipt.recorded:
        note(
            f"{store} cannot be written to: it has no record of this archive, and snapshot {receipt.snapshot} may "
            "expire"
        )
    _report(asdict(receipt), json)


def merge(
    source: ArchiveArgument,
    store: StoreOption,
    max_size: MaxSizeOption = DEFAULT_MAX_SIZE,
    json: JsonOption = False,
) -> None:
    """Copy the rows of an archive into a store, each only once; the store is made if it does not exist."""
    from molbuffer.storage import SampleStore, trusted_archive

    with trusted_archive(source, limits(max_size)) as (archived, _), SampleStore.open_or_create(store) as opened:
        receipt = opened.merge(archived)
    if receipt.left_out:
        note(
            f"not changed: {receipt.left_out} builds whose arrays are in quarantine, since the archive has only a part "
            "of their rows"
        )
    _report(asdict(receipt), json)


def export(
    store: StoreOption,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FILE",
            help="The file, which is replaced if it exists; its ending chooses the format. With --as, a new folder.",
        ),
    ],
    molecules: Annotated[
        bool,
        typer.Option(
            "--molecules",
            help="Write one row for each kept molecule and each objective under which it has a reward, the best first, "
            "with the raw and transformed values of all components; default: a row for each sample.",
        ),
    ] = False,
    form: FormatOption = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="KIND",
            help="Write a data set instead: minari, episodes for offline reinforcement learning, or huggingface, "
            "Parquet files with a card; default: one file.",
        ),
    ] = None,
    where: WhereOption = None,
    objective: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The objective of the rewards, for --as minari, named as in `molbuffer top`; default: the only one.",
        ),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option("--license", metavar="ID", help="The licence of the data, for --as huggingface; default: none."),
    ] = None,
    snapshot: SnapshotOption = None,
    json: JsonOption = False,
) -> None:
    """Write the sample history, or its molecules, as one file for other programs, or as a data set of a kind."""
    if kind is not None:
        if form is not None or molecules:
            raise UsageError("--as determines the format and the rows: leave --format and --molecules out")
        _report(export_as(kind, store, out, where, snapshot, objective=objective, license=licence), json)
        return
    if objective is not None or licence is not None:
        raise UsageError("--objective and --license apply only to a data set: add --as minari or --as huggingface")
    with_a_folder(out)
    written = chosen_format(form, out)
    from molbuffer.flows.cli.common.row_files import row_writer
    from molbuffer.storage import SampleStore

    writer = row_writer(written, out, note)
    with SampleStore.open(store, read_only=True) as opened:
        receipt = opened.export(out, where=where, snapshot=snapshot, molecules=molecules, writer=writer)
    _report({"path": str(out)} | asdict(receipt), json)


def _writable_where_possible(store: Path) -> SampleStore:
    """Open the store, read-only if it cannot be written to, as on a read-only mount."""
    from molbuffer.storage import SampleStore

    return SampleStore.open(store, read_only=not os.access(store, os.W_OK))


def _report(result: dict[str, Any], json: bool) -> None:
    width = max(map(len, result))
    write_text(as_json(result) if json else "\n".join(f"{name:<{width}}  {value}" for name, value in result.items()))
