"""Write the tables of archives as Parquet files, and check such files before they are read.

A file by somebody else may claim anything. So the footer of each file is read first, in a process of its own, as some
of them end the process that reads them: its columns must be exactly those of our table, by name and type. What decoding
it takes is then measured in such a process, too (``archive.measure``).
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

# A tar file holds no file of 8 GiB.
_FILE_ROWS = 5_000_000
_COMPRESSION = "zstd"


@dataclass(frozen=True)
class ArchivedTable:
    """A table of an archive.

    Attributes:
        name: its name.
        columns: those of this release.
        missing: the names of those that its files do not have, since a later migration added them.
        paths: its files; none for a table without rows.
        bytes: the size of these.
        rows: how many rows their footers claim.
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
    """Return the tables of an archive, once the footers of their files were checked; one without a file has no rows.

    Args:
        folder: of the archive.
        manifest: what it lists.
        migrations: those of this release.

    Raises:
        ArchiveError: a file has other columns than our table, or claims what cannot be; or the archive is of a newer
            release.
    """
    if not 1 <= manifest.schema <= len(migrations):
        raise ArchiveError(
            f"{folder} has schema {manifest.schema}, this release knows 1 to {len(migrations)}: update molbuffer",
            # The manifest of an archive has a schema at least.
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
    """What the footer of a Parquet file claims.

    Attributes:
        columns: the columns, by name and DuckDB type.
        rows: the number of rows.
    """

    columns: list[tuple[str, str]] = field(default_factory=list)
    rows: int = 0


def _read_footers(folder: Path, manifest: Manifest) -> dict[str, _Footer]:
    """Return the footers of all Parquet files, read in a process that can do no more harm than to end."""
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
# Without the columns that DuckDB would take from the name of a folder.
_FOOTER = """SELECT {name} AS path, column_name AS name, column_type AS kind
    FROM (DESCRIBE SELECT * FROM read_parquet({path}, hive_partitioning = false))
    UNION ALL SELECT {name}, NULL, num_rows::VARCHAR FROM parquet_file_metadata({path})"""


def _check_columns(path: Path, expected: Sequence[Column], found: Sequence[tuple[str, str]]) -> None:
    """Refuse a file that has not exactly the columns of its table, in whatever order.

    An unknown column is refused and not left out: what an archive has that this release does not read, somebody would
    miss, and columns of a newer release come with the number of its schema.

    Raises:
        ArchiveError: naming the file and the columns.
    """
    wanted = [(column.name, column.kind) for column in expected]
    if sorted(wanted) != sorted(found):
        odd = sorted({*wanted} ^ {*found})[:6]
        said = f"{path} has other columns than this table, by name, type or number: {odd}: refused"
        raise ArchiveError(said, ArchiveFault.SCHEMA)


@functools.cache
def columns_of(migrations: tuple[Migration, ...]) -> Mapping[str, tuple[Column, ...]]:
    """Return the columns of each table of a store that has had these migrations."""
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
    """Return the Arrow types in which the columns of a table are written."""
    with closing(closed_connection()) as connection:
        return connection.execute(select_nothing(columns)).to_arrow_table().schema


def write_table(folder: Path, table: str, batches: Iterable[pa.RecordBatch]) -> int:
    """Write the rows of a table as the files of an archive, and return how many there are.

    Args:
        folder: of the archive.
        table: the name of the table.
        batches: with the columns of the table, in any order; one is written at a time.
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
