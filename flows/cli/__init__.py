"""The command ``molbuffer``.

``commands`` has its commands. This module imports nothing else before the signal handlers are installed, so that Ctrl-C
ends the command without a traceback from the start.
"""

from __future__ import annotations

import signal
import sys
from typing import Any


def main() -> None:
    """Run the command line of this process."""
    try:
        from molbuffer.flows.cli.common.interruptions import ends_on_signals
    except KeyboardInterrupt:
        # The signal handlers are not installed yet.
        sys.stderr.write("interrupted\n")
        raise SystemExit(128 + signal.SIGINT) from None
    with ends_on_signals():
        from molbuffer.flows.cli.commands import app, prepare_process
        from molbuffer.lab import kept_ctrl_c

        prepare_process()
        with kept_ctrl_c():
            app()


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from molbuffer.flows.cli.commands import app

    return app
