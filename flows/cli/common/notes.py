"""Messages of commands on standard error: standard output is for results."""

from __future__ import annotations

import sys


def note(text: str) -> None:
    """Write a message line to standard error."""
    sys.stderr.write(text + "\n")
