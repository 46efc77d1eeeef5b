"""An archive that is read as the catalog of a store is: views over exactly its listed Parquet files.

They are views of a database of its own, in memory, that has no catalog attached and no extension to load, may open only
those files, and whose settings are locked, as the one in which queries of users run (``query.sandbox``). Nothing of the
archive is text of a statement but the paths of its files, which are quoted.

A few kilobytes can decode to gigabytes, whatever they claim. So before the first row is read in this process, all
tables are decoded once in a process that is ended when it takes more memory than it may. What that found is known and
not claimed: how large all rows are, and how large the largest is. From then on there are never more rows in a portion
than fit into a bounded memory.
"""

from __future__ import annotations

import copy
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from molbuffer.storage.archive.manifest import Manifest
from molbuffer.storage.archive.tables import ArchivedTable, archived_tables
from molbuffer.storage.backends.engine import closed_connection, quote, quote_name
from molbuffer.storage.catalog.catalog import BATCH_ROWS, Catalog, Version
from molbuffer.storage.catalog.parquet_files import TableSource
from molbuffer.storage.catalog.schema import MIGRATIONS, Migration
from molbuffer.storage.errors import ArchiveError, QueryError, StoreModeError, UnknownSnapshotError
from molbuffer.storage.files.durable import Sync, sync_paths
from molbuffer.storage.handle import OpenStore
from molbuffer.storage.layout import Layout
from molbuffer.storage.query.sandbox import ClosedDatabase, QueryLimits, read_apart

_PORTION_BYTES = 64 * 10**6
_MEMORY = "2GB"
_SPILL = "500GB"
# Of the process that decodes all tables once: it is given some seconds for each megabyte, which takes a tenth of one.
_APART = QueryLimits(seconds=60, memory="512MB")
_SECONDS_A_BYTE = 2e-6
# What the rows of a table may take, decoded, for each byte of its files. Rows that name a run, a build and an objective
# take hundreds of bytes and next to none in a file, but those of tables that are read whole have an identity each.
_MOST_DECODED, _AND_FOR_EACH_BYTE, _OF_WHOLE_TABLES = 256 * 10**6, 20_000, 100
_READ_WHOLE = frozenset({"runs", "run_events", "builds", "policies"})


