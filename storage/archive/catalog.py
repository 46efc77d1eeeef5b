"""Read an archive as the catalog of a store is read: through views over exactly its listed Parquet files.

They are views of a database of its own, in memory, that has no catalog attached and no extension to load, may open only
those files, and whose settings are locked, as the one in which queries of users run (``query.sandbox``). Nothing of the
archive becomes text of a statement but the paths of its files, which are quoted.

Before the first row is read in this process, all are measured in another one (``archive.measure``).
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
        folder: of the archive, whose files were compared with the manifest.
        manifest: what it lists.
        migrations: those of this release.

    Raises:
        ArchiveError: a file has other columns than our table, or claims what cannot be.
    """

    def __init__(self, folder: Path, manifest: Manifest, migrations: Sequence[Migration] = MIGRATIONS) -> None:
        self.manifest = manifest
        self.session = (_DISTRUST,)
        self.read_only = True
        self.refusal = (
            f"{folder} is an archive, to which nothing can be added: bring it into a store with "
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
        """Where the Parquet files are."""
        return self.folder / "tables"

    def close(self) -> None:
        """Close the database; nothing can be read afterwards. Closing twice is no error."""
        if not self._closed and self._owner and self._process_id == os.getpid():
            self._connection.close()
            self._spill.cleanup()
        self._closed = True

    def at(self, snapshot: int) -> ArchiveCatalog:
        """Return the archive as of a snapshot, which has to be its own; the result ends with this archive.

        Raises:
            UnknownSnapshotError: it is another one.
        """
        self._check_version(snapshot)
        view = copy.copy(self)
        view._owner = False
        return view

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a connection of the caller's own, to be closed.

        Raises:
            StoreModeError: the archive is closed, or was opened before this process was forked.
        """
        if self._closed or self._process_id != os.getpid():
            raise StoreModeError(f"the archive {self.folder} is closed, or was opened by a process that forked")
        return self._connection.cursor()

    def table(self, name: str, snapshot: int | None = None, *, with_version: bool = False) -> str:
        """Return the SQL that stands for a table."""
        self._check_version(snapshot)
        # As DuckLake has it: the snapshot that added a build.
        extra = f", {int(self.manifest.snapshot)}::BIGINT AS snapshot_id" if name == "builds" else ""
        return f"(SELECT *{extra} FROM {quote_name(name)})"

    def newest(self, cursor: duckdb.DuckDBPyConnection | None = None) -> int:
        """Return the snapshot of its store that the archive is of."""
        return self.manifest.snapshot

    def has_version(self, snapshot: int) -> bool:
        """Return whether the archive is of a snapshot."""
        return snapshot == self.manifest.snapshot

    def versions(self, since: int = 0) -> list[Version]:
        """Return the one snapshot that the archive is of."""
        manifest = self.manifest
        created = datetime.fromisoformat(manifest.created).replace(tzinfo=UTC).timestamp()
        message = f"{manifest.rows} rows of snapshot {manifest.snapshot} of {manifest.source_uuid}"
        return [Version(manifest.snapshot, int(created * 1e6), "molbuffer", message, None)]

    def recorded_checksums(self, since: int = 0) -> Mapping[str, str]:
        """Return the sha256 of files by their path, as the manifest lists them."""
        return {name: file.sha256 for name, file in self.manifest.files.items()}

    def sources(self, tables: Sequence[str], snapshot: int, since: int = 0) -> Mapping[str, TableSource]:
        """Return the files of tables."""
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
        """Have a cursor execute a statement, as ``Catalog.executed`` does, over tables that were measured."""
        self._check_version(snapshot)
        self._sizes.batch_rows()
        done = super().executed(
            cursor, sql, snapshot=snapshot, parameters=parameters, tables=tables, with_versions=with_versions
        )
        with done as result:
            yield result

    @property
    def batch_rows(self) -> int:
        """How many rows a portion has."""
        return self._sizes.batch_rows()

    def _check_version(self, snapshot: int | None) -> None:
        if snapshot not in (None, self.manifest.snapshot):
            raise UnknownSnapshotError(
                f"the archive has no snapshot {snapshot}; its only one is {self.manifest.snapshot}"
            )


def as_store(catalog: ArchiveCatalog, sync: Sync = sync_paths) -> OpenStore:
    """Return an archive as a store that is open for reading."""
    # The content names its decoded cache: the uuid of an archive may be that of another one.
    key = f"archive-{catalog.manifest.content}"
    layout, refusal = Layout(catalog.folder), catalog.refusal
    return OpenStore.of(layout, catalog.manifest.uuid, catalog, sync, refusal=refusal, cache_key=key)
