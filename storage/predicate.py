"""Predicates of users: one boolean expression over the columns of a row of ``sample_history``.

The text is parsed by DuckDB and the parsed statement is looked at, so that nothing depends on how it is written. It is
then evaluated as every query of a user is, on a connection that can only read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import duckdb

from storage.engine import closed_connection, one_line
from storage.errors import PredicateError

_CHANGING_WORDS = frozenset(
    {"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"}
    | {"current_catalog", "current_role", "current_schema", "current_user", "session_user", "user"}
)


def check_predicate(where: str) -> str:
    """The predicate, when it is one expression over the columns of a row and nothing more.

    Subqueries are refused, and so are functions that give another answer each time (``random()``, ``now()``): a
    selection must be the same rows whenever it is made from one version.

    Raises:
        PredicateError: it is anything else.
    """
    with closing(closed_connection()) as connection:
        plain, given, bare = (
            _parse(connection, "(true\n)"),
            _parse(connection, f"({where}\n)"),
            _parse(connection, where),
        )
        condition = given.get("where_clause")
        # Whatever is not part of the one condition (a UNION, an ORDER BY, a second statement) shows as a difference,
        # and so does a condition that needs the brackets around it ("true) OR (true").
        if given != bare or plain | {"where_clause": condition} != given or condition is None:
            raise PredicateError(f"expected one condition such as 'reward > 0.5 AND kept', got {where!r}")
        called = set()
        for node in _nodes(condition):
            if node.get("class") == "SUBQUERY":
                raise PredicateError(f"a predicate is about one row and has no subquery, got {where!r}")
            # DuckDB takes these words for columns until it finds that there is none of the name.
            if node.get("class") == "COLUMN_REF" and node["column_names"][-1].lower() in _CHANGING_WORDS:
                raise PredicateError(f"a predicate must choose the same rows each time, got {where!r}")
            if node.get("class") == "FUNCTION":
                called.add(str(node.get("function_name")).lower())
        _refuse_changing_functions(connection, called)
    return where


def _parse(connection: duckdb.DuckDBPyConnection, where: str) -> dict[str, Any]:
    """The parsed SELECT around a predicate."""
    text = f"SELECT 1 FROM sample_history WHERE {where}"
    row = connection.execute("SELECT json_serialize_sql(?)", [text]).fetchone()
    parsed = _without_places(json.loads(row[0])) if row else {}
    if parsed.get("error", True):
        raise PredicateError(
            f"the predicate {where.strip()!r} cannot be read: {one_line(parsed.get('error_message', ''))}"
        )
    if len(parsed["statements"]) != 1:
        raise PredicateError(f"expected one condition, got {len(parsed['statements'])} statements in {where!r}")
    node: dict[str, Any] = parsed["statements"][0]["node"]
    return node


def _without_places(value: Any) -> Any:
    """A parsed statement without the positions in the text, which differ where nothing else does."""
    if isinstance(value, dict):
        return {key: _without_places(item) for key, item in value.items() if key != "query_location"}
    return [_without_places(item) for item in value] if isinstance(value, list) else value


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _nodes(item)


def _refuse_changing_functions(connection: duckdb.DuckDBPyConnection, called: set[str]) -> None:
    changing = connection.execute(
        """SELECT DISTINCT function_name FROM duckdb_functions()
        WHERE list_contains(?, function_name) AND stability <> 'CONSISTENT'""",
        [sorted(called)],
    ).fetchall()
    if changing:
        names = ", ".join(sorted(name for (name,) in changing))
        raise PredicateError(f"a predicate must choose the same rows each time; {names} does not give the same value")
