"""The Parquet files of a table at a snapshot, from DuckLake's own tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from molbuffer.storage.backends import quote, quote_name
from molbuffer.storage.errors import StoreFormatError
from molbuffer.storage.files import Place

Metadata = Callable[[str, Mapping[str, Any]], list[tuple[Any, ...]]]
"""A function that reads DuckLake's own tables with SQL, as ``Catalog.metadata`` does."""

# DuckLake's names of types that DuckDB does not know or reads as another type.
_TYPES = {"int8": "TINYINT", "float32": "FLOAT", "float64": "DOUBLE"}
_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\([0-9]+(, ?[0-9]+)?\))?", re.ASCII)
_COLUMNS = """SELECT table_name, column_name, column_type, column_id, initial_default
    FROM METADATA.ducklake_column AS part JOIN METADATA.ducklake_table AS whole USING (table_id)
    WHERE part.end_snapshot IS NULL AND whole.end_snapshot IS NULL ORDER BY column_order"""
_LATER_COLUMNS = """SELECT column_name, column_type, initial_default, whole.begin_snapshot > $snapshot
    FROM METADATA.ducklake_column AS part JOIN METADATA.ducklake_table AS whole USING (table_id)
    WHERE part.end_snapshot IS NULL AND whole.end_snapshot IS NULL
    AND table_name = $name AND part.begin_snapshot > $snapshot ORDER BY column_order"""
_EMPTY = """SELECT table_name, column_name, column_type
    FROM METADATA.ducklake_column AS part JOIN METADATA.ducklake_table AS whole USING (table_id)
    WHERE part.end_snapshot IS NULL AND whole.end_snapshot IS NULL AND table_id NOT IN (
        SELECT table_id FROM METADATA.ducklake_data_file WHERE begin_snapshot <= $snapshot)
    AND $snapshot <= (SELECT max(snapshot_id) FROM METADATA.ducklake_snapshot) ORDER BY table_name, column_order"""
# Compaction makes files that hold rows of several versions, up to ``partial_max``.
_DATA_FILES = """SELECT table_name, part.path, coalesce(partial_max > $snapshot, false), record_count,
        part.begin_snapshot, partial_max IS NOT NULL
    FROM METADATA.ducklake_data_file AS part JOIN METADATA.ducklake_table AS whole USING (table_id)
    WHERE part.begin_snapshot <= $snapshot AND coalesce(part.end_snapshot > $snapshot, true)
    AND whole.begin_snapshot <= $snapshot AND coalesce(whole.end_snapshot > $snapshot, true)
    AND coalesce(partial_max, part.begin_snapshot) >= $since ORDER BY data_file_id"""


