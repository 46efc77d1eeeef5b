"""The history of samples as a lazy polars frame: what it selects and filters is read, and nothing else.

polars hands the columns that a query needs, and its condition, to the source of a frame. The condition arrives as a
tree of JSON. Comparisons of columns with numbers, texts and truth values, and what AND, OR, NOT and IS NULL make of
them, become SQL with bound values, so that DuckDB skips the row groups that cannot fulfil them. Other parts of a
condition, and the whole of it once more, are left to polars: what a frame gives does not depend on what is translated.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from molbuffer.storage.backends import quote_name
from molbuffer.storage.catalog import ReadableCatalog
from molbuffer.storage.query.sandbox import QueryLimits, sandbox

if TYPE_CHECKING:
    import polars as pl

Condition = tuple[str, list[Any]]
"""SQL with a ``?`` for each of some values."""

_BATCH_ROWS = 100_000
_COMPARISONS = {"Eq": "=", "NotEq": "<>", "Lt": "<", "LtEq": "<=", "Gt": ">", "GtEq": ">="}
_CONNECTIVES = {"And": "AND", "Or": "OR", "LogicalAnd": "AND", "LogicalOr": "OR"}
_TESTS = {"IsNull": "IS NULL", "IsNotNull": "IS NOT NULL"}


def lazy_history(catalog: ReadableCatalog, snapshot: int, limits: QueryLimits) -> pl.LazyFrame:
    """Return ``sample_history`` as of a snapshot as a lazy frame, whose rows are in no particular order.

    Each time the frame is collected it is read from the Parquet files of the snapshot, of which nothing is kept.

    Args:
        catalog: the catalog of the store, which must stay open.
        snapshot: the snapshot.
        limits: the memory that reading may take.

    Raises:
        UnknownSnapshotError: the store has no such snapshot.
    """
    import polars as pl
    from polars.io.plugins import register_io_source

    with sandbox(catalog, snapshot, limits) as connection:
        empty = connection.execute("SELECT * FROM sample_history LIMIT 0").to_arrow_table()
    schema = pl.DataFrame(empty).schema

    def read(
        columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        tree = None if predicate is None else _without_hints(json.loads(predicate.meta.serialize(format="json")))
        remaining = None if tree is None else pl.Expr.deserialize(io.BytesIO(json.dumps(tree).encode()), format="json")
        wanted = list(columns or schema)
        needed = [*wanted, *(name for name in _names(remaining) if name not in wanted)]
        sql, values = history_sql(needed, tree, n_rows)
        with sandbox(catalog, snapshot, limits) as connection:
            for batch in connection.execute(sql, values).to_arrow_reader(batch_size or _BATCH_ROWS):
                frame = pl.DataFrame(batch)
                yield (frame if remaining is None else frame.filter(remaining)).select(wanted)

    return register_io_source(read, schema=schema)


def history_sql(columns: Sequence[str], tree: Any, n_rows: int | None) -> Condition:
    """Return the statement that reads columns of the history, with as much of a condition as SQL can say.

    Args:
        columns: the names of the columns.
        tree: the condition as polars writes it in JSON; None for none.
        n_rows: the most rows that are wanted; they are counted in SQL only where the condition is none.
    """
    sql, values = f"SELECT {', '.join(map(quote_name, columns))} FROM sample_history", []
    parts = [part for part in map(_condition, _conjuncts(tree)) if part is not None]
    if parts:
        sql += " WHERE " + " AND ".join(text for text, _ in parts)
        values = [value for _, found in parts for value in found]
    if n_rows is not None and tree is None:
        sql += f" LIMIT {int(n_rows)}"
    return sql, values


def _names(expression: pl.Expr | None) -> list[str]:
    return [] if expression is None else sorted(set(expression.meta.root_names()))


def _conjuncts(tree: Any) -> Iterator[Any]:
    """Yield the parts of a condition that must all be true."""
    if tree is None:
        return
    joined = tree.get("BinaryExpr")
    if joined is not None and _CONNECTIVES.get(joined["op"]) == "AND":
        yield from _conjuncts(joined["left"])
        yield from _conjuncts(joined["right"])
    else:
        yield tree


def _without_hints(tree: Any) -> Any:
    """Return a condition without the hints of polars' optimizer, which are no expressions; None if nothing is left."""
    left = [part for part in _conjuncts(tree) if "Display" not in part]
    if not left:
        return None
    joined = left[0]
    for part in left[1:]:
        joined = {"BinaryExpr": {"left": joined, "op": "And", "right": part}}
    return joined


def _condition(tree: Any) -> Condition | None:
    """Return a condition as SQL; None where SQL would not say the same."""
    (kind, content), *_ = tree.items()
    if kind == "Column":
        return quote_name(content), []
    if kind == "Function":
        return _function(content)
    if kind == "BinaryExpr":
        if (word := _CONNECTIVES.get(content["op"])) is not None:
            left, right = _condition(content["left"]), _condition(content["right"])
            return None if left is None or right is None else (f"({left[0]} {word} {right[0]})", left[1] + right[1])
        return _comparison(content)
    return None


def _function(content: Any) -> Condition | None:
    name = content["function"].get("Boolean") if isinstance(content["function"], dict) else None
    if not isinstance(name, str) or len(content["input"]) != 1:
        return None
    inner = _condition(content["input"][0])
    if inner is None or not (name == "Not" or name in _TESTS):
        return None
    return (f"(NOT {inner[0]})" if name == "Not" else f"({inner[0]} {_TESTS[name]})"), inner[1]


def _comparison(content: Any) -> Condition | None:
    """Return a comparison of a column with a value; None for any other."""
    column, value = content["left"].get("Column"), _value(content["right"])
    if column is None or value is None or content["op"] not in _COMPARISONS:
        return None
    return f"({quote_name(column)} {_COMPARISONS[content['op']]} ?)", [value]


def _value(tree: Any) -> str | float | bool | None:
    """Return the value of a literal; None for what is none, or has a type that SQL compares in another way."""
    scalar = tree.get("Literal", {}).get("Scalar") if isinstance(tree.get("Literal"), dict) else None
    if not isinstance(scalar, dict) or len(scalar) != 1:
        return None
    (kind, value), *_ = scalar.items()
    # NaN and infinities have no number in JSON, and compare in another way in polars.
    fits = kind in ("String", "Boolean") or kind.startswith(("Int", "UInt")) or kind == "Float64"
    return value if fits and isinstance(value, (str, bool, int, float)) else None
