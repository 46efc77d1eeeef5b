"""The line of a key in a TOML file.

``tomllib`` does not report the line of a value. It does report whether a text is valid TOML, and the first lines of a
valid file are valid, too, unless they end inside a statement. So the line of a key is the last line of the shortest
start of the file that is valid and has the key. This needs no second parser of TOML.
"""

from __future__ import annotations

import bisect
import tomllib
from collections.abc import Sequence
from typing import Any

KeyPath = tuple[str | int, ...]
"""A path into nested tables and lists: keys, and positions from 0."""


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
    """Return the length of the longest valid start of the first ``count`` lines, and its tables."""
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
