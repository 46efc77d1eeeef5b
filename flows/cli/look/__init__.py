"""Commands that show what runs do and did.

``report`` writes an HTML page, and ``explore`` serves a page that follows the store; ``compare`` compares runs on the
terminal, and ``watch`` shows one run there while it goes on.
"""

from __future__ import annotations

import typer

from molbuffer.flows.cli.look.compare import compare
from molbuffer.flows.cli.look.explore import explore
from molbuffer.flows.cli.look.report import report
from molbuffer.flows.cli.look.watch import watch


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this package."""
    app.command(epilog="Example: molbuffer report --store lab --out report.html")(report)
    app.command(epilog="Example: molbuffer compare 24c6a8ad 584da899 --store lab")(compare)
    app.command(epilog="Example: molbuffer watch --store lab")(watch)
    app.command(epilog="Example: molbuffer explore --store lab")(explore)
