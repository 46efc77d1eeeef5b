"""The catalog of an archive: views over exactly the Parquet files that its manifest lists.

The views are in a DuckDB database of their own, in memory, without a catalog and without extensions, which can open
only these files and has locked settings, like the database for users' queries (``query.sandbox``). Only the paths of
the archive's files become part of SQL, and they are quoted.

Before the first row is read in this process, another process measures all rows (``archive.measure``).
"""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from molbuffer.storage.archive.manifest import Manifest
from molbuffer.storage.archive.measure import RowSizes
from molbuffer.storage.archive.tables import archived_tables
from molbuffer.storage.backends import closed_connection, quote_name
from molbuffer.storage.catalog import MIGRATIONS, Migration, ReadableCatalog, TableSource, Version
from molbuffer.storage.errors import StoreModeError, UnknownSnapshotError
from molbuffer.storage.files import Sync, sync_paths
from molbuffer.storage.handle import OpenStore
from molbuffer.storage.layout import Layout
from molbuffer.storage.query import ClosedDatabase

_MEMORY = "2GB"
_SPILL = "500GB"
# A Parquet file states the extremes of its columns, and may lie: DuckDB would take a condition for true of all rows, or
# leave rows out, by what is stated, so that rows that are checked would not be those that are read.
_DISTRUST = "SET GLOBAL disabled_optimizers = 'statistics_propagation,join_filter_pushdown'"


class ArchiveCatalog(ReadableCatalog):
    """The tables of an archive, for reading.

    Args:
        folder: the folder of the archive, whose files were compared with the manifest.
        manifest: the manifest of the archive.
        migrations: the migrations of this release.

    Raises:
        ArchiveError: the columns of a file differ from molbuffer's, or its footer is inconsistent.
    """

    session = (_DISTRUST,)

    def __init__(self, folder: Path, manifest: Manifest, migrations: Sequence[Migration] = MIGRATIONS) -> None:
        self.manifest = manifest
        self.read_only = True
        self.refusal = (
            f"{folder} is an archive, which is read-only: add its rows to a store with "
            f"`molbuffer merge {folder} --store DIR` and write there"
        )
        self.folder = folder
        self.name = str(folder)
        self._process_id = os.getpid()
        self._closed, self._owner = False, True
        self._sources = archived_tables(folder, manifest, migrations)
        self._spill = tempfile.TemporaryDirectory(prefix="molbuffer-archive-")
        self._connection = closed_connection(
            {"memory_limit": _MEMORY, "temp_directory": self._spill.name, "max_temp_directory_size": _SPILL}
        )
        database = ClosedDatabase.of_snapshot(self, manifest.snapshot)
        database.execute(self._connection)
        self._sizes = RowSizes(folder, database, list(self._sources.values()))

    @property
    def tables(self) -> Path:
        """The folder of the Parquet files."""
        return self.folder / "tables"

    def close(self) -> None:
        """Close the database, after which nothing can be read; a second call does nothing."""
        if not self._closed and self._owner and self._process_id == os.getpid():
            self._connection.close()
            self._spill.cleanup()
        self._closed = True

    def at(self, snapshot: int) -> ArchiveCatalog:
        """Return the archive at a snapshot, which must be its own; closing this archive ends the result.

        Raises:
            UnknownSnapshotError: the snapshot is not that of the archive.
        """
        self._check_version(snapshot)
        view = copy.copy(self)
        view._owner = False
        return view

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a new connection, which the caller closes.

        Raises:
            StoreModeError: the archive is closed, or was opened before this process was forked.
        """
        if self._closed or self._process_id != os.getpid():
            raise StoreModeError(f"the archive {self.folder} is closed, or was opened by a process that forked")
        return self._connection.cursor()

    def table(self, name: str, snapshot: int | None = None, *, with_version: bool = False) -> str:
        """Return the SQL for a table."""
        self._check_version(snapshot)
        # The same column as in DuckLake: the snapshot that added a build.
        extra = f", {int(self.manifest.snapshot)}::BIGINT AS snapshot_id" if name == "builds" else ""
        return f"(SELECT *{extra} FROM {quote_name(name)})"

    def newest(self, cursor: duckdb.DuckDBPyConnection | None = None) -> int:
        """Return the snapshot of the store from which the archive was made."""
        return self.manifest.snapshot

    def has_version(self, snapshot: int) -> bool:
        """Return whether the archive was made from a snapshot."""
        return snapshot == self.manifest.snapshot

    def versions(self, since: int = 0) -> list[Version]:
        """Return the only snapshot of the archive."""
        manifest = self.manifest
        created = datetime.fromisoformat(manifest.created).replace(tzinfo=UTC).timestamp()
        message = f"{manifest.rows} rows of snapshot {manifest.snapshot} of {manifest.source_uuid}"
        return [Version(manifest.snapshot, int(created * 1e6), "molbuffer", message, None)]

    def recorded_checksums(self, since: int = 0) -> Mapping[str, str]:
        """Return the sha256 of each file by its path, from the manifest."""
        return {name: file.sha256 for name, file in self.manifest.files.items()}

    def sources(self, tables: Sequence[str], snapshot: int, since: int = 0) -> Mapping[str, TableSource]:
        """Return the files of tables, by the name of the table."""
        self._check_version(snapshot)
        return {table: self._sources[table] for table in tables}

    def attach_sql(self, alias: str, *, read_only: bool) -> str:
        """Return statements that make a schema with the archive's tables in any DuckDB."""
        schema = quote_name(alias)
        views = [
            f"CREATE VIEW {schema}.{quote_name(name)} AS {source.select(self.manifest.snapshot)}"
            for name, source in self._sources.items()
            if source.paths
        ]
        return ";\n".join([f"CREATE SCHEMA {schema}", *views])

    @contextmanager
    def executed(
        self,
        cursor: duckdb.DuckDBPyConnection,
        sql: str,
        *,
        snapshot: int | None = None,
        parameters: Sequence[Any] | None = None,
        tables: Mapping[str, pa.Table] | None = None,
        with_versions: bool = False,
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """Execute a statement as ``Catalog.executed`` does, after the rows of all tables were measured."""
        self._check_version(snapshot)
        self._sizes.batch_rows()
        done = super().executed(
            cursor, sql, snapshot=snapshot, parameters=parameters, tables=tables, with_versions=with_versions
        )
        with done as result:
            yield result

    @property
    def batch_rows(self) -> int:
        """The largest number of rows in a batch."""
        return self._sizes.batch_rows()

    def _check_version(self, snapshot: int | None) -> None:
        if snapshot not in (None, self.manifest.snapshot):
            raise UnknownSnapshotError(
                f"the archive has no snapshot {snapshot}; its only one is {self.manifest.snapshot}"
            )


def as_store(catalog: ArchiveCatalog, sync: Sync = sync_paths) -> OpenStore:
    """Return an archive as a store that is open for reading."""
    # The content names the decoded cache, since the uuid of an untrusted archive may be that of another archive.
    key = f"archive-{catalog.manifest.content}"
    layout, refusal = Layout(catalog.folder), catalog.refusal
    return OpenStore.of(layout, catalog.manifest.uuid, catalog, sync, refusal=refusal, cache_key=key)
