"""Looks at the catalog of an archive before DuckDB does: whoever made the archive wrote every byte of it.

DuckLake's tables name the files of a store. One that named a path outside of the archive, or a view where a table must
be, would have the reader open whatever it says. So a catalog is only used when it holds what molbuffer writes into one:
our tables and views, files by plain relative paths, nothing inlined, encrypted, deleted or scripted.

It is looked at each time an archive is opened, also where nothing else of it is checked (``query``, ``export``).
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import duckdb

from molbuffer.storage.archive.manifest import archive_files
from molbuffer.storage.backends.engine import closed_connection
from molbuffer.storage.catalog.schema import MIGRATIONS, Migration, tables_of
from molbuffer.storage.catalog.views import VIEWS
from molbuffer.storage.errors import ArchiveError
from molbuffer.storage.layout import Layout

_WAL_VERSION = 2
_PARQUET = re.compile(r"[A-Za-z0-9_-]+\.parquet", re.ASCII)

# What no archive of molbuffer has a row of.
_EMPTY = (
    "ducklake_delete_file",
    "ducklake_files_scheduled_for_deletion",
    "ducklake_inlined_data_tables",
    "ducklake_column_mapping",
    "ducklake_name_mapping",
    "ducklake_macro",
    "ducklake_partition_info",
    "ducklake_sort_info",
)


def check_catalog(layout: Layout, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Refuses a catalog that is not as molbuffer writes it into an archive.

    Args:
        migrations: those of this release; an archive may lack the last ones.

    Raises:
        ArchiveError: saying what is wrong with it.
    """
    database = layout.sqlite.database
    # What SQLite kept beside it would be rolled into it, after it was looked at.
    for name in archive_files(layout.root):
        if name.startswith(f"{database.name}-"):
            raise ArchiveError(f"{layout.root}: no archive has a file {name!r}; refused")
    try:
        with database.open("rb") as file:
            header = file.read(20)
        if _WAL_VERSION in header[18:20]:
            raise ArchiveError(f"{database} is in write-ahead mode, in which no archive is written; refused")
        # An archive is never written to, so that reading it beside DuckDB disturbs no lock.
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            connection.execute("PRAGMA trusted_schema = OFF")
            problem = next(_problems(connection, migrations), None)
    except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
        raise ArchiveError(f"{database} is no catalog of an archive: {error}") from error
    if problem is not None:
        raise ArchiveError(f"{database} is not as molbuffer writes it, and is not used: {problem}")


def _problems(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> Iterator[str]:
    for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_schema"):
        if kind not in ("table", "index") or str(sql).split()[:2] == ["CREATE", "VIRTUAL"]:
            yield f"it has the {kind} {name!r}"
    for table in _EMPTY:
        if connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone():
            yield f"{table} has rows"
    for key, value in connection.execute("SELECT key, value FROM ducklake_metadata"):
        if (key, value) not in (("data_path", "tables/"), ("encrypted", "false")) and key in ("data_path", "encrypted"):
            yield f"its {key} is {value!r}"
    yield from _wrong_names(connection, migrations)
    yield from _wrong_paths(connection)


def _wrong_names(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> Iterator[str]:
    tables = [name for (name,) in connection.execute("SELECT table_name FROM ducklake_table")]
    schemas = [sorted(tables_of(migrations[: n + 1])) for n in range(len(migrations))]
    if sorted(tables) not in schemas:
        unknown = sorted({*tables} - {*schemas[-1]})
        yield f"its tables are {sorted(tables)}" + (f"; {unknown} may be of a newer release" if unknown else "")
    views = connection.execute("SELECT view_name, dialect, sql FROM ducklake_view").fetchall()
    with closing(closed_connection()) as parser:
        for name, dialect, sql in views:
            if name not in VIEWS or dialect != "duckdb" or not _reads_only(schemas[-1], str(sql), parser):
                yield f"it has a view {name!r} that reads something else than its tables"


def _wrong_paths(connection: sqlite3.Connection) -> Iterator[str]:
    schemas = connection.execute("SELECT schema_name, path, path_is_relative FROM ducklake_schema").fetchall()
    if schemas != [("main", "main/", 1)]:
        yield f"its schemas are {schemas}"
    for name, path, relative in connection.execute("SELECT table_name, path, path_is_relative FROM ducklake_table"):
        if (path, relative) != (f"{name}/", 1):
            yield f"its table {name!r} is at {path!r}"
    files = "SELECT path, path_is_relative, file_format, encryption_key FROM ducklake_data_file"
    for path, relative, form, key in connection.execute(files):
        if relative != 1 or not isinstance(path, str) or not _PARQUET.fullmatch(path) or form != "parquet" or key:
            yield f"it names the file {path!r}"


def _reads_only(tables: Sequence[str], sql: str, parser: duckdb.DuckDBPyConnection) -> bool:
    """Whether a view names nothing but these tables and our views. Of each, molbuffer runs its own text, others this.

    A table function, or a name that is a path, would read a file when somebody attaches the archive and asks the view.
    """
    row = parser.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
    parsed = json.loads(row[0]) if row else {}
    if parsed.get("error", True) or len(parsed["statements"]) != 1:
        return False
    nodes = list(_nodes(parsed))
    # Of a WITH: the names are those of columns and tables, so that none of them is a path.
    named = {str(each["key"]) for node in nodes for each in _entries(node.get("cte_map"))}
    known = {*tables, *VIEWS, *(name for name in named if name.isidentifier())}
    return not any(
        node.get("type") == "TABLE_FUNCTION"
        or (node.get("type") == "BASE_TABLE" and (node["table_name"] not in known or node["catalog_name"]))
        for node in nodes
    )


def _entries(cte_map: Any) -> list[dict[str, Any]]:
    return cte_map["map"] if isinstance(cte_map, dict) else []


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _nodes(item)
