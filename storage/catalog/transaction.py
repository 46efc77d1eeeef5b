"""One DuckLake transaction: its reads, its inserts, and the Parquet files that they made."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

import duckdb
import pyarrow as pa

from molbuffer.storage.backends import quote, quote_name
from molbuffer.storage.catalog.schema.views import bind

_TARGET_FILE_SIZE = "512MB"  # DuckLake's own default.


class Lake(Protocol):
    """The part of its catalog that a transaction needs; ``Catalog`` documents it."""

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
    """One DuckLake transaction: everything inserted becomes visible together or not at all.

    Args:
        catalog: of the store.
        cursor: on which the transaction was begun.

    Attributes:
        snapshot: the snapshot that the transaction started from, and after its end the one that it made, if any.
        changed: whether it inserted anything.
    """

    def __init__(self, catalog: Lake, cursor: duckdb.DuckDBPyConnection) -> None:
        self._catalog = catalog
        self._cursor = cursor
        self._files_before: dict[str, set[str]] = {}
        self._merged: set[str] = set()
        self.snapshot = self._started = catalog.newest(cursor)
        self.changed = False

    def read(self, sql: str, parameters: Sequence[Any] | None = None, **tables: pa.Table) -> pa.Table:
        """Return the result of trusted SQL as ``Catalog.read`` does, with what this transaction inserted."""
        reading = self._catalog.without_empty(sql, self._started, self._files_before)
        return self._catalog.run(self._cursor, reading, parameters=parameters, tables=tables)

    def watch(self, tables: Iterable[str]) -> None:
        """Watch tables for new Parquet files, so that these are synced and their checksums kept."""
        for table in tables:
            if table not in self._files_before:
                self._files_before[table] = self._catalog.parquet_files(table)

    def insert(self, table: str, rows: pa.Table) -> None:
        """Add rows to a table by column name; an empty table adds nothing and makes no file."""
        if rows.num_rows:
            self.watch([table])
            self.change(f"INSERT INTO {{{table}}} BY NAME SELECT * FROM incoming", incoming=rows)

    def insert_select(self, table: str, select: str, **tables: pa.Table) -> int:
        """Add the rows of a trusted SELECT, by column name, without taking them through Python.

        Args:
            select: ``{name}`` stands for a table of this catalog; another catalog's are named by its ``table``.

        Returns:
            How many rows were added.
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

        What is visible at each snapshot stays as it is: rows keep the number of the snapshot that added them.

        Args:
            table: the table.
            target_bytes: how large the files that are merged into one are together, about.
            merges: how many merged files are made, at most.

        Returns:
            How many files were merged; 0 when no two can be.
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
        # DuckLake bounds a merge by this option of the table only, which inserts heed as well: it is set back at once.
        self.read(set_target, [f"{target_bytes // 1000}KB"])
        options = f"schema => 'main', max_compacted_files => {int(merges)}"
        merged = self.read(f"CALL ducklake_merge_adjacent_files({quote(alias)}, {quote(table)}, {options})")
        self.read(set_target, [_TARGET_FILE_SIZE])
        return sum(merged["files_processed"].to_pylist())

    def new_files(self) -> dict[str, set[str]]:
        """Return the Parquet files that this transaction wrote: nobody else writes any while the lock is held."""
        return {table: self._catalog.parquet_files(table) - before for table, before in self._files_before.items()}

    @property
    def merged(self) -> frozenset[str]:
        """The tables in which it merged files: their new ones have only rows that others have, too."""
        return frozenset(self._merged)

    def change(self, sql: str, **tables: pa.Table) -> None:
        """Execute trusted SQL that changes the store; ``{name}`` stands for a table.

        Files that it writes are noticed only in tables that are watched.
        """
        self.changed = True
        self._catalog.run(self._cursor, bind(sql, self._catalog.table), tables=tables)
