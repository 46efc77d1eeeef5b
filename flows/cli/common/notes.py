"""Messages of commands on standard error: standard output is for results."""

from __future__ import annotations

import sys

_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"}


def note(text: str) -> None:
    """Write a message line to standard error."""
    sys.stderr.write(printable(text) + "\n")


def printable(text: str) -> str:
    """Return a text with its control characters and invalid characters written as escapes.

    A name in a store or an archive may come from a stranger. Control characters in it could clear the screen of a
    terminal, or change what was printed before.
    """
    return text.translate(_CONTROL).encode(errors="backslashreplace").decode()
