"""The line of a key in a TOML file.

``tomllib`` does not tell on which line it found a value. It does tell whether a text is valid TOML, though, and the
first lines of a valid file are valid too unless they end inside a statement. So the line of a key is where the
shortest start of the file that has the key ends, with no second grammar of TOML to keep correct.
"""

from __future__ import annotations

import bisect
import tomllib
from collections.abc import Sequence
from typing import Any

KeyPath = tuple[str | int, ...]
"""A way into nested tables and lists: keys and positions from 0."""


def find_line(text: str, path: KeyPath) -> int | None:
    """Return the line, from 1, on which the statement begins that defines a key; None if the file lacks the key.

    A value inside an inline table or a list of several lines is found at the start of its statement.
    """
    lines = text.splitlines(keepends=True)
    end = bisect.bisect_left(range(len(lines) + 1), True, key=lambda count: _has(_parse_start(lines, count)[1], path))
    if end > len(lines):
        return None
    return _parse_start(lines, end - 1)[0] + 1 if end else None


def _parse_start(lines: Sequence[str], count: int) -> tuple[int, dict[str, Any]]:
    """Return how many of the first ``count`` lines are valid TOML, and their tables."""
    for size in range(count, 0, -1):
        try:
            return size, tomllib.loads("".join(lines[:size]))
        except tomllib.TOMLDecodeError:
            continue
    return 0, {}


def _has(tables: Any, path: KeyPath) -> bool:
    for key in path:
        try:
            tables = tables[key]
        except (KeyError, IndexError, TypeError):
            return False
    return True
