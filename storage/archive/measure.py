"""Measurement of the memory that the rows of an archive take, before this process reads the first of them.

A few kilobytes can decode to gigabytes, whatever size they state. All tables are therefore decoded once in a process
that is killed when it takes too much memory. The result is the true size of all rows and of the largest row, so that
later batches never have more rows than fit into a limited memory.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from molbuffer.storage.archive.tables import ArchivedTable
from molbuffer.storage.backends import quote, quote_name
from molbuffer.storage.catalog import BATCH_ROWS
from molbuffer.storage.errors import ArchiveError, ArchiveFault, QueryError
from molbuffer.storage.query import ClosedDatabase, QueryLimits, read_apart

_PORTION_BYTES = 64 * 10**6
# The limits of the process that decodes all tables once; it gets 2 s for each megabyte, which takes about 0.1 s.
_APART = QueryLimits(seconds=60, memory="512MB")
_SECONDS_A_BYTE = 2e-6
# The limits of the decoded size of a table for each byte of its files. Rows that name a run, a build and an objective
# take hundreds of bytes decoded and almost none in a file, but each row of a table that is read whole has its own id.
_MOST_DECODED, _AND_FOR_EACH_BYTE, _OF_WHOLE_TABLES = 256 * 10**6, 20_000, 100
_READ_WHOLE = frozenset({"runs", "run_events", "builds", "policies"})


class RowSizes:
    """The sizes of the rows of an archive, measured once at the first use.

    Args:
        folder: the folder of the archive.
        database: the isolated database of its tables.
        tables: its tables.
    """

    def __init__(self, folder: Path, database: ClosedDatabase, tables: Sequence[ArchivedTable]) -> None:
        self._folder = folder
        self._database = database
        self._tables = {table.name: table for table in tables if table.paths}
        self._lock = threading.Lock()
        self._batch_rows: int | None = None

    def batch_rows(self) -> int:
        """Return the largest number of rows of a batch, which fits into its memory even if all rows are the largest.

        Raises:
            ArchiveError: the rows of a table cannot be decoded, or take too much memory.
        """
        with self._lock:
            if self._batch_rows is None:
                self._batch_rows = self._measure() if self._tables else BATCH_ROWS
            return self._batch_rows

    def _measure(self) -> int:
        size = sum(table.bytes for table in self._tables.values())
        limits = QueryLimits(_APART.seconds + size * _SECONDS_A_BYTE, _APART.memory)
        sql = " UNION ALL ".join(map(_size_sql, self._tables.values()))
        try:
            found = read_apart(self._database, sql, limits).to_pylist()
        except QueryError as error:
            said = f"{self._folder}: its tables cannot be decoded as they should: {error}"
            raise ArchiveError(said, ArchiveFault.MEMORY) from error
        for measured in found:
            table = self._tables[measured["name"]]
            factor = _OF_WHOLE_TABLES if table.name in _READ_WHOLE else _AND_FOR_EACH_BYTE
            if measured["rows"] != table.rows:
                said = f"{self._folder}: {table.name} has {measured['rows']} rows, not {table.rows}"
                raise ArchiveError(said, ArchiveFault.ROWS)
            if measured["bytes"] > _MOST_DECODED + factor * table.bytes:
                raise ArchiveError(
                    f"{self._folder}: the rows of {table.name} take {measured['bytes']} bytes, which is far too much "
                    f"for files of {table.bytes} bytes: refused",
                    ArchiveFault.MEMORY,
                )
        widest = sum(measured["widest"] for measured in found)
        return int(max(1, min(BATCH_ROWS, _PORTION_BYTES // max(1, widest))))


def _size_sql(table: ArchivedTable) -> str:
    """Return a SELECT of the sizes of the rows of a table: name, rows, widest (bytes of the largest row), bytes.

    The SELECT decodes every column.
    """
    texts = [quote_name(column.name) for column in table.columns if column.kind == "VARCHAR"]
    others = [quote_name(column.name) for column in table.columns if column.kind != "VARCHAR"]
    width = " + ".join([f"{8 * len(table.columns)}", *(f"coalesce(strlen({name}), 0)" for name in texts)])
    return f"""SELECT {quote(table.name)} AS name, count(*)::BIGINT AS "rows", coalesce(max({width}), 0) AS widest,
        coalesce(sum({width}), 0)::BIGINT AS bytes, bit_xor(hash({", ".join(others)})) AS decoded
        FROM {quote_name(table.name)}"""
