"""A catalog as of one version: whatever is read through it is what there was then, and nothing can be written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa

from molbuffer.storage.catalog.catalog import Catalog
from molbuffer.storage.catalog.parquet_files import TableFiles
from molbuffer.storage.errors import UnknownSnapshotError


class PinnedCatalog(Catalog):
    """A view of an attached catalog; it ends with that, and closing it does nothing.

    Args:
        whole: the attached catalog.
        snapshot: the version to read. Older ones can be asked for by number, later ones cannot.

    Raises:
        UnknownSnapshotError: there is no such version.
    """

    def __init__(self, whole: Catalog, snapshot: int) -> None:
        # Not Catalog's own constructor, which would attach the catalog once more.
        vars(self).update(vars(whole))
        whole.files((), snapshot)
        self._snapshot = snapshot
        self.refusal = f"this is version {snapshot} of a store, to which nothing can be added: write to the store"
        self.read_only = True

    def close(self) -> None:
        """Does nothing: the catalog belongs to the store."""

    def newest(self, cursor: duckdb.DuckDBPyConnection | None = None) -> int:
        """The version."""
        return self._snapshot

    def table(self, name: str, snapshot: int | None = None) -> str:
        """The SQL that stands for a table as of the version, or as of an older one."""
        named = super().table(name, self._known(snapshot))
        # Receipts name the version that added a build. AT within brackets hides that column unless it is asked for.
        return named.replace("(SELECT *", "(SELECT *, snapshot_id", 1) if name == "builds" else named

    @contextmanager
    def executed(
        self,
        cursor: duckdb.DuckDBPyConnection,
        sql: str,
        snapshot: int | None,
        parameters: Sequence[Any] | None,
        tables: Mapping[str, pa.Table],
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """The cursor, once it has executed what ``read`` is given, as of the version or an older one."""
        with super().executed(cursor, sql, self._known(snapshot), parameters, tables) as result:
            yield result

    def files(self, tables: Sequence[str], snapshot: int) -> dict[str, TableFiles]:
        """The columns and Parquet files of tables as of the version, or of an older one."""
        return super().files(tables, self._known(snapshot))

    def _known(self, snapshot: int | None) -> int:
        if snapshot is not None and snapshot > self._snapshot:
            raise UnknownSnapshotError(
                f"version {snapshot} is later than {self._snapshot}, at which the store is read here"
            )
        return self._snapshot if snapshot is None else snapshot
