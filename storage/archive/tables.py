"""The tables of archives as Parquet files, and the checks of such files before they are read.

An untrusted file may state anything. The footer of each file is therefore read first, in a process of its own, since
some footers crash the process that reads them: its columns must be exactly those of molbuffer's table, by name and
type. The memory for decoding is then measured in such a process as well (``archive.measure``).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from molbuffer.storage.archive.manifest import Manifest, table_of
from molbuffer.storage.backends import closed_connection, quote, quote_name
from molbuffer.storage.catalog import MIGRATIONS, TABLES, Column, Migration, bind, file_list, select_nothing
from molbuffer.storage.errors import ArchiveError, ArchiveFault, QueryError
from molbuffer.storage.files import file_sha256
from molbuffer.storage.query import ClosedDatabase, QueryLimits, read_apart

# The number of rows of a file, since a tar file cannot hold a file of 8 GiB.
_FILE_ROWS = 5_000_000
_COMPRESSION = "zstd"


@dataclass(frozen=True)
class ArchivedTable:
    """A table of an archive.

    Attributes:
        name: the name of the table.
        columns: the columns of this release.
        missing: the names of the columns that the files lack, since a later migration added them.
        paths: the paths of its files; empty for a table without rows.
        bytes: the size of these files.
        rows: the number of rows in their footers.
    """

    name: str
    columns: tuple[Column, ...]
    missing: frozenset[str]
    paths: tuple[Path, ...]
    bytes: int
    rows: int

    def select(self, snapshot: int) -> str:
        """Return a SELECT of the table with the columns of this release."""
        if not self.paths:
            return select_nothing(self.columns)
        names = ", ".join(
            column.default_sql if column.name in self.missing else quote_name(column.name) for column in self.columns
        )
        return f"SELECT {names} FROM read_parquet({file_list(self.paths)}, hive_partitioning = false)"


def archived_tables(
    folder: Path, manifest: Manifest, migrations: Sequence[Migration] = MIGRATIONS
) -> dict[str, ArchivedTable]:
    """Return the tables of an archive, after a check of the footers of their files.

    Args:
        folder: the folder of the archive.
        manifest: the manifest of the archive.
        migrations: the migrations of this release.

    Raises:
        ArchiveError: the columns or rows of a file differ from those of molbuffer's table or of the manifest, or the
            archive is of a newer release.
    """
    if not 1 <= manifest.schema <= len(migrations):
        raise ArchiveError(
            f"{folder} has schema {manifest.schema}, this release knows 1 to {len(migrations)}: update molbuffer",
            # A schema of 0 is not valid in any release.
            ArchiveFault.NEWER_RELEASE if manifest.schema else ArchiveFault.MANIFEST_VALUE,
        )
    ours, theirs = (columns_of(tuple(of)) for of in (migrations, migrations[: manifest.schema]))
    footers = _read_footers(folder, manifest)
    found = {}
    for name, columns in ours.items():
        files = sorted(path for path in manifest.files if table_of(path) == name)
        had, rows = theirs.get(name, ()), 0
        for path in files:
            _check_columns(folder / path, had, footers[path].columns)
            rows += footers[path].rows
        if rows != manifest.tables.get(name, 0):
            said = f"{folder}: {name} has {rows} rows, the manifest says {manifest.tables.get(name, 0)}"
            raise ArchiveError(said, ArchiveFault.ROWS)
        found[name] = ArchivedTable(
            name=name,
            columns=columns,
            missing=frozenset(column.name for column in columns) - {column.name for column in had},
            paths=tuple(folder / path for path in files),
            bytes=sum(manifest.files[path].bytes for path in files),
            rows=rows,
        )
    return found


@dataclass
class _Footer:
    """The footer of a Parquet file.

    Attributes:
        columns: the columns, by name and DuckDB type.
        rows: the number of rows.
    """

    columns: list[tuple[str, str]] = field(default_factory=list)
    rows: int = 0


def _read_footers(folder: Path, manifest: Manifest) -> dict[str, _Footer]:
    """Return the footers of all Parquet files, read in a process of its own, which a damaged footer may crash."""
    found = {path: _Footer() for path in manifest.files if table_of(path) is not None}
    if not found:
        return found
    selects = [_FOOTER.format(name=quote(path), path=quote(str(folder / path))) for path in found]
    try:
        rows = read_apart(ClosedDatabase.over([folder / path for path in found]), " UNION ALL ".join(selects), _APART)
    except QueryError as error:
        wrong = [path for path in found if file_sha256(folder / path) != manifest.files[path].sha256]
        named = f"{', '.join(wrong)}, damaged since it was written," if wrong else "a table"
        said = f"{folder}: {named} is no Parquet file that can be read: {error}"
        raise ArchiveError(said, ArchiveFault.PARQUET) from error
    for row in rows.to_pylist():
        footer = found[row["path"]]
        if row["name"] is None:
            footer.rows = int(row["kind"])
        else:
            footer.columns.append((row["name"], row["kind"]))
    return found


_APART = QueryLimits(seconds=120, memory="256MB")
# Without hive partitioning, by which DuckDB would add columns from the names of folders.
_FOOTER = """SELECT {name} AS path, column_name AS name, column_type AS kind
    FROM (DESCRIBE SELECT * FROM read_parquet({path}, hive_partitioning = false))
    UNION ALL SELECT {name}, NULL, num_rows::VARCHAR FROM parquet_file_metadata({path})"""


def _check_columns(path: Path, expected: Sequence[Column], found: Sequence[tuple[str, str]]) -> None:
    """Refuse a file that does not have exactly the columns of its table, in any order.

    An unknown column is refused rather than ignored, so that no data of an archive is lost silently; an archive of a
    newer release is recognised by the number of its schema.

    Raises:
        ArchiveError: the columns differ; the error names the file and the columns.
    """
    wanted = [(column.name, column.kind) for column in expected]
    if sorted(wanted) != sorted(found):
        odd = sorted({*wanted} ^ {*found})[:6]
        said = f"{path} has other columns than this table, by name, type or number: {odd}: refused"
        raise ArchiveError(said, ArchiveFault.SCHEMA)


@functools.cache
def columns_of(migrations: tuple[Migration, ...]) -> Mapping[str, tuple[Column, ...]]:
    """Return the columns of each table of a store with these migrations."""
    tables: dict[str, list[Column]] = {}
    with closing(closed_connection()) as connection:
        for migration in migrations:
            for statement in migration.statements:
                connection.execute(bind(statement, quote_name, names=(*TABLES, *migration.adds)))
        for table, name, kind, default in connection.execute(_COLUMNS).fetchall():
            given = None if default is None else connection.execute(f"SELECT ({default})::VARCHAR").fetchall()[0][0]
            tables.setdefault(table, []).append(Column(name, kind, given))
    return {table: tuple(columns) for table, columns in tables.items()}


_COLUMNS = """SELECT table_name, column_name, data_type, column_default FROM duckdb_columns()
    WHERE NOT internal ORDER BY table_name, column_index"""


@functools.cache
def arrow_schema(columns: tuple[Column, ...]) -> pa.Schema:
    """Return the Arrow schema with which the columns of a table are written."""
    with closing(closed_connection()) as connection:
        return connection.execute(select_nothing(columns)).to_arrow_table().schema


def write_table(folder: Path, table: str, batches: Iterable[pa.RecordBatch]) -> int:
    """Write the rows of a table as Parquet files of an archive, and return the number of rows.

    Args:
        folder: the folder of the archive.
        table: the name of the table.
        batches: the rows, with the columns of the table in any order; one batch is written at a time.
    """
    schema = arrow_schema(columns_of(MIGRATIONS)[table])
    writer, number, rows, total = None, 0, 0, 0
    try:
        for batch in batches:
            if not batch.num_rows:
                continue
            if writer is None or rows > _FILE_ROWS:
                if writer is not None:
                    writer.close()
                path = folder / "tables" / table / f"{number:05}.parquet"
                path.parent.mkdir(parents=True, exist_ok=True)
                writer, number, rows = pq.ParquetWriter(path, schema, compression=_COMPRESSION), number + 1, 0
            writer.write_batch(batch.select(schema.names).cast(schema))
            rows, total = rows + batch.num_rows, total + batch.num_rows
    finally:
        if writer is not None:
            writer.close()
    return total
