"""The command ``watch``: show the progress of a run in a terminal."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from molbuffer.flows.cli.common.options import StoreOption

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from molbuffer.flows.cli.look.watch_facts import WatchFacts
    from molbuffer.storage import SampleStore

SECONDS_BETWEEN_LOOKS = 2.0
REST = 4.0
"""The wait before the next read, as a multiple of the time of the last one, so that a large store is not read all the
time."""


def watch(
    store: StoreOption,
    run: Annotated[
        str | None,
        typer.Option(
            metavar="RUN_ID",
            help="The run, by its name or the start of its id; default: the newest running one, or else the newest.",
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Print one picture, and end.")] = False,
) -> None:
    """Watch a run: its rewards, its numbers of rejected and kept molecules, the best ones, its speed and the time left.

    The command only reads, and follows the store until Ctrl-C. If the output is no terminal, it prints one picture.
    """
    from rich.console import Console

    from molbuffer.flows.cli.look.watch_facts import chosen_run, watch_facts
    from molbuffer.storage import SampleStore

    console = Console()
    with SampleStore.open(store, read_only=True) as opened:
        run_id = chosen_run(opened, run)
        facts = watch_facts(opened, run_id)
        if once or not console.is_terminal:
            console.print(_picture(console, facts))
            return
        _follow(console, opened, run_id, facts)


def _follow(console: Console, store: SampleStore, run_id: str, facts: WatchFacts) -> None:
    """Show a run until Ctrl-C; the facts are read again when the store has a new snapshot."""
    from rich.live import Live

    from molbuffer.flows.cli.look.watch_facts import watch_facts

    # Ctrl-C is the normal end of this command, so no message about an interrupted run is due.
    with (
        suppress(KeyboardInterrupt),
        Live(_picture(console, facts), console=console, screen=True, auto_refresh=False) as live,
    ):
        due = 0.0
        while True:
            time.sleep(SECONDS_BETWEEN_LOOKS)
            began = time.monotonic()
            if began >= due and store.snapshot() != facts.snapshot:
                facts = watch_facts(store, run_id)
                read = time.monotonic()
                due = read + REST * (read - began)
            # The elapsed time changes without a new snapshot, and so may the size of the terminal.
            live.update(_picture(console, facts), refresh=True)


def _picture(console: Console, facts: WatchFacts) -> RenderableType:
    from molbuffer.flows.cli.look.watch_view import frame
    from molbuffer.storage import now

    return frame(facts, console.width, console.height, now(), ascii_only=console.options.ascii_only)
