"""The command ``report``: a report on runs as one HTML file."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molbuffer.flows.cli.common.archive_size import DEFAULT_MAX_SIZE, MaxSizeOption, limits
from molbuffer.flows.cli.common.notes import note
from molbuffer.flows.cli.common.options import JsonOption, SnapshotOption, with_a_folder
from molbuffer.flows.cli.common.output import as_json, shown_bytes, write_text
from molbuffer.flows.errors import UsageError

if TYPE_CHECKING:
    from molbuffer.pages import Reference
    from molbuffer.storage import SampleStore

StoreOrArchive = Annotated[
    Path,
    typer.Option("--store", metavar="PATH", help="The folder of a store, or an archive: a folder or a tar file."),
]


def report(
    store: StoreOrArchive,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The HTML file to write.", callback=with_a_folder)],
    run: Annotated[
        list[str] | None,
        typer.Option(
            "--run",
            metavar="RUN",
            help="Report on this run, by its name or the start of its id; may be repeated; default: all runs.",
        ),
    ] = None,
    snapshot: SnapshotOption = None,
    objective: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Report on this objective alone, given by the start of its sha256 or of a run_id, or by the name of a "
            "run; default: each objective separately.",
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Compare with the molecules of this SMILES file, such as the prior's training set; default: none.",
        ),
    ] = None,
    align: Annotated[
        str | None,
        typer.Option(
            metavar="SMILES",
            help="Align the pictures of molecules to this structure, where they share a part of it; default: the "
            "target of a component, or the commonest scaffold.",
        ),
    ] = None,
    molecule: Annotated[
        str | None,
        typer.Option(metavar="SMILES", help="Show the lineage of this molecule; default: of the best one."),
    ] = None,
    best: Annotated[int, typer.Option(min=0, help="The number of best molecules with a picture.")] = 24,
    title: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The title; default: the name of the store.")
    ] = None,
    max_size: MaxSizeOption = DEFAULT_MAX_SIZE,
    json: JsonOption = False,
) -> None:
    """Write a report on the runs of a store as one HTML file, which needs no network.

    The report shows the runs and their learning curves, how many drawn rows were rejected, kept and scored, the best
    molecules with pictures, their diversity, trade-offs and lineage, failed scores and costs. The store is only read,
    and may be in use.
    """
    from molbuffer.pages import ReportOptions, make_report

    began = time.monotonic()
    options = ReportOptions(
        title=title,
        store=store.resolve().name,
        best=best,
        reference=None if reference is None else _read(reference),
        align=_molecule("--align", align),
        molecule=_molecule("--molecule", molecule),
    )
    with looked_at(store, max_size) as opened:
        made = make_report(opened, runs=run or (), snapshot=snapshot, objective=objective, options=options)
        if options.molecule is not None and not _is_known(opened, run or (), snapshot, options.molecule):
            note(f"no run of this report has drawn {options.molecule}, as the section Lineage says")
    write_text(made, out)
    size, seconds = out.stat().st_size, time.monotonic() - began
    if json:
        write_text(as_json({"out": str(out), "bytes": size, "seconds": round(seconds, 3)}))
    else:
        write_text(f"{out}: {shown_bytes(size)}, in {seconds:.1f} s; open it in a browser")


def _is_known(store: SampleStore, runs: Sequence[str], snapshot: int | None, smiles: str) -> bool:
    from molbuffer.pages import descent, scope_of

    return bool(descent(scope_of(store, runs, snapshot=snapshot), smiles))


@contextmanager
def looked_at(path: Path, max_size: float) -> Iterator[SampleStore]:
    """Open a store for reading, or an archive after verifying all of it; a tar file is unpacked for this context."""
    from molbuffer.storage import SampleStore, is_archive, trusted_archive

    if path.is_file() and path.suffix == ".toml":
        raise UsageError(
            f"--store {path} is a configuration file: expected an archive or the folder of a store, which `molbuffer "
            f"run {path.name} --store lab` makes"
        )
    if path.is_file() or is_archive(path):
        with trusted_archive(path, limits(max_size)) as (archive, _):
            yield archive
    else:
        with SampleStore.open(path, read_only=True) as store:
            yield store


def _read(path: Path) -> Reference:
    from molbuffer.pages import Reference
    from molbuffer.samplers import read_smiles_file

    return Reference(path.name, [row.smiles for row in read_smiles_file(path)])


def _molecule(option: str, smiles: str | None) -> str | None:
    """Return the canonical form of a molecule that an option names.

    Raises:
        UsageError: the text is no molecule.
    """
    if smiles is None:
        return None
    from molbuffer.scoring import canonical_smiles, parse_smiles

    if (found := parse_smiles(smiles)) is None:
        raise UsageError(f"{option} {smiles!r} is no molecule: expected a SMILES that RDKit can read")
    return canonical_smiles(found)