class ArchiveCatalog(Catalog):
    """The tables of an archive, for reading.

    Args:
        folder: of the archive, whose files were compared with the manifest.
        manifest: what it lists.
        migrations: those of this release.

    Raises:
        ArchiveError: a file has other columns than our table, or claims what cannot be.
    """

    def __init__(self, folder: Path, manifest: Manifest, migrations: Sequence[Migration] = MIGRATIONS) -> None:
        # Not Catalog's own constructor: there is no catalog to attach.
        self.manifest = manifest
        self.read_only = True
        self.refusal = (
            f"{folder} is an archive, to which nothing can be added: bring it into a store with "
            f"`molbuffer merge {folder} --store DIR` and write there"
        )
        self.folder = folder
        self._name = str(folder)
        self._process_id = os.getpid()
        self._closed, self._owner = False, True
        self._sources = archived_tables(folder, manifest, migrations)
        self._measuring = threading.Lock()
        self._batch_rows: int | None = None
        self._spill = tempfile.TemporaryDirectory(prefix="molbuffer-archive-")
        self._connection = closed_connection(
            {"memory_limit": _MEMORY, "temp_directory": self._spill.name, "max_temp_directory_size": _SPILL}
        )
        ClosedDatabase.of_snapshot(self, manifest.snapshot).execute(self._connection)

    @property
    def tables(self) -> Path:
        """Where the Parquet files are."""
        return self.folder / "tables"

    def close(self) -> None:
        """Gives up the database; nothing can be read afterwards. Closing twice is no error."""
        if not self._closed and self._owner and self._process_id == os.getpid():
            self._connection.close()
            self._spill.cleanup()
        self._closed = True

    def at(self, snapshot: int) -> ArchiveCatalog:
        """The archive as of a version, which has to be its own; it ends with this, and closing it does nothing here.

        Raises:
            UnknownSnapshotError: it is another one.
        """
        self._check_version(snapshot)
        view = copy.copy(self)
        view._owner = False
        return view

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of the caller's own; close it.

        Raises:
            StoreModeError: the archive is closed, or was opened before this process was forked.
        """
        if self._closed or self._process_id != os.getpid():
            raise StoreModeError(f"the archive {self.folder} is closed, or was opened by a process that forked")
        return self._connection.cursor()

    def table(self, name: str, snapshot: int | None = None) -> str:
        """The SQL that stands for a table."""
        self._check_version(snapshot)
        # As DuckLake has it: the version that added a build.
        extra = f", {int(self.manifest.snapshot)}::BIGINT AS snapshot_id" if name == "builds" else ""
        return f"(SELECT *{extra} FROM {quote_name(name)})"

    def newest(self, cursor: duckdb.DuckDBPyConnection | None = None) -> int:
        """The version of the source that the archive is of."""
        return self.manifest.snapshot

    def has_version(self, snapshot: int) -> bool:
        """Whether the archive is of a version."""
        return snapshot == self.manifest.snapshot

    def versions(self) -> list[Version]:
        """The one version."""
        said = self.manifest
        created = datetime.fromisoformat(said.created).replace(tzinfo=UTC).timestamp()
        message = f"{said.rows} rows of version {said.snapshot} of {said.source_uuid}"
        return [Version(said.snapshot, int(created * 1e6), "molbuffer", message, None)]

    def sources(self, tables: Sequence[str], snapshot: int) -> Mapping[str, TableSource]:
        """The files of tables."""
        self._check_version(snapshot)
        return {table: self._sources[table] for table in tables}

    def attach_sql(self, alias: str, *, read_only: bool) -> str:
        """Statements that make a schema with the archive's tables in any DuckDB."""
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
        snapshot: int | None,
        parameters: Sequence[Any] | None,
        tables: Mapping[str, pa.Table],
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """The cursor, once it has executed what ``read`` is given, of tables that were measured."""
        self._check_version(snapshot)
        self._measure()
        with super().executed(cursor, sql, snapshot, parameters, tables) as result:
            yield result

    @property
    def batch_rows(self) -> int:
        """How many rows a portion has: no more than fit into the memory for one, were all as large as the largest."""
        return self._measure()

    def _measure(self) -> int:
        """Has all tables decoded once, and returns how many rows a portion may have.

        Raises:
            ArchiveError: the rows of a table cannot be decoded, or take too much.
        """
        with self._measuring:
            if self._batch_rows is None:
                self._batch_rows = self._measured()
            return self._batch_rows

    def _measured(self) -> int:
        sources = [source for source in self._sources.values() if source.paths]
        size = sum(source.bytes for source in sources)
        limits = QueryLimits(_APART.seconds + size * _SECONDS_A_BYTE, _APART.memory)
        sql = " UNION ALL ".join(_measure(source) for source in sources)
        if not sources:
            return BATCH_ROWS
        try:
            found = read_apart(ClosedDatabase.of_snapshot(self, self.manifest.snapshot), sql, limits).to_pylist()
        except QueryError as error:
            raise ArchiveError(f"{self.folder}: its tables cannot be decoded as they should: {error}") from error
        for measured in found:
            source = self._sources[measured["name"]]
            factor = _OF_WHOLE_TABLES if source.name in _READ_WHOLE else _AND_FOR_EACH_BYTE
            if measured["rows"] != source.rows:
                raise ArchiveError(f"{self.folder}: {source.name} has {measured['rows']} rows, not {source.rows}")
            if measured["bytes"] > _MOST_DECODED + factor * source.bytes:
                raise ArchiveError(
                    f"{self.folder}: the rows of {source.name} take {measured['bytes']} bytes, which is far too much "
                    f"for files of {source.bytes} bytes: refused"
                )
        widest = sum(measured["widest"] for measured in found)
        return int(max(1, min(BATCH_ROWS, _PORTION_BYTES // max(1, widest))))

    def _check_version(self, snapshot: int | None) -> None:
        if snapshot not in (None, self.manifest.snapshot):
            raise UnknownSnapshotError(
                f"the archive has no version {snapshot}; its only one is {self.manifest.snapshot}"
            )


def _measure(source: ArchivedTable) -> str:
    """A SELECT of what the rows of a table take: name, rows, widest, bytes."""
    texts = [quote_name(column.name) for column in source.columns if column.kind == "VARCHAR"]
    width = " + ".join([f"{8 * len(source.columns)}", *(f"coalesce(strlen({name}), 0)" for name in texts)])
    return f"""SELECT {quote(source.name)} AS name, count(*)::BIGINT AS "rows", coalesce(max({width}), 0) AS widest,
        coalesce(sum({width}), 0)::BIGINT AS bytes FROM {quote_name(source.name)}"""


def as_store(catalog: ArchiveCatalog, sync: Sync = sync_paths) -> OpenStore:
    """Return an archive as a store that is open for reading."""
    # The content names its decoded cache: the uuid of an archive may be that of another one.
    key = f"archive-{catalog.manifest.content}"
    layout, refusal = Layout(catalog.folder), catalog.refusal
    return OpenStore.of(layout, catalog.manifest.uuid, catalog, sync, refusal=refusal, cache_key=key)
