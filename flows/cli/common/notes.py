"""Lines for people on standard error: standard output is for results."""

from __future__ import annotations

import sys

_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"}


def note(text: str) -> None:
    """Write a line for people to standard error."""
    sys.stderr.write(printable(text) + "\n")


def printable(text: str) -> str:
    """Return a text without what gives a terminal orders, or cannot be written to one.

    A name in a store or an archive may be anybody's, and could clear the screen, or change what was printed before.
    """
    return text.translate(_CONTROL).encode(errors="backslashreplace").decode()
