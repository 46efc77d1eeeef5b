"""Answers from the catalog to statements that only count the rows of a table or select extremes of its columns.

The catalog often has these numbers exactly; no process is then started and no file is opened.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Set
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from molbuffer.storage.backends import quote, quote_name
from molbuffer.storage.catalog import QUERYABLE_TABLES, ReadableCatalog

# The form of such a statement; a text of another form is not parsed in this process.
_PLAIN = re.compile(r'\s*select\s[\w\s,()*".]{1,400}\sfrom\s[\w\s".]{1,100};?\s*', re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class _Asked:
    """A column of the result: its name, its function (``count_star``, ``min``, ``max``), and the function's column."""

    name: str
    function: str
    column: str


def known_answer(catalog: ReadableCatalog, sql: str, snapshot: int) -> pa.Table | None:
    """Return the answer to a statement from the catalog; None if the catalog cannot answer it exactly.

    Raises:
        UnknownSnapshotError: the store does not have the snapshot.
    """
    if not _PLAIN.fullmatch(sql):
        return None
    with closing(catalog.cursor()) as cursor:
        try:
            ((parsed,),) = cursor.execute(f"SELECT json_serialize_sql({quote(sql)})").fetchall()
            keywords = {word for (word,) in cursor.execute("SELECT keyword_name FROM duckdb_keywords()").fetchall()}
        # This DuckDB lacks the extension for JSON.
        except duckdb.CatalogException:
            return None
        table, asked = _asked(json.loads(parsed), keywords)
        if table is None or len({each.name for each in asked}) < len(asked):
            return None
        known = catalog.statistics(table, sorted({each.column for each in asked if each.column}), snapshot)
        if known is None:
            return None
        values = (
            f"{known.rows}::BIGINT" if not each.column else known.extremes[each.column][each.function == "max"]
            for each in asked
        )
        # SQL makes the table: to make an array of a value, Arrow would import pandas if it is installed.
        items = (f"{value} AS {quote_name(each.name)}" for value, each in zip(values, asked, strict=True))
        return cursor.execute(f"SELECT {', '.join(items)}").to_arrow_table()


def _asked(parsed: Mapping[str, Any], keywords: Set[str]) -> tuple[str | None, list[_Asked]]:
    """Return the table and the result columns of a parsed statement; no table if the catalog cannot answer it."""
    nothing: tuple[None, list[_Asked]] = (None, [])
    statements = parsed.get("statements", [])
    if parsed["error"] or len(statements) != 1 or statements[0].get("named_param_map"):
        return nothing
    node = statements[0]["node"]
    more = ("modifiers", "where_clause", "group_expressions", "group_sets", "having", "sample", "qualify")
    if node["type"] != "SELECT_NODE" or any(node[key] for key in more) or node["cte_map"]["map"]:
        return nothing
    source = node["from_table"]
    extra = ("sample", "at_clause", "column_name_alias", "schema_name", "catalog_name")
    if source["type"] != "BASE_TABLE" or any(source[key] for key in extra):
        return nothing
    table = source["table_name"].lower()
    asked = [_item(each, {table, source["alias"].lower()}, keywords) for each in node["select_list"]]
    known = [each for each in asked if each is not None]
    return (table, known) if table in QUERYABLE_TABLES and len(known) == len(asked) else nothing


def _item(item: Mapping[str, Any], tables: Set[str], keywords: Set[str]) -> _Asked | None:
    """Return the result column of an item of the SELECT list; None if it is neither a count nor an extreme."""
    if item["type"] != "FUNCTION" or item["filter"] or item["distinct"] or item["order_bys"]["orders"]:
        return None
    function, arguments = item["function_name"].lower(), item["children"]
    if item["schema"] or item["catalog"]:
        return None
    if function == "count_star" and not arguments:
        return _Asked(item["alias"] or "count_star()", function, "")
    if function not in ("min", "max") or len(arguments) != 1 or arguments[0]["type"] != "COLUMN_REF":
        return None
    *of, column = arguments[0]["column_names"]
    if len(of) > 1 or not {each.lower() for each in of} <= tables:
        return None
    # The name that DuckDB gives to the column.
    shown = ".".join(f'"{each}"' if each.lower() in keywords else each for each in (*of, column))
    return _Asked(item["alias"] or f"{function}({shown})", function, column.lower())
