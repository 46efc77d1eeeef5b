"""``molbuffer config``: write and check configuration files."""

from __future__ import annotations

import importlib.resources

import typer

from molbuffer.flows.cli.errors import ReportingGroup
from molbuffer.flows.cli.options import ConfigurationFile, JsonOption
from molbuffer.flows.cli.output import as_json, output_kept_for_results, write_text

app = typer.Typer(cls=ReportingGroup, no_args_is_help=True, help="Write and check configuration files.")


@app.command(epilog="Example: molbuffer config example > campaign.toml")
def example() -> None:
    """Print a configuration to start from, with every key and every kind explained."""
    from molbuffer.kinds import other_packages

    text = example_text()
    if other_packages():
        # Only kinds of other packages are imported for this, and their families.
        from molbuffer.flows.cli.kinds import families
        from molbuffer.flows.tools import example_of_kinds

        text += example_of_kinds(families())
    write_text(text)


@app.command(epilog="Example: molbuffer config check campaign.toml")
def check(file: ConfigurationFile, json: JsonOption = False) -> None:
    """Report all problems of a configuration file, with their lines and the allowed values."""
    from molbuffer.flows.settings import ConfigurationError, load_settings

    try:
        with output_kept_for_results():  # the modules that the file names are imported
            settings = load_settings(file)
    except ConfigurationError as error:
        if not json:
            raise
        problems = [{"line": each.line, "key": each.key, "message": each.message} for each in error.problems]
        write_text(as_json({"ok": False, "problems": problems}))
        raise typer.Exit(1) from error
    if json:
        write_text(as_json({"ok": True, "problems": [], "sha256": settings.sha256}))
    else:
        write_text(f"{file}: no problems")


@app.command(epilog="Example: molbuffer config schema > molbuffer.schema.json")
def schema() -> None:
    """Print the JSON schema of the configuration, for editors and other programs."""
    from molbuffer.flows.settings import settings_schema

    write_text(as_json(settings_schema()))


def example_text() -> str:
    """Return the example configuration that comes with the package."""
    return importlib.resources.files("molbuffer.flows.settings").joinpath("example.toml").read_text(encoding="utf-8")
