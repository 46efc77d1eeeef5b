"""A DuckLake transaction: its reads, its inserts, and the Parquet files that it writes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

import duckdb
import pyarrow as pa

from molbuffer.storage.backends import quote, quote_name
from molbuffer.storage.catalog.schema.views import bind

_TARGET_FILE_SIZE = "512MB"  # DuckLake's own default.


class Lake(Protocol):
    """The part of a catalog that a transaction needs; ``Catalog`` documents it."""

    @property
    def alias(self) -> str: ...
    def newest(self, cursor: duckdb.DuckDBPyConnection | None = None) -> int: ...
    def table(self, name: str, snapshot: int | None = None) -> str: ...
    def parquet_files(self, table: str) -> set[str]: ...
    def without_empty(self, sql: str, newest: int, changed: Collection[str] = ()) -> str: ...
    def run(
        self,
        cursor: duckdb.DuckDBPyConnection,
        sql: str,
        *,
        parameters: Sequence[Any] | None = None,
        tables: Mapping[str, pa.Table] | None = None,
    ) -> pa.Table: ...


class Transaction:
    """A DuckLake transaction, whose inserts become visible together or not at all.

    Args:
        catalog: the catalog of the store.
        cursor: the cursor on which the transaction was begun.

    Attributes:
        snapshot: the snapshot at which the transaction began, or after its end the snapshot that it made, if any.
        changed: whether the transaction changed anything.
    """

    def __init__(self, catalog: Lake, cursor: duckdb.DuckDBPyConnection) -> None:
        self._catalog = catalog
        self._cursor = cursor
        self._files_before: dict[str, set[str]] = {}
        self._merged: set[str] = set()
        self.snapshot = self._started = catalog.newest(cursor)
        self.changed = False

    def read(self, sql: str, parameters: Sequence[Any] | None = None, **tables: pa.Table) -> pa.Table:
        """Return the result of trusted SQL as ``Catalog.read`` does, including the inserts of this transaction."""
        reading = self._catalog.without_empty(sql, self._started, self._files_before)
        return self._catalog.run(self._cursor, reading, parameters=parameters, tables=tables)

    def watch(self, tables: Iterable[str]) -> None:
        """Watch tables for new Parquet files, so that these are synced and their checksums are recorded."""
        for table in tables:
            if table not in self._files_before:
                self._files_before[table] = self._catalog.parquet_files(table)

    def insert(self, table: str, rows: pa.Table) -> None:
        """Add rows to a table by column name; without rows, do nothing and make no file."""
        if rows.num_rows:
            self.watch([table])
            self.change(f"INSERT INTO {{{table}}} BY NAME SELECT * FROM incoming", incoming=rows)

    def insert_select(self, table: str, select: str, **tables: pa.Table) -> int:
        """Add the rows of a trusted SELECT to a table by column name, without copying them through Python.

        Args:
            table: the name of the table.
            select: the SELECT. ``{name}`` stands for a table of this catalog; a table of another catalog is named by
                that catalog's ``table``.
            tables: Arrow tables, which the SELECT names by the names of these arguments.

        Returns:
            The number of rows that were added.
        """
        before = self._catalog.parquet_files(table)
        sql = bind(f"INSERT INTO {{{table}}} BY NAME {select}", self._catalog.table)
        added: int = self._catalog.run(self._cursor, sql, tables=tables)[0][0].as_py()
        if added:
            self._files_before.setdefault(table, before)
            self.changed = True
        return added

    def merge_files(self, table: str, target_bytes: int, merges: int = 1) -> int:
        """Merge a table's first adjacent Parquet files smaller than ``target_bytes``.

        The rows of each snapshot stay the same: rows keep the number of the snapshot that added them.

        Args:
            table: the name of the table.
            target_bytes: the approximate size of a merged file, in bytes.
            merges: the largest number of merged files to make.

        Returns:
            The number of files that were merged; 0 if no two files can be merged.
        """
        before = self._catalog.parquet_files(table)
        merged = self._merge_adjacent(table, target_bytes, merges)
        if merged:
            self._merged.add(table)
            self._files_before.setdefault(table, before)
            self.changed = True
        return merged

    def _merge_adjacent(self, table: str, target_bytes: int, merges: int) -> int:
        alias = self._catalog.alias
        of_table = f"schema => 'main', table_name => {quote(table)}"
        set_target = f"CALL {quote_name(alias)}.set_option('target_file_size', ?, {of_table})"
        # DuckLake limits a merge only by this option of the table, which also affects inserts: it is reset at once.
        self.read(set_target, [f"{target_bytes // 1000}KB"])
        options = f"schema => 'main', max_compacted_files => {int(merges)}"
        merged = self.read(f"CALL ducklake_merge_adjacent_files({quote(alias)}, {quote(table)}, {options})")
        self.read(set_target, [_TARGET_FILE_SIZE])
        return sum(merged["files_processed"].to_pylist())

    def new_files(self) -> dict[str, set[str]]:
        """Return the new Parquet files by table: only this transaction writes files while it holds the lock."""
        return {table: self._catalog.parquet_files(table) - before for table, before in self._files_before.items()}

    @property
    def merged(self) -> frozenset[str]:
        """The tables whose files were merged: their new files have only rows that older files have as well."""
        return frozenset(self._merged)

    def change(self, sql: str, **tables: pa.Table) -> None:
        """Execute trusted SQL that changes the store; ``{name}`` stands for a table.

        New files are only noticed in tables that are watched.
        """
        self.changed = True
        self._catalog.run(self._cursor, bind(sql, self._catalog.table), tables=tables)
