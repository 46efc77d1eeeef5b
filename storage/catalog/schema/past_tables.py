"""Tables as of a snapshot, with what migrations added since; those that have no rows are not asked for in DuckLake.

DuckLake has no statistics of a table without rows, and looks for them in its catalog once for each column: to read
nothing takes it several times as long as to read a table of rows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from molbuffer.storage.catalog.parquet.parquet_files import Column, empty_tables, later_columns, select_nothing
from molbuffer.storage.catalog.schema.views import bind, tables_in, with_views

# Snapshots of which is remembered what has no rows.
_MOST_REMEMBERED = 100
# What DuckLake calls the snapshot that added a row.
_VERSION_COLUMN = Column("snapshot_id", "BIGINT")


class PastTables:
    """The tables of a catalog at its snapshots, which never change.

    Args:
        metadata: reads DuckLake's own tables (``Catalog.metadata``).
    """

    def __init__(self, metadata: Callable[..., list[tuple[Any, ...]]]) -> None:
        self._metadata = metadata
        self._empty: dict[int, Mapping[str, Sequence[Column]]] = {}
        # Tables that have rows by now, as that of the migrations always does.
        self._filled = {"migrations"}

    def may_be_empty(self, sql: str) -> bool:
        """Return whether SQL reads a table that may have no row now, for which another SELECT can stand."""
        names, text = tables_in(sql)
        # What DuckLake calls the version of a row can be named, and is not in ``*``; of a SELECT, it would be.
        return not self._filled.issuperset(names) and (_VERSION_COLUMN.name not in text or "*" not in text)

    def now(self, sql: str, named: Callable[[str], str], newest: int, changed: Collection[str] = ()) -> str:
        """Return SQL for a transaction that reads the newest snapshot, in which names stand for tables as they are.

        Args:
            sql: names tables and views as ``{samples}``.
            named: returns the SQL that stands for a table as it is now.
            newest: that snapshot.
            changed: tables that the transaction may have changed itself.
        """
        version = [_VERSION_COLUMN] if _VERSION_COLUMN.name in sql else []

        def relation(name: str) -> str:
            if name not in self._filled and name not in changed:
                if (empty := self._without_rows(newest).get(name)) is not None:
                    return f"({select_nothing([*empty, *version])})"
                self._filled.add(name)
            return named(name)

        return bind(sql, with_views(relation))

    def select(self, name: str, named: str, snapshot: int, *, with_version: bool) -> str:
        """Return the SQL, in brackets, that stands for a table as of a snapshot.

        Args:
            name: of the table.
            named: the SQL that stands for the table as it is now.
            snapshot: the snapshot.
            with_version: whether ``*`` has the column ``snapshot_id``, the snapshot that added each row.
        """
        later, as_new = later_columns(self._metadata, name, snapshot) if snapshot < self._last_change else ([], False)
        if as_new:
            return f"({select_nothing(later)})"
        if (empty := self._without_rows(snapshot).get(name)) is not None:
            return f"({select_nothing([*empty, *([_VERSION_COLUMN] if with_version else [])])})"
        # Within the brackets, only what is selected is there: a column of DuckLake's own has to be named.
        columns = ["*", *(["snapshot_id"] if with_version else []), *(column.default_sql for column in later)]
        # AT takes no alias, which the SQL around it may give.
        return f"(SELECT {', '.join(columns)} FROM {named} AT (VERSION => {int(snapshot)}))"

    def _without_rows(self, snapshot: int) -> Mapping[str, Sequence[Column]]:
        """Return the columns of each table that has no row at a snapshot."""
        if (known := self._empty.get(snapshot)) is None:
            if len(self._empty) >= _MOST_REMEMBERED:
                self._empty.clear()
            known = self._empty[snapshot] = empty_tables(self._metadata, snapshot)
        return known

    @functools.cached_property
    def _last_change(self) -> int:
        """The snapshot at which a table last got columns: at later ones, every table has all of its columns."""
        return int(self._metadata("SELECT max(begin_snapshot) FROM METADATA.ducklake_column")[0][0] or 0)
