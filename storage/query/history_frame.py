"""The history of samples as a lazy polars frame, which reads only the selected columns and, if possible, rows.

polars passes the columns and the condition of a query to the source of a frame. The condition is a JSON tree.
Comparisons of columns with numbers, texts and truth values, and combinations of them with AND, OR, NOT and IS NULL,
become SQL with bound values, so that DuckDB skips row groups that cannot fulfil them. polars then applies the whole
condition again, so that the result does not depend on the parts that were translated.
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
"""SQL, and the values for each ``?`` in it."""

_BATCH_ROWS = 100_000
_COMPARISONS = {"Eq": "=", "NotEq": "<>", "Lt": "<", "LtEq": "<=", "Gt": ">", "GtEq": ">="}
_CONNECTIVES = {"And": "AND", "Or": "OR", "LogicalAnd": "AND", "LogicalOr": "OR"}
_TESTS = {"IsNull": "IS NULL", "IsNotNull": "IS NOT NULL"}


def lazy_history(catalog: ReadableCatalog, snapshot: int, limits: QueryLimits) -> pl.LazyFrame:
    """Return ``sample_history`` at a snapshot as a lazy frame, whose rows are in no particular order.

    Each collection of the frame reads the Parquet files of the snapshot again.

    Args:
        catalog: the catalog of the store, which must stay open.
        snapshot: the snapshot.
        limits: the limits, of which only the memory applies.

    Raises:
        UnknownSnapshotError: the store does not have the snapshot.
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
    """Return the SQL that reads columns of the history, with the parts of a condition that SQL can express.

    Args:
        columns: the names of the columns.
        tree: the condition as JSON from polars; None for no condition.
        n_rows: the largest number of rows; the SQL has a LIMIT only without a condition.
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
    """Return a condition as SQL; None if SQL cannot express exactly the same."""
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
    """Return a comparison of a column with a value as SQL; None for any other comparison."""
    column, value = content["left"].get("Column"), _value(content["right"])
    if column is None or value is None or content["op"] not in _COMPARISONS:
        return None
    return f"({quote_name(column)} {_COMPARISONS[content['op']]} ?)", [value]


def _value(tree: Any) -> str | float | bool | None:
    """Return the value of a literal; None for other expressions, and for types that SQL compares in another way."""
    scalar = tree.get("Literal", {}).get("Scalar") if isinstance(tree.get("Literal"), dict) else None
    if not isinstance(scalar, dict) or len(scalar) != 1:
        return None
    (kind, value), *_ = scalar.items()
    # NaN and infinities are no numbers in JSON, and polars compares them in another way.
    fits = kind in ("String", "Boolean") or kind.startswith(("Int", "UInt")) or kind == "Float64"
    return value if fits and isinstance(value, (str, bool, int, float)) else None
