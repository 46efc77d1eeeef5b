"""Write a configuration as TOML: tables of the first level, lists of tables, and inline tables inside them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any


def toml_text(data: Mapping[str, Any], *, comment: Iterable[str] = ()) -> str:
    """Return tables as the text of a TOML file.

    Args:
        data: the tables by name; each table of a list is written as ``[[name]]``, also for a list inside a table of the
            first level.
        comment: the lines of a comment at the top, without ``#``.
    """
    head = [f"# {line}".rstrip() for line in comment]
    tables = ["\n".join(each) for name, value in data.items() for each in _tables(name, value)]
    return "\n\n".join(["\n".join(head), *tables] if head else tables) + "\n"


def commented_out(name: str, table: Mapping[str, Any]) -> str:
    """Return a table of a list as commented-out lines, which become valid when each ``#`` is removed."""
    return "\n".join(f"#{line}" for line in _lines(f"[[{name}]]", table))


def toml_value(value: object) -> str:
    """Return a value in TOML notation.

    Raises:
        TypeError: TOML has no such value.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        # JSON has the escapes of TOML, except that it leaves DEL as it is.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {toml_value(each)}" for key, each in value.items()) + " }"
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    raise TypeError(f"TOML has no value for {type(value).__name__}")


def _tables(name: str, value: Any) -> Iterator[list[str]]:
    if not isinstance(value, Mapping):
        for table in value:
            yield _lines(f"[[{name}]]", table)
        return
    lists = {key: each for key, each in value.items() if _is_list_of_tables(each)}
    yield _lines(f"[{name}]", {key: each for key, each in value.items() if key not in lists})
    for key, tables in lists.items():
        for table in tables:
            yield _lines(f"[[{name}.{key}]]", table)


def _lines(head: str, table: Mapping[str, Any]) -> list[str]:
    return [head, *(f"{_key(key)} = {toml_value(value)}" for key, value in table.items())]


def _is_list_of_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, Mapping) for each in value)


def _key(key: str) -> str:
    bare = bool(key) and key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if bare else toml_value(key)
