"""Registration of the snapshots and Parquet files of a store in a new catalog, after the old catalog was lost.

DuckLake registers each file and reads its statistics (``ducklake_add_data_files``), all as one snapshot. The snapshots
are then written to DuckLake's own tables as the journal lists them. Tables only grow, so that the files of the newest
snapshot, each with the snapshot that added it, also give the files of all older snapshots.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa

from molbuffer.storage.backends import quote
from molbuffer.storage.catalog.catalog import Catalog
from molbuffer.storage.catalog.journal import JournalEntry
from molbuffer.storage.catalog.metadata import change_all_metadata
from molbuffer.storage.files import Place

# Files that DuckLake wrote have its field ids of columns, and may have the snapshot of each row: they must be read by
# these ids. DuckLake treats a registered file as a file of another program, whose columns it finds by name.
_OWN_COLUMNS = "UPDATE METADATA.ducklake_data_file SET mapping_id = NULL WHERE mapping_id IS NOT NULL"
_NO_MAPPINGS = ("DELETE FROM METADATA.ducklake_column_mapping", "DELETE FROM METADATA.ducklake_name_mapping")
_NUMBER_FILES = """UPDATE METADATA.ducklake_data_file AS part
    SET begin_snapshot = given.begins, partial_max = given.until FROM given
    WHERE given.data_file_id = part.data_file_id"""
_SNAPSHOT_TABLES = ("ducklake_snapshot", "ducklake_snapshot_changes")
_FORGET = """DELETE FROM METADATA.{table}
    WHERE snapshot_id > {made} OR snapshot_id NOT IN (SELECT snapshot_id FROM given WHERE created IS NOT NULL)"""
_RENUMBER_FILES = "UPDATE METADATA.ducklake_data_file SET begin_snapshot = {number} WHERE begin_snapshot > {made}"
_FILE_TABLES = ("ducklake_file_column_stats", "ducklake_data_file")
_DROP_FILES = """DELETE FROM METADATA.{table} WHERE data_file_id IN (
    SELECT data_file_id FROM METADATA.ducklake_data_file WHERE path IN (SELECT name FROM given))"""
_TABLE_IDS = "SELECT table_name, table_id FROM METADATA.ducklake_table"
_FILES = "SELECT data_file_id, path FROM METADATA.ducklake_data_file"
_COUNTERS = """SELECT schema_version, next_catalog_id, next_file_id FROM METADATA.ducklake_snapshot
    ORDER BY snapshot_id DESC LIMIT 1"""
_ADD_SNAPSHOTS = """INSERT INTO METADATA.ducklake_snapshot
    (snapshot_id, snapshot_time, schema_version, next_catalog_id, next_file_id)
    SELECT snapshot_id, snapshot_time, {counters} FROM given WHERE created IS NOT NULL AND snapshot_id > {made}"""
_ADD_CHANGES = """INSERT INTO METADATA.ducklake_snapshot_changes
    (snapshot_id, changes_made, author, commit_message, commit_extra_info)
    SELECT snapshot_id, changes_made, author, message, extra FROM given
    WHERE created IS NOT NULL AND snapshot_id > {made}"""


@dataclass(frozen=True)
class RegisteredFile:
    """A Parquet file that is registered in a catalog.

    Attributes:
        table: the name of the table.
        place: the place of the file.
        snapshot: the number of the snapshot that added the file, or of the first snapshot whose rows it has.
        partial_max: the newest snapshot whose rows the file has, if it has rows of several snapshots; otherwise None.
    """

    table: str
    place: Place
    snapshot: int
    partial_max: int | None


def register(catalog: Catalog, entries: Sequence[JournalEntry], files: Sequence[RegisteredFile]) -> None:
    """Register snapshots and files in a new catalog, which has tables without rows.

    Args:
        catalog: the new catalog.
        entries: the snapshots from a journal, the oldest first.
        files: the Parquet files.

    Raises:
        duckdb.Error: a file cannot be read.
    """
    made = catalog.newest()
    with catalog.locked():
        with closing(catalog.cursor()) as cursor:
            cursor.execute("BEGIN TRANSACTION")
            for file in files:
                options = "allow_missing => true, ignore_extra_columns => true"
                what = f"{quote(catalog.alias)}, {quote(file.table)}, {quote(str(file.place))}"
                cursor.execute(f"CALL ducklake_add_data_files({what}, {options})")
            cursor.execute("COMMIT")
        _set_snapshots(catalog, made, entries, files)


def drop_files(catalog: Catalog, names: Sequence[str]) -> None:
    """Remove missing Parquet files from a catalog, since a table with a missing file cannot be read."""
    given = pa.table({"name": pa.array(names, pa.string())})
    change_all_metadata(catalog, [(_DROP_FILES.format(table=table), given) for table in _FILE_TABLES])


def renumber(catalog: Catalog, entry: JournalEntry) -> None:
    """Give all rows of a catalog one snapshot with a given number, and remove all other snapshots.

    A record that names an older snapshot then finds no snapshot, rather than the rows of another one.
    """
    begun = catalog.versions()[-1].number - 1
    with catalog.locked():
        change_all_metadata(catalog, [(_RENUMBER_FILES.format(number=entry.snapshot, made=begun), None)])
        _set_snapshots(catalog, begun, [entry], ())


def _set_snapshots(
    catalog: Catalog, made: int, entries: Sequence[JournalEntry], files: Sequence[RegisteredFile]
) -> None:
    """Replace all snapshots after the one that created the catalog, and remove earlier snapshots that had expired.

    Other earlier snapshots are left unchanged, since DuckLake finds their tables by the number of their schema.

    Args:
        catalog: the catalog.
        made: the snapshot that created the catalog.
        entries: the snapshots of the journal.
        files: the Parquet files.
    """
    table_ids = dict(catalog.metadata(_TABLE_IDS))
    by_name = {file.place.name: file for file in files}
    ids = [(number, path.rpartition("/")[2]) for number, path in catalog.metadata(_FILES)]
    numbered = [(number, by_name[name]) for number, name in ids if name in by_name]
    given_files = pa.table(
        {
            "data_file_id": pa.array([number for number, _ in numbered], pa.int64()),
            "begins": pa.array([file.snapshot for _, file in numbered], pa.int64()),
            "until": pa.array([file.partial_max for _, file in numbered], pa.int64()),
        }
    )
    given = pa.table(
        {
            "snapshot_id": pa.array([entry.snapshot for entry in entries], pa.int64()),
            "created": pa.array([entry.created for entry in entries], pa.int64()),
            "snapshot_time": pa.array([_time(entry.created or 0) for entry in entries], pa.string()),
            "changes_made": pa.array([_changes(table_ids, entry) for entry in entries], pa.string()),
            "author": pa.array([entry.author for entry in entries], pa.string()),
            "message": pa.array([entry.message for entry in entries], pa.string()),
            "extra": pa.array([json.dumps(dict(entry.extra)) for entry in entries], pa.string()),
        }
    )
    counters = ", ".join(str(int(number)) for number in catalog.metadata(_COUNTERS)[0])
    statements: list[tuple[str, pa.Table | None]] = [(_OWN_COLUMNS, None), *((sql, None) for sql in _NO_MAPPINGS)]
    statements.append((_NUMBER_FILES, given_files))
    statements += [(_FORGET.format(table=table, made=int(made)), given) for table in _SNAPSHOT_TABLES]
    statements.append((_ADD_SNAPSHOTS.format(counters=counters, made=int(made)), given))
    statements.append((_ADD_CHANGES.format(made=int(made)), given))
    change_all_metadata(catalog, statements)


def _changes(tables: Mapping[str, int], entry: JournalEntry) -> str:
    return ",".join(f"inserted_into_table:{tables[table]}" for table in entry.files if table in tables)


def _time(microseconds: int) -> str:
    """Return a time, in microseconds since the epoch, as the text that DuckLake stores in SQLite."""
    return f"{datetime.fromtimestamp(microseconds / 1e6, UTC):%Y-%m-%d %H:%M:%S.%f}+00"
