"""The command ``explore``: a local web app that shows a store, also while campaigns write to it."""

from __future__ import annotations

import secrets
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from molbuffer.flows.cli.common.notes import note
from molbuffer.flows.cli.common.output import write_text
from molbuffer.flows.cli.look.report import StoreOrArchive
from molbuffer.flows.errors import UsageError


def explore(
    store: StoreOrArchive,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Listen at this address; at a loopback address only this machine can connect, at another one every "
            "machine that has the token.",
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Listen at this port; 0: a free one.")] = 0,
    token: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Demand this token; default: none at a loopback address, else a new one, which is printed.",
        ),
    ] = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    edit: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.py",
            help="Write the explorer to this file, as a marimo notebook of your own, and open it in marimo's editor; "
            "an existing file is opened unchanged (default: none; the explorer is only shown).",
        ),
    ] = None,
) -> None:
    """Show a store in a browser: find molecules and their origin, compare runs, and watch a run.

    The store is only read, and may be in use: new rows show up after a few seconds. On a machine that others use, give
    a --token, since they can connect to its loopback address, too. Ctrl-C ends the command.
    """
    _check_extra()
    from molbuffer.pages import explorer
    from molbuffer.pages.explorer import StoreView

    if token is not None and len(token) < _LEAST_TOKEN:
        raise UsageError(f"--token must have {_LEAST_TOKEN} characters or more, got {len(token)}")
    # A folder without a store must raise its error here, and not in the browser.
    StoreView(store).close()
    if not explorer.is_loopback(host):
        token = secrets.token_urlsafe(16) if token is None else token
        seen_by = f"anyone who can connect to this machine at {host} and has the token can read the store"
    else:
        seen_by = ""
    if edit is not None:
        if edit.suffix != ".py":
            raise UsageError(f"--edit needs the name of a Python file, which ends in .py, got {edit}")
        _write_notebook(edit, explorer.notebook(store.absolute()))
        if seen_by:
            note(seen_by)
        explorer.edit(edit, host=host, port=port, token=token, headless=not open_browser)
        return

    def ready(address: str) -> None:
        if seen_by:
            note(seen_by)
        write_text(f"{address}\nCtrl-C ends the explorer.")
        if open_browser:
            webbrowser.open(address)

    try:
        explorer.explore(store.absolute(), host=host, port=port, token=token, ready=ready)
    except explorer.AddressError as error:
        raise UsageError(str(error)) from error


_LEAST_TOKEN = 8


def _check_extra() -> None:
    from importlib.util import find_spec

    if find_spec("marimo") is None:
        raise UsageError("explore needs marimo, which is not installed: pip install 'molbuffer[explore]'")


def _write_notebook(file: Path, text: str) -> None:
    """Write a notebook unless the file exists, since it may contain a user's work."""
    if file.exists():
        note(f"{file} exists and is opened unchanged")
        return
    if not file.absolute().parent.is_dir():
        raise UsageError(f"--edit {file} cannot be written: there is no folder {file.parent}")
    file.write_text(text, encoding="utf-8")
    note(f"{file} is written, a notebook of your own; its line STORE names the store")
