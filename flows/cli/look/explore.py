"""The command ``explore``: a local web app in which people look at a store, also while campaigns write to it."""

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
            help="Listen at this address; others than this machine reach it only at one that is not loopback, with a "
            "token.",
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Listen at this port; 0 = a free one.")] = 0,
    token: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Demand this token; default: one that is made and printed beyond loopback, on loopback none.",
        ),
    ] = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open it in a browser.")] = False,
    edit: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.py",
            help="Write the explorer to this file, a marimo notebook of your own, and open marimo's editor; a file "
            "that is there is opened as it is (default: none; the explorer is only shown).",
        ),
    ] = None,
) -> None:
    """Look at a store in a browser: find molecules, see where each came from, compare runs, watch one go on.

    The store is only read, and may be in use: what is written to it shows up after a few seconds. On a machine that
    others use, give a --token: they reach its loopback address, too. Ctrl-C ends it.
    """
    _check_extra()
    from molbuffer.pages import explorer
    from molbuffer.pages.explorer import StoreView

    if token is not None and len(token) < _LEAST_TOKEN:
        raise UsageError(f"--token must have {_LEAST_TOKEN} characters or more, got {len(token)}")
    # A place without a store is an error here, and not in a browser.
    StoreView(store).close()
    if not explorer.is_loopback(host):
        token = secrets.token_urlsafe(16) if token is None else token
        seen_by = f"whoever reaches this machine at {host} and has the token sees the store"
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
        write_text(f"{address}\nCtrl-C ends it.")
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
    """Write a notebook, unless the file is there, which may have a user's work in it."""
    if file.exists():
        note(f"{file} is opened as it is")
        return
    if not file.absolute().parent.is_dir():
        raise UsageError(f"--edit {file} cannot be written: there is no folder {file.parent}")
    file.write_text(text, encoding="utf-8")
    note(f"{file} is written: a notebook of your own, in which the name of the store is the line STORE")
