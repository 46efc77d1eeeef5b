"""The output of commands: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

if TYPE_CHECKING:
    import polars

WIDEST_PIPE = 100_000
"""Columns assumed where the output is no terminal, so that a table in a file or a pipe is never cut off."""


class Format(StrEnum):
    """A format of rows."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


def note(text: str) -> None:
    """Write a line for people to standard error: standard output is for results."""
    sys.stderr.write(text + "\n")


@contextmanager
def output_kept_for_results() -> Iterator[None]:
    """Send to standard error whatever is printed in the meantime.

    Scoring functions of users print, and so do programs that these start. Such a line before a command's JSON would
    make it unreadable, so the file descriptor itself is redirected, which child processes inherit.
    """
    sys.stdout.flush()
    results = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(results, 1)
        os.close(results)


def plain(value: Any) -> Any:
    """Return a value as JSON has it: NaN and infinities become null, dates ISO 8601, bytes hexadecimal."""
    return to_jsonable_python(value, inf_nan_mode="null", bytes_mode="hex", timedelta_mode="float")


def as_json(value: Any) -> str:
    """Return a value as JSON text, with a line for each row."""
    if isinstance(value, list):
        return "[" + ",\n ".join(json.dumps(plain(row), ensure_ascii=False) for row in value) + "]"
    return json.dumps(plain(value), ensure_ascii=False, indent=1)


def write_text(text: str, out: Path | None = None) -> None:
    """Write a result to a file, or to standard output."""
    if out is None:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
    else:
        out.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")


def write_frame(frame: polars.DataFrame, form: Format, out: Path | None = None) -> None:
    """Write rows to a file, or to standard output; Parquet, which is no text, only to a file."""
    match form:
        case Format.JSON:
            write_text(as_json(_without_decimals(frame).to_dicts()), out)
        case Format.CSV:
            write_text(_without_nesting(frame).write_csv(), out)
        case Format.TABLE:
            write_text(table(frame.columns, _without_decimals(frame).rows()), out)
        case Format.PARQUET:
            assert out is not None
            frame.write_parquet(out)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None = None) -> str:
    """Return rows as a table for people, as wide as the terminal or, elsewhere, as its content."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    for column in columns:
        grid.add_column(Text(column), overflow="fold")
    for row in rows:
        grid.add_row(*(Text(_cell(value)) for value in row))
    console = Console(width=None if sys.stdout.isatty() else WIDEST_PIPE, highlight=False)
    with console.capture() as captured:
        console.print(grid)
    return "\n".join(line.rstrip() for line in captured.get().splitlines() if line.strip())


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case float():
            return f"{value:.4g}"
        case datetime():
            return value.isoformat(" ", "seconds")
        case bool():
            return "yes" if value else "no"
        case str() | int():
            return str(value)
        case _:
            return json.dumps(plain(value), ensure_ascii=False)


def _without_decimals(frame: polars.DataFrame) -> polars.DataFrame:
    """Return the rows with decimals as floating-point numbers, which JSON has a notation for."""
    return frame.cast({name: _as_float(kind) for name, kind in frame.schema.items()})


def _as_float(kind: Any) -> Any:
    import polars

    match kind:
        case polars.Decimal():
            return polars.Float64()
        case polars.List():
            return polars.List(_as_float(kind.inner))
        case polars.Struct():
            return polars.Struct({field.name: _as_float(field.dtype) for field in kind.fields})
        case _:
            return kind


def _without_nesting(frame: polars.DataFrame) -> polars.DataFrame:
    """Return the rows with lists and structures as JSON text, since CSV has no notation for them."""
    import polars

    nested = [name for name, kind in frame.schema.items() if kind.is_nested() or kind == polars.Binary]
    floats = _without_decimals(frame)
    texts = {name: [None if v is None else json.dumps(plain(v)) for v in floats[name].to_list()] for name in nested}
    return frame.with_columns(polars.Series(name, values, polars.String) for name, values in texts.items())


@contextmanager
def progress_of(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on standard error, if that is a terminal; return the function that moves it."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done: bar.update(task, completed=done)


def write_result(result: Mapping[str, Any], json: bool) -> None:
    """Write the result of a flow: as JSON, or with a line for each value that is no list."""
    if json:
        write_text(as_json(result))
        return
    plain = {name: value for name, value in result.items() if not isinstance(value, list)}
    width = max(map(len, plain))
    write_text("\n".join(f"{name:<{width}}  {value}" for name, value in plain.items()))
