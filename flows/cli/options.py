"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from molbuffer.flows.cli.formats import Format
from molbuffer.flows.errors import UsageError

ConfigurationFile = Annotated[Path, typer.Argument(metavar="FILE.toml", help="The configuration file.")]
StoreOption = Annotated[Path, typer.Option("--store", metavar="DIR", help="The folder of the store.")]
SmilesFile = Annotated[
    Path, typer.Argument(metavar="SMILES_FILE", help="A .smi, .ism, .txt, .csv, .tsv (each also .gz) or .parquet file.")
]
ColumnOption = Annotated[
    str | None, typer.Option(help="The column of the molecules in a table, in any case; default: smiles.")
]


def with_a_folder(out: Path | None) -> Path | None:
    """Refuse, before any work is done, a file that cannot be written."""
    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        reason = "it is a folder" if out.is_dir() else f"there is no folder {out.parent}"
        raise UsageError(f"--out {out} cannot be written: {reason}")
    return out


OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Write to this file.", callback=with_a_folder)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
SnapshotOption = Annotated[
    int | None,
    typer.Option(
        "--snapshot",
        metavar="N",
        help="Read the store as of this snapshot, by its version number; default: the newest.",
    ),
]
FormatOption = Annotated[
    Format | None,
    typer.Option("--format", help="The format of the rows; default: by the ending of --out."),
]


def there(device: str | None) -> str | None:
    """Refuse a device that this machine lacks before any work is done."""
    if device not in (None, "cpu"):
        from molbuffer.samplers import SamplerError, find_device

        try:
            find_device(device)
        except SamplerError as error:
            raise UsageError(f"--device {device}: {error}") from error
    return device


DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        help="The device of models: cpu, cuda, cuda:1, mps, or auto, the fastest one; default: the configuration's, "
        "or cpu.",
        callback=there,
    ),
]


def known_run(store: Path, run_id: str | None) -> str | None:
    """Return the whole id of a run to resume, by its start. A mistyped id would otherwise begin a new run."""
    if run_id is None:
        return None
    from molbuffer.storage import SampleStore

    with SampleStore.open(store, read_only=True) as opened:
        return opened.run(run_id).run_id


ResumeOption = Annotated[
    str | None,
    typer.Option(
        "--resume",
        metavar="RUN_ID",
        help="Resume this run, named by its id or the start of it; default: a new run.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set a key of the configuration, as training.sigma=256; it can be given again.",
    ),
]
IterationsOption = Annotated[
    int | None,
    typer.Option(
        "--iterations",
        min=1,
        metavar="N",
        help="The number of iterations, instead of that of the file; with --resume it extends a run.",
    ),
]
