"""``molbuffer config``: write and check configuration files."""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molbuffer.flows.cli.common.errors import ReportingGroup
from molbuffer.flows.cli.common.notes import note
from molbuffer.flows.cli.common.options import ConfigurationFile, JsonOption, OutOption, SetOption
from molbuffer.flows.cli.common.output import as_json, write_text
from molbuffer.flows.cli.common.preparation import check_names, check_policies, checked_settings, overrides_of
from molbuffer.flows.errors import UsageError

if TYPE_CHECKING:
    from molbuffer.flows.settings import Settings

app = typer.Typer(cls=ReportingGroup, no_args_is_help=True, help="Write and check configuration files.")


@app.command(epilog="Example: molbuffer config example > campaign.toml")
def example(
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Print this preset instead, such as sample_efficient; default: a file with all keys.",
        ),
    ] = None,
) -> None:
    """Print a configuration to start from, with every key and every kind explained."""
    from molbuffer.kinds import other_packages

    if preset is not None:
        write_text(_preset(preset))
        return
    text = example_text()
    if other_packages():
        # This import loads all families, which only the kinds of other packages need.
        from molbuffer.flows.cli.configurations.kinds import families
        from molbuffer.flows.tools import example_of_kinds

        text += example_of_kinds(families())
    write_text(text)


@app.command(epilog="Example: molbuffer config check campaign.toml")
def check(
    file: ConfigurationFile,
    store: Annotated[
        Path | None,
        typer.Option(
            "--store", metavar="DIR", help="Look up the policies and runs of the file in this store; default: none."
        ),
    ] = None,
    sets: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Report all problems of a configuration file, with their lines and the allowed values."""
    from molbuffer.flows.settings import ConfigurationError, warnings_of

    try:
        settings = checked_settings(file, overrides_of(sets))
        check_policies(settings, file)
        if store is not None:
            _check_store(settings, file, store)
    except ConfigurationError as error:
        if not json:
            raise
        problems = [{"line": each.line, "key": each.key, "message": each.message} for each in error.problems]
        write_text(as_json({"ok": False, "problems": problems}))
        raise typer.Exit(1) from error
    warnings = warnings_of(settings)
    if json:
        write_text(as_json({"ok": True, "problems": [], "warnings": warnings, "sha256": settings.sha256}))
    else:
        write_text("\n".join([*(f"warning: {text}" for text in warnings), f"{file}: no problems"]))


@app.command(epilog="Example: molbuffer config schema > molbuffer.schema.json")
def schema() -> None:
    """Print the JSON schema of the configuration, for editors and other programs."""
    from molbuffer.flows.settings import settings_schema

    write_text(as_json(settings_schema()))


@app.command(epilog="Example: molbuffer config from-reinvent staged_learning.toml --out campaign.toml")
def from_reinvent(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.toml", help="A configuration of REINVENT 4: staged learning or sampling.")
    ],
    out: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Convert a configuration of REINVENT 4, and report for each line that has no counterpart why it has none."""
    from molbuffer.flows.tools import STAND_IN, convert_reinvent

    made = convert_reinvent(file)
    if json:
        said = [{"line": each.line, "key": each.key, "message": each.message} for each in made.differences]
        write_text(as_json({"configuration": made.text, "differences": said}), out)
        return
    write_text(made.text.rstrip("\n"), out)
    for each in made.differences:
        note(str(each))
    counted = "everything has a counterpart" if not made.differences else f"{len(made.differences)} remarks, above"
    # The converted file runs, but trains another policy than the original file names.
    stands_in = any(STAND_IN in each.message and "stands in" in each.message for each in made.differences)
    how = f"next, with {STAND_IN} in place of the missing prior" if stands_in else "next"
    note(f"converted: {counted}; {how}: {made.advice.format(out=out or 'campaign.toml')}")


def _check_store(settings: Settings, file: Path, place: Path) -> None:
    from molbuffer.storage import SampleStore

    with SampleStore.open(place, read_only=True) as store:
        check_names(settings, file, store, place)


def _preset(name: str) -> str:
    from molbuffer.flows.settings import preset_names, preset_text

    if name not in preset_names():
        raise UsageError(f"expected --preset to be one of {', '.join(preset_names())}, got {name!r}")
    return preset_text(name)


def example_text() -> str:
    """Return the example configuration that comes with the package."""
    return importlib.resources.files("molbuffer.flows.settings").joinpath("example.toml").read_text(encoding="utf-8")