# Compaction puts rows of several versions into one file, with the version of each row in a column of this field id.
_SNAPSHOT_FIELD, _SNAPSHOT_COLUMN = 2147483539, "_ducklake_internal_snapshot_id"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: the name of the column.
        kind: the DuckDB type.
        default: the value for rows that are older than the column, as text; None means NULL.
    """

    name: str
    kind: str
    default: str | None = None

    def __post_init__(self) -> None:
        # Types cannot be quoted in SQL, and a foreign catalog may have any text.
        if not _TYPE.fullmatch(self.kind):
            raise StoreFormatError(f"the column {self.name!r} has the type {self.kind!r}, expected one such as BIGINT")

    @property
    def default_sql(self) -> str:
        """The SQL of the default value, under the name of the column."""
        value = "NULL" if self.default is None else quote(self.default)
        return f"CAST({value} AS {self.kind}) AS {quote_name(self.name)}"


class TableSource(Protocol):
    """Parquet files that are read as a table."""

    @property
    def paths(self) -> Sequence[Place]:
        """The paths of the files."""

    def select(self, snapshot: int) -> str:
        """Return a SELECT of the rows of a snapshot, with the present columns of the table."""


@dataclass(frozen=True)
class TableFiles:
    """The columns and files of a table at a snapshot.

    Attributes:
        columns: the columns by their Parquet field ids, also those that were added after the snapshot.
        whole: the Parquet files whose rows all belong to the snapshot.
        partial: the Parquet files, made by compaction, that also have rows of later snapshots.
        rows: the number of rows in all files.
        added: the snapshot that added the rows of each file; merged files are left out.
    """

    columns: Mapping[int, Column]
    whole: tuple[Place, ...]
    partial: tuple[Place, ...]
    rows: int
    added: Mapping[Place, int] = field(default_factory=dict)

    @property
    def paths(self) -> Sequence[Place]:
        """The paths of the files."""
        return (*self.whole, *self.partial)

    def select(self, snapshot: int) -> str:
        """Return a SELECT of the rows of a snapshot, with the present columns of the table."""
        names = ", ".join(quote_name(column.name) for column in self.columns.values())
        pieces = []
        if self.whole:
            pieces.append(f"SELECT {names} FROM {self._scan(self.whole, self.columns)}")
        if self.partial:
            versions = {_SNAPSHOT_FIELD: Column(_SNAPSHOT_COLUMN, "BIGINT")}
            scan = self._scan(self.partial, {**self.columns, **versions})
            pieces.append(f"SELECT {names} FROM {scan} WHERE {quote_name(_SNAPSHOT_COLUMN)} <= {int(snapshot)}")
        if not pieces:
            pieces.append(select_nothing(self.columns.values()))
        return " UNION ALL ".join(pieces)

    def select_added(self, since: int, snapshot: int) -> str:
        """Return a SELECT of the rows that the snapshots from ``since`` to ``snapshot`` added.

        The additional column ``snapshot_id`` has the snapshot that added each row.
        """
        names = ", ".join(quote_name(column.name) for column in self.columns.values())
        version = Column("snapshot_id", "BIGINT")
        pieces = []
        if of_one := [path for path in self.paths if path in self.added]:
            known = ", ".join(f"({quote(str(path))}, {self.added[path]}::BIGINT)" for path in of_one)
            pieces.append(
                f"SELECT {names}, snapshot_id FROM {self._scan(of_one, self.columns, with_path=True)} AS file "
                f"JOIN (VALUES {known}) AS known (path, snapshot_id) ON file.filename = known.path"
            )
        if merged := [path for path in self.paths if path not in self.added]:
            scan = self._scan(merged, {**self.columns, _SNAPSHOT_FIELD: version})
            between = f"snapshot_id BETWEEN {int(since)} AND {int(snapshot)}"
            pieces.append(f"SELECT {names}, snapshot_id FROM {scan} WHERE {between}")
        return " UNION ALL ".join(pieces) or select_nothing([*self.columns.values(), version])

    def _scan(self, paths: Sequence[Place], columns: Mapping[int, Column], *, with_path: bool = False) -> str:
        # Columns are found by field id: a file that was written before a column was added gives its default.
        schema = ", ".join(
            f"{field_id}: {{name: {quote(column.name)}, type: {quote(column.kind)}, "
            f"default_value: {'NULL' if column.default is None else quote(column.default)}}}"
            for field_id, column in columns.items()
        )
        # With a schema DuckDB assumes that every table is small, and would keep the larger side of a join in memory.
        options = f"explicit_cardinality = {self.rows}{', filename = true' if with_path else ''}"
        return f"read_parquet({file_list(paths)}, schema = MAP {{{schema}}}, {options})"


def file_list(paths: Sequence[Place]) -> str:
    """Return paths as an SQL list of texts."""
    return f"[{', '.join(quote(str(path)) for path in paths)}]"


def select_nothing(columns: Iterable[Column]) -> str:
    """Return a SELECT of no rows with the given columns."""
    return f"SELECT {', '.join(f'NULL::{column.kind} AS {quote_name(column.name)}' for column in columns)} WHERE false"


def table_files(
    metadata: Metadata, folder: Place, tables: Sequence[str], snapshot: int, since: int = 0
) -> dict[str, TableFiles]:
    """Return the columns and Parquet files of tables at a snapshot, which must exist.

    Args:
        metadata: a function that reads DuckLake's own tables.
        folder: the folder with a folder of files for each table.
        tables: the names of the tables.
        snapshot: the snapshot.
        since: files that have only rows of snapshots before this one are left out.
    """
    columns, paths = metadata(_COLUMNS, {}), metadata(_DATA_FILES, {"snapshot": snapshot, "since": since})
    return {
        table: TableFiles(
            columns={
                key: Column(name, _type(kind), default) for of, name, kind, key, default in columns if of == table
            },
            whole=tuple(folder / table / path for of, path, partial, *_ in paths if of == table and not partial),
            partial=tuple(folder / table / path for of, path, partial, *_ in paths if of == table and partial),
            rows=sum(rows for of, _, _, rows, *_ in paths if of == table),
            added={
                folder / table / path: begin for of, path, _, _, begin, merged in paths if of == table and not merged
            },
        )
        for table in tables
    }


def empty_tables(metadata: Metadata, snapshot: int) -> dict[str, list[Column]]:
    """Return the columns of each table that has no file up to a snapshot; empty for a future snapshot."""
    found: dict[str, list[Column]] = {}
    for table, name, kind in metadata(_EMPTY, {"snapshot": snapshot}):
        found.setdefault(table, []).append(Column(name, _type(kind)))
    return found


def later_columns(metadata: Metadata, table: str, snapshot: int) -> tuple[list[Column], bool]:
    """Return the columns that were added to a table after a snapshot, and whether the table itself is newer than it."""
    found = metadata(_LATER_COLUMNS, {"snapshot": snapshot, "name": table})
    return [Column(name, _type(kind), default) for name, kind, default, _ in found], any(row[3] for row in found)


def _type(kind: str) -> str:
    return _TYPES.get(kind, kind)
