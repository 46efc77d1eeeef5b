"""Checks of the predicates of users: one boolean expression over the columns of a row of ``sample_history``.

DuckDB parses the text, and the parsed statement is checked, so that the check does not depend on the notation. The
predicate is then evaluated like every query of a user, on a connection that can only read.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import duckdb

from molbuffer.storage.backends import closed_connection, one_line
from molbuffer.storage.errors import PredicateError

_CHANGING_WORDS = frozenset(
    {"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"}
    | {"current_catalog", "current_role", "current_schema", "current_user", "session_user", "user"}
)

# DuckDB declares these functions consistent, but they depend on the day, the settings or the machine.
_CHANGING_FUNCTIONS = frozenset({"current_localtime", "current_localtimestamp", "current_setting", "getvariable"})
_LONGEST = 100_000


def check_predicate(where: str) -> str:
    """Return the predicate unchanged if it is exactly one expression over the columns of a row.

    Subqueries are refused, and so are functions whose value changes (``random()``, ``now()``), also within a macro
    (``ago()``): a predicate must choose the same rows of a snapshot each time.

    Raises:
        PredicateError: the text is not such an expression.
    """
    if len(where) > _LONGEST:
        raise PredicateError(f"a predicate has at most {_LONGEST:,} characters, got {len(where):,}: {shown(where)}")
    with closing(closed_connection()) as connection:
        # The unchanged text is parsed before the text in brackets, so that a syntax error quotes it.
        plain, bare, given = (_parse(connection, text) for text in ("(true\n)", where, f"({where}\n)"))
        condition = given.get("where_clause")
        # Anything beyond one condition (a UNION, an ORDER BY, a second statement) makes these statements differ, and so
        # does a condition that is only valid with the brackets around it ("true) OR (true").
        if given != bare or plain | {"where_clause": condition} != given or condition is None:
            raise PredicateError(f"expected one condition such as 'reward > 0.5 AND kept', got {shown(where)}")
        _refuse_changing(connection, where, condition)
    return where


def _refuse_changing(connection: duckdb.DuckDBPyConnection, where: str, condition: Any) -> None:
    """Refuse a condition with functions whose value changes, also in the macros that it calls.

    Raises:
        PredicateError: the condition has a subquery, or a function or word whose value changes.
    """
    changing, macros = _functions()
    looked_at: set[str] = set()
    parts = [condition]
    while parts:
        called = _called(parts.pop(), where) - looked_at
        looked_at |= called
        if refused := called & changing:
            names = ", ".join(sorted(refused))
            raise PredicateError(
                f"a predicate must choose the same rows each time; {names} does not give the same value"
            )
        definitions = [definition for name in sorted(called) for definition in macros.get(name, ())]
        parts += [_parse(connection, f"({definition})")["where_clause"] for definition in definitions]


@functools.cache
def _functions() -> tuple[frozenset[str], Mapping[str, Sequence[str]]]:
    """Return the names of DuckDB's functions whose value changes, and the definitions of its macros by name.

    They are the same for all databases of a release, and listing them takes longer than the rest of a check.
    """
    with closing(closed_connection()) as connection:
        changing = connection.execute(
            "SELECT function_name FROM duckdb_functions() WHERE stability <> 'CONSISTENT'"
        ).fetchall()
        macros = connection.execute(
            """SELECT function_name, list(macro_definition) FROM duckdb_functions()
            WHERE function_type = 'macro' GROUP BY function_name"""
        ).fetchall()
    return frozenset(name for (name,) in changing), dict(macros)


def _called(expression: Any, where: str) -> set[str]:
    """Return the names of the functions in an expression.

    Raises:
        PredicateError: the expression has a subquery, or a function or word whose value changes.
    """
    called = set()
    for node in _nodes(expression):
        if node.get("class") == "SUBQUERY":
            raise PredicateError(f"a predicate is about one row and has no subquery, got {shown(where)}")
        # DuckDB parses these words as columns, and later finds that there is no such column.
        if node.get("class") == "COLUMN_REF" and node["column_names"][-1].lower() in _CHANGING_WORDS:
            raise PredicateError(f"a predicate must choose the same rows each time, got {shown(where)}")
        if node.get("class") == "FUNCTION":
            name = str(node.get("function_name")).lower()
            # With one argument, ``age`` counts from today.
            if name in _CHANGING_FUNCTIONS or (name == "age" and len(node.get("children", [])) == 1):
                raise PredicateError(
                    f"a predicate must choose the same rows each time; {name} does not give the same value"
                )
            called.add(name)
    return called


def _parse(connection: duckdb.DuckDBPyConnection, where: str) -> dict[str, Any]:
    """Return the parsed SELECT with a predicate as its condition.

    Raises:
        PredicateError: the text cannot be parsed, or is more than one statement.
    """
    text = f"SELECT 1 FROM sample_history WHERE {where}"
    row = connection.execute("SELECT json_serialize_sql(?)", [text]).fetchone()
    parsed = _without_positions(json.loads(row[0])) if row else {}
    if parsed.get("error", True):
        raise PredicateError(
            f"the predicate {shown(where.strip())} cannot be read: {one_line(parsed.get('error_message', ''))}"
        )
    if len(parsed["statements"]) != 1:
        raise PredicateError(f"expected one condition, got {len(parsed['statements'])} statements in {shown(where)}")
    node: dict[str, Any] = parsed["statements"][0]["node"]
    return node


def shown(where: str) -> str:
    """Return a predicate quoted for a message, cut after 200 characters."""
    return repr(where if len(where) <= 200 else f"{where[:200]}…")


def _without_positions(value: Any) -> Any:
    """Return a parsed statement without positions in the text, which may be the only difference of two statements."""
    if isinstance(value, dict):
        return {key: _without_positions(item) for key, item in value.items() if key != "query_location"}
    return [_without_positions(item) for item in value] if isinstance(value, list) else value


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every node of a parsed expression, from the outermost to the innermost."""
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _nodes(item)
