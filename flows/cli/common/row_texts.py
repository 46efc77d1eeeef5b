"""Rows as text: a value as JSON, and a row as a record of an SD file with all of its values as properties."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

from molbuffer.flows.errors import UsageError

if TYPE_CHECKING:
    import pyarrow

SMILES, TITLE = "smiles", "name"
"""The columns of the molecules of an SD file, and of the titles of its records."""


def json_text(value: Any) -> str:
    """Return a value of a row as JSON without loss: numbers with all digits, times in ISO 8601, bytes in hex."""
    match value:
        case bool() | None | str():
            return json.dumps(value, ensure_ascii=False)
        case int():
            return str(value)
        case float():
            return repr(value) if math.isfinite(value) else json.dumps(value).join('""')
        case Decimal():
            return format(value, "f")
        case bytes():
            return f'"{value.hex()}"'
        case datetime():
            return f'"{value.isoformat().replace("+00:00", "Z")}"'
        case date() | time():
            return f'"{value.isoformat()}"'
        case timedelta():
            return f'"{to_jsonable_python(value, timedelta_mode="iso8601")}"'
        case list():
            return f"[{', '.join(map(json_text, value))}]"
        case dict():
            # The keys of a map may be numbers; those of JSON are texts.
            names = (name if isinstance(name, str) else json_text(name).strip('"') for name in value)
            pairs = zip(map(json_text, names), map(json_text, value.values()), strict=True)
            return "{" + ", ".join(f"{name}: {item}" for name, item in pairs) + "}"
        case _:
            raise TypeError(f"rows have no values of the type {type(value).__name__}")


class SdfRecords:
    """A converter of rows to records of an SD file, which counts rows without a molecule.

    Args:
        columns: the names of the columns.

    Attributes:
        left_out: the number of rows so far that have no molecule and are left out.

    Raises:
        UsageError: there is no column ``smiles``.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        if SMILES not in columns:
            raise UsageError(f"the format sdf needs a column `{SMILES}`, got {', '.join(columns)}")
        self.left_out = 0

    def of(self, rows: Iterator[Mapping[str, Any]]) -> Iterator[str]:
        """Yield the record of each row that has a molecule; null values are left out of its properties."""
        # The import is here since only this format needs RDKit.
        from molbuffer.scoring import sdf_record

        for row in rows:
            texts = {name: _text(value) for name, value in row.items() if value is not None}
            record = sdf_record(texts.get(SMILES, ""), texts, texts.get(TITLE, ""))
            if record is None:
                self.left_out += 1
            else:
                yield record

    @property
    def message(self) -> str | None:
        """The message about the rows that were left out; None if there are none."""
        if not self.left_out:
            return None
        rows = "1 row" if self.left_out == 1 else f"{self.left_out} rows"
        return f"left out: {rows} without a molecule, which an SD file cannot hold"


@contextmanager
def sdf_file(
    path: Path, schema: pyarrow.Schema, *, compressed: bool, report: Callable[[str], None]
) -> Iterator[SdfBatches]:
    """Open an SD file that ``SampleStore.export`` writes.

    Args:
        path: the file.
        schema: the columns of the rows.
        compressed: whether the file is compressed by gzip.
        report: is called with the message about rows that were left out.
    """
    records = SdfRecords(schema.names)
    with gzip.open(path, "wt", encoding="utf-8") if compressed else path.open("w", encoding="utf-8") as file:
        yield SdfBatches(records, file)
    if records.message is not None:
        report(records.message)


@dataclass(frozen=True)
class SdfBatches:
    """An SD file that is written in batches of rows."""

    records: SdfRecords
    file: IO[str]

    def write_batch(self, batch: pyarrow.RecordBatch) -> None:
        """Write the records of a batch of rows."""
        self.file.writelines(self.records.of(iter(batch.to_pylist())))


def _text(value: Any) -> str:
    """Return a value as in CSV: a text as it is, any other value as JSON without quotes."""
    if isinstance(value, str):
        return value
    text = json_text(value)
    return str(json.loads(text)) if text.startswith('"') else text
