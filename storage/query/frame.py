"""The result of a user's query as a polars frame with exactly the values of DuckDB, or else an error.

Every value of a frame can be written as a table, CSV, JSON, Parquet or Python objects. DuckDB has some values that
Python cannot represent (dates before the year 1 and after 9999, infinity, the time 24:00), and the libraries in between
convert them to other values. A result with such a value is refused with the name of its column, which the user can cast
to text.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from molbuffer.storage.backends import one_line
from molbuffer.storage.errors import QueryError

if TYPE_CHECKING:
    import polars as pl

_DAY_SECONDS = 86_400
_FIRST, _LAST = (
    int(moment.timestamp()) // _DAY_SECONDS
    for moment in (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC))
)
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def frame(table: pa.Table) -> pl.DataFrame:
    """Return a result as a polars frame.

    A second column of one name gets a number, and sums of integers become integers.

    Raises:
        QueryError: a column has a value that Python cannot represent, or a type that polars does not have.
    """
    # Imported here, since processes that build and commit do not need polars, whose import is a fifth of the store's.
    import polars as pl

    names: list[str] = []
    for name in table.column_names:
        taken = sum(other == name or other.startswith(f"{name}_") for other in names)
        names.append(f"{name}_{taken}" if name in names else name)
    for name, column in zip(names, table.columns, strict=True):
        _check_times(name, column)
    try:
        found = pl.DataFrame(table.rename_columns(names))
    except pl.exceptions.PolarsError as error:
        raise QueryError(
            f"the result has a type that no table can hold ({one_line(error)}); cast it to text"
        ) from error
    # DuckDB sums integers in 128 bits, which Arrow represents as decimals.
    sums = [name for name, kind in found.schema.items() if kind == pl.Decimal(38, 0)]
    fit = [name for name in sums if found[name].cast(pl.Int64, strict=False).null_count() == found[name].null_count()]
    return found.with_columns(pl.col(fit).cast(pl.Int64))


def _check_times(name: str, column: pa.ChunkedArray) -> None:
    for leaf in _leaves(column):
        if (limits := _limits(leaf.type)) is None or not len(leaf):
            continue
        first, last = limits
        numbers = leaf.cast(pa.int32() if pa.types.is_date32(leaf.type) else pa.int64())
        found = pc.min_max(numbers).as_py()
        if found["min"] is not None and (found["min"] < first or found["max"] > last):
            raise QueryError(
                f"the column {name!r} has a time that exists only in DuckDB, such as a date BC, infinity or 24:00:00; "
                "expected dates of the years 1 to 9999 and times before 24:00. Cast it to VARCHAR"
            )


def _limits(kind: pa.DataType) -> tuple[int, int] | None:
    """Return the least and the greatest number of a time type that Python can represent; None for other types."""
    if pa.types.is_date32(kind):
        return _FIRST, _LAST
    if pa.types.is_timestamp(kind):
        unit = _PER_SECOND[kind.unit]
        return _FIRST * _DAY_SECONDS * unit, (_LAST + 1) * _DAY_SECONDS * unit - 1
    if pa.types.is_time64(kind):
        return 0, _DAY_SECONDS * _PER_SECOND[kind.unit] - 1
    return None


def _leaves(column: pa.ChunkedArray | pa.Array) -> Iterator[pa.Array]:
    """Yield the innermost arrays of a column, whose type may be nested, without null values of lists."""
    if isinstance(column, pa.ChunkedArray):
        for chunk in column.chunks:
            yield from _leaves(chunk)
    elif pa.types.is_struct(column.type):
        for part in column.flatten():
            yield from _leaves(part)
    elif pa.types.is_map(column.type):
        yield from _leaves(column.keys)
        yield from _leaves(column.items)
    elif pa.types.is_nested(column.type):
        yield from _leaves(column.flatten())
    else:
        yield column
