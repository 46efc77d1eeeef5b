"""Arguments and options that several commands share."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from functools import wraps
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated, Any, get_type_hints

import typer

from molbuffer.flows.cli.common.formats import Format
from molbuffer.flows.errors import UsageError


def file_or_preset(path: Path | None) -> Path | None:
    """Return the file of a preset if the path is its name; any other path is returned as it is."""
    from molbuffer.flows.settings import configuration_file

    return None if path is None else configuration_file(path)


ConfigurationFile = Annotated[
    Path,
    typer.Argument(
        metavar="FILE.toml",
        help="The configuration file, or the name of one that comes with molbuffer, such as sample_efficient.",
        callback=file_or_preset,
    ),
]
StoreOption = Annotated[Path, typer.Option("--store", metavar="DIR", help="The folder of the store.")]
SmilesFile = Annotated[
    Path, typer.Argument(metavar="SMILES_FILE", help="A .smi, .ism, .txt, .csv, .tsv (each also .gz) or .parquet file.")
]
ColumnOption = Annotated[
    str | None,
    typer.Option(help="The column of the molecules, in upper or lower case; default: smiles or canonical_smiles."),
]


def with_a_folder(out: Path | None) -> Path | None:
    """Return the path of an output file, and refuse one that cannot be written, before any work is done."""
    if out is not None and (reason := _unwritable(out)) is not None:
        raise UsageError(f"--out {out} cannot be written: {reason}")
    return out


def _unwritable(out: Path) -> str | None:
    """Return why a file cannot be written; None if it can. An existing file is not changed."""
    if out.is_dir():
        return "it is a folder"
    if not out.parent.is_dir():
        return f"there is no folder {out.parent}"
    try:
        if not out.exists():
            # Only writing shows whether it works: a folder may be one like /proc, and a disk full or read-only.
            with TemporaryFile(dir=out.parent):
                pass
        elif out.is_file():
            with out.open("ab"):
                pass
    except OSError as error:
        return f"{error.strerror or error}"
    return None


OutOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Write to this file; default: standard output.", callback=with_a_folder),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
SnapshotOption = Annotated[
    int | None,
    typer.Option(
        "--snapshot",
        metavar="N",
        help="Read the store at this snapshot, by its number; default: the newest.",
    ),
]
FormatOption = Annotated[
    Format | None,
    typer.Option("--format", help="The format of the rows; default: by the ending of --out, or a table."),
]


def there(device: str | None) -> str | None:
    """Return the name of a device, and refuse one that this machine lacks, before any work is done."""
    if device not in (None, "cpu"):
        from molbuffer.samplers import SamplerError, find_device

        try:
            find_device(device)
        except SamplerError as error:
            raise UsageError(f"--device {device}: {error}") from error
    return device


def _device(default: str) -> Any:
    names = "cpu, cuda, cuda:1 for one of several GPUs, mps, or auto for the fastest one"
    text = f"The device of models: {names}; default: {default}."
    return typer.Option("--device", metavar="NAME", help=text, callback=there)


DeviceOption = Annotated[str | None, _device("that of the file, which is cpu unless it says otherwise")]
ModelDeviceOption = Annotated[str | None, _device("cpu")]
"""The device of a command without a configuration."""


def known_run(store: Path, run_id: str | None) -> str | None:
    """Return the whole id of a run to resume, given its start; an unknown id raises, and does not begin a new run."""
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
        help="Resume this run, by its id or the start of it; default: a new run.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Give a key of the configuration another value, such as training.sigma=256; may be repeated.",
    ),
]
IterationsOption = Annotated[
    int | None,
    typer.Option(
        "--iterations",
        min=1,
        metavar="N",
        help="The number of iterations; default: that of the file. With --resume it extends a run.",
    ),
]


PrefectOption = Annotated[
    bool | None,
    typer.Option(
        "--prefect/--no-prefect",
        metavar="",
        help="Run as a Prefect flow, which a Prefect server shows, or without Prefect, which starts in half the time; "
        "default: as a flow if a Prefect server is configured, or the runner is dask or ray.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class CampaignOptions:
    """The arguments and options of each command that runs a campaign."""

    file: ConfigurationFile
    store: StoreOption
    sets: SetOption = None
    resume: ResumeOption = None
    device: DeviceOption = None
    prefect: PrefectOption = None
    json: JsonOption = False


def taking(record: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator for commands whose first parameter is a dataclass of shared arguments and options.

    The fields of the dataclass become arguments and options of the command: those without a default come before the
    command's own, the others after them.
    """
    hints = get_type_hints(record, include_extras=True)

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        def parameter(name: str, default: Any) -> inspect.Parameter:
            none = inspect.Parameter.empty if default is MISSING else default
            return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=none, annotation=hints[name])

        _, *own = inspect.signature(command, eval_str=True).parameters.values()
        shared = [parameter(each.name, each.default) for each in fields(record)]
        first = [each for each in shared if each.default is each.empty]
        own = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]

        @wraps(command)
        def invoked(**values: Any) -> None:
            command(record(**{each.name: values.pop(each.name) for each in shared}), **values)

        every = [*first, *own, *(each for each in shared if each not in first)]
        # Typer must read this signature, and not that of the wrapped function.
        invoked.__dict__.pop("__wrapped__")
        invoked.__dict__["__signature__"] = inspect.Signature(every)
        invoked.__annotations__ = {each.name: each.annotation for each in every}
        return invoked

    return decorate
