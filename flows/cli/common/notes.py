"""Lines for people on standard error: standard output is for results."""

from __future__ import annotations

import sys


def note(text: str) -> None:
    """Write a line for people to standard error."""
    sys.stderr.write(text + "\n")
