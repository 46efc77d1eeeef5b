"""The layout of a decoded row in memory and in the cache file: a record of fixed width.

A record has the stored columns of ``Rows`` in the order of their definition. Each column begins at a whole 32-bit word,
so that rows are gathered as rows of one array of words, with one copy of memory for each row, and the columns of the
result are views of this array: float32 columns are aligned, and the last axis of every view is contiguous, as a view of
another type requires. The last word is a checksum (``record_checksums``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molbuffer.storage.rows import BY_AXIS, COLUMNS, STORED, Column, Rows, put

# Widths of axes with lengths are rounded up to a multiple of this, so that slightly longer molecules do not need a new
# layout each time; tokens of one byte then fill a whole number of words.
_WIDTH_STEP = 16
_WORD_BYTES = 4


@dataclass(frozen=True)
class _Field:
    """The words [start, stop) of a record that hold a column."""

    column: Column
    start: int
    stop: int
    dtype: np.dtype[Any]
    width: int

    def view(self, records: NDArray[np.uint32], width: int) -> NDArray[Any]:
        """Return a view of the column of records [n, words], with the first ``width`` numbers of its axis."""
        if self.column.axis is not None:
            return records[:, self.start : self.stop].view(self.dtype)[:, :width]
        if self.dtype.itemsize == _WORD_BYTES:
            return records[:, self.start].view(self.dtype)
        return records[:, self.start : self.stop].view(self.dtype)[:, 0]


def _smallest() -> dict[str, str]:
    return {name: str(column.dtypes[0]) for name, column in STORED.items() if column.required}


@dataclass(frozen=True)
class RowLayout:
    """The shape of a record.

    Attributes:
        dtypes: the type of each column of a record, by name.
        widths: the width of each axis of these columns, by name; a multiple of 16 for an axis with lengths.
    """

    dtypes: Mapping[str, str] = field(default_factory=_smallest)
    widths: Mapping[str, int] = field(default_factory=lambda: {"tokens": _WIDTH_STEP})

    def __post_init__(self) -> None:
        if missing := _smallest().keys() - self.dtypes.keys():
            raise ValueError(f"a record lacks the required columns {', '.join(sorted(missing))}")
        for name, dtype in self.dtypes.items():
            column = STORED.get(name)
            if column is None or dtype not in map(str, column.dtypes):
                types = "no such column" if column is None else f"one of {[str(each) for each in column.dtypes]}"
                raise ValueError(f"a record has {name!r} of type {dtype}, expected {types}")
            width = _WIDTH_STEP if column.axis is None else self.widths.get(column.axis.name, 0)
            rounded = column.axis is None or column.axis.lengths is None or (width > 0 and width % _WIDTH_STEP == 0)
            if width < 0 or not rounded:
                raise ValueError(f"a record has room for {width} {name!r}, expected a multiple of {_WIDTH_STEP}")

    def covering(self, rows: Rows) -> RowLayout:
        """Return the smallest layout that can hold the records of this layout and the given rows."""
        dtypes, widths = {}, dict(self.widths)
        for name, column in STORED.items():
            array, dtype = getattr(rows, name), self.dtypes.get(name)
            if array is not None:
                dtype = str(array.dtype if dtype is None else np.result_type(array.dtype, dtype))
                if (axis := column.axis) is not None:
                    width = array.shape[1] if axis.lengths is None else _rounded_up(array.shape[1])
                    widths[axis.name] = max(widths.get(axis.name, 0), width)
            if dtype is not None:
                dtypes[name] = dtype
        return RowLayout(dtypes, widths)

    @property
    def words(self) -> int:
        """The number of 32-bit words of a record, including its checksum."""
        return self._fields[-1].stop + 1

    @property
    def record_bytes(self) -> int:
        """The size of a record in bytes."""
        return self.words * _WORD_BYTES

    def split(self, records: NDArray[np.uint32]) -> Rows:
        """Return the rows in records [n, words], as views."""
        return Rows(**self.columns(records))

    def columns(self, records: NDArray[np.uint32], optional: Mapping[str, int] | None = None) -> dict[str, Any]:
        """Return the columns of the rows in records [n, words], by name, as views.

        Args:
            records: records of this layout.
            optional: the optional columns to return, with the widths of columns whose axis has no lengths; None means
                all columns.
        """
        columns: dict[str, Any] = {}
        for item in self._fields:
            width = item.width
            if optional is not None and not item.column.required:
                if item.column.name not in optional:
                    continue
                if (axis := item.column.axis) is not None and axis.lengths is None:
                    width = max(optional.get(name, 0) for name in BY_AXIS[axis])
            columns[item.column.name] = item.view(records, width)
        return columns

    def pack(self, rows: Rows) -> NDArray[np.uint32]:
        """Return the records [n, words] of rows that this layout can hold, without checksums."""
        records = np.zeros((len(rows), self.words), np.uint32)
        for name, array in self.columns(records).items():
            put(array, slice(None), getattr(rows, name), COLUMNS[name].fill)
        return records

    def repack(self, records: NDArray[np.uint32], old: RowLayout) -> NDArray[np.uint32]:
        """Return records of this layout from records of another layout that this one covers, without checksums."""
        return self.pack(old.split(records))

    @cached_property
    def _fields(self) -> tuple[_Field, ...]:
        fields, start = [], 0
        for name, column in STORED.items():
            if name in self.dtypes:
                dtype = np.dtype(self.dtypes[name])
                width = 1 if column.axis is None else self.widths[column.axis.name]
                stop = start - (-width * dtype.itemsize // _WORD_BYTES)
                fields.append(_Field(column, start, stop, dtype, width))
                start = stop
        return tuple(fields)


def _rounded_up(width: int) -> int:
    return -(-max(1, width) // _WIDTH_STEP) * _WIDTH_STEP
