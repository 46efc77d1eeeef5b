"""The output of commands: results on standard output, everything else on standard error."""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

from molbuffer.flows.cli.common.formats import Format, is_compressed
from molbuffer.flows.cli.common.notes import note, printable
from molbuffer.flows.cli.common.row_texts import SdfRecords, json_text
from molbuffer.flows.errors import UsageError

if TYPE_CHECKING:
    import polars

WIDEST_PIPE = 100_000
"""The width in characters that is assumed if the output is no terminal, so that a table in a file is never cut off."""


@contextmanager
def output_kept_for_results() -> Iterator[None]:
    """Redirect everything that is printed in this context to standard error.

    Scoring functions of users print, and so do programs that these start. Such a line before a command's JSON would
    make the JSON unreadable, so the file descriptor itself is redirected, which child processes inherit.
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
    """Return a value with JSON types: NaN and infinities become null, dates ISO 8601, bytes hexadecimal."""
    return to_jsonable_python(value, inf_nan_mode="null", bytes_mode="hex", timedelta_mode="float")


def as_json(value: Any) -> str:
    """Return a value as JSON text, with a line for each row."""
    if isinstance(value, list):
        return "[" + ",\n ".join(json.dumps(plain(row), ensure_ascii=False) for row in value) + "]"
    return json.dumps(plain(value), ensure_ascii=False, indent=1)


def shown_bytes(count: int) -> str:
    """Return a size as text in MB, or in kB below 1 MB."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def write_text(text: str, out: Path | None = None) -> None:
    """Write a result to a file, or to standard output."""
    text = text if not text or text.endswith("\n") else text + "\n"
    if out is None:
        # A name of a file may have bytes that are no text.
        sys.stdout.write(text.encode(errors="backslashreplace").decode())
    else:
        with gzip.open(out, "wb") if is_compressed(out) else out.open("wb") as file:
            file.write(text.encode())


def write_frame(frame: polars.DataFrame, form: Format, out: Path | None = None, *, exact: bool = False) -> None:
    """Write rows to a file or to standard output; Parquet, which is no text, can only go to a file.

    CSV, JSON and Parquet keep every value exactly, and so does a table with ``exact``. In text formats, bytes are
    hexadecimal, durations are ISO 8601, and lists and structures in CSV and tables are JSON. JSON has no numbers for
    NaN and infinities: there they are the texts "NaN", "Infinity" and "-Infinity".

    Args:
        frame: the rows.
        form: the format.
        out: the file; None is standard output.
        exact: whether a table shows all digits of numbers and times; otherwise four digits, and times to the second.

    Raises:
        UsageError: the rows cannot have the format.
    """
    _refuse_objects(frame)
    if form is not Format.PARQUET:
        frame = _with_times_as_text(frame)
    match form:
        case Format.JSON:
            write_text("[" + ",\n ".join(map(json_text, frame.to_dicts())) + "]", out)
        case Format.JSONL:
            write_text("".join(f"{json_text(row)}\n" for row in frame.iter_rows(named=True)), out)
        case Format.CSV:
            write_text(_without_nesting(frame).write_csv(), out)
        case Format.TSV:
            write_text(_without_nesting(frame).write_csv(separator="\t"), out)
        case Format.SMILES:
            write_text("".join(f"{smiles}\n" for smiles in _smiles_of(frame)), out)
        case Format.SDF:
            records = SdfRecords(frame.columns)
            write_text("".join(records.of(frame.iter_rows(named=True))), out)
            if records.message is not None:
                note(records.message)
        case Format.TABLE:
            write_text(table(frame.columns, frame.rows(), exact=exact), out)
        case Format.PARQUET:
            assert out is not None
            frame.write_parquet(out)


def _refuse_objects(frame: polars.DataFrame) -> None:
    """Refuse columns of Python objects, which no format can hold."""
    import polars

    if objects := [name for name, kind in frame.schema.items() if kind == polars.Object]:
        raise UsageError(f"no format can hold the values of the columns {', '.join(objects)}; cast them to text")


def _with_times_as_text(frame: polars.DataFrame) -> polars.DataFrame:
    """Return the rows with durations as text, and also times whose nanoseconds Python would cut off."""
    import polars

    def is_finer(name: str, kind: polars.DataType) -> bool:
        in_nanoseconds = kind == polars.Time or (isinstance(kind, polars.Datetime) and kind.time_unit == "ns")
        return in_nanoseconds and bool((frame[name].to_physical() % 1000 != 0).any())

    columns = [name for name, kind in frame.schema.items() if kind == polars.Duration or is_finer(name, kind)]
    return frame.with_columns(polars.col(columns).dt.to_string("iso:strict"))


def _smiles_of(frame: polars.DataFrame) -> list[str]:
    """Return the SMILES of rows without nulls.

    Raises:
        UsageError: the rows have no column ``smiles``.
    """
    if "smiles" not in frame.columns:
        raise UsageError(f"the format smiles needs a column `smiles`, got {', '.join(frame.columns)}")
    return [str(smiles) for smiles in frame["smiles"].to_list() if smiles is not None]


def table(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None = None, *, exact: bool = False
) -> str:
    """Return rows as a text table, as wide as the terminal or, without a terminal, as its content."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    for column in columns:
        grid.add_column(Text(printable(column)), overflow="fold")
    for row in rows:
        grid.add_row(*(Text(printable(_cell(value, exact))) for value in row))
    console = Console(width=None if sys.stdout.isatty() else WIDEST_PIPE, highlight=False)
    with console.capture() as captured:
        console.print(grid)
    return "\n".join(line.rstrip() for line in captured.get().splitlines() if line.strip())


def _cell(value: Any, exact: bool) -> str:
    match value:
        case None:
            return ""
        case float():
            return repr(value) if exact else f"{value:.4g}"
        case datetime():
            return value.isoformat(" ", "auto" if exact else "seconds")
        case bool():
            return "yes" if value else "no"
        case bytes():
            return value.hex()
        case Decimal():
            return format(value, "f")
        case str() | int() | date() | time():
            return str(value)
        case list() | dict():
            return json_text(value)
        case _:
            return json.dumps(plain(value), ensure_ascii=False)


def _without_nesting(frame: polars.DataFrame) -> polars.DataFrame:
    """Return the rows with nested values as JSON text and bytes as hexadecimal, for which CSV has no notation."""
    import polars

    nested = [name for name, kind in frame.schema.items() if kind.is_nested()]
    texts = {name: [None if v is None else json_text(v) for v in frame[name].to_list()] for name in nested}
    return frame.with_columns(
        [
            *(polars.Series(name, values, polars.String) for name, values in texts.items()),
            polars.col([name for name, kind in frame.schema.items() if kind == polars.Binary]).bin.encode("hex"),
        ]
    )


@contextmanager
def progress_of(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on standard error if that is a terminal; return the function that moves it."""
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
