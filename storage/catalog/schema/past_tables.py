"""The SQL for tables at a snapshot, with the columns of later migrations, and without reading empty tables in DuckLake.

DuckLake has no statistics of an empty table, and searches its catalog for them once for each column: reading an empty
table takes several times as long as reading a table with rows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from molbuffer.storage.catalog.parquet.parquet_files import Column, empty_tables, later_columns, select_nothing
from molbuffer.storage.catalog.schema.views import bind, tables_in, with_views

# The largest number of snapshots whose empty tables are cached.
_MOST_REMEMBERED = 100
# DuckLake's column with the snapshot that added a row.
_VERSION_COLUMN = Column("snapshot_id", "BIGINT")


class PastTables:
    """The tables of a catalog at its snapshots, which never change.

    Args:
        metadata: a function that reads DuckLake's own tables (``Catalog.metadata``).
    """

    def __init__(self, metadata: Callable[..., list[tuple[Any, ...]]]) -> None:
        self._metadata = metadata
        self._empty: dict[int, Mapping[str, Sequence[Column]]] = {}
        # Tables that are known to have rows; the table of migrations always has.
        self._filled = {"migrations"}

    def may_be_empty(self, sql: str) -> bool:
        """Return whether SQL reads a table that may be empty now and that a SELECT of no rows can replace."""
        names, text = tables_in(sql)
        # DuckLake's snapshot_id can be named, but is not in ``*``; in the SELECT that replaces a table it would be.
        return not self._filled.issuperset(names) and (_VERSION_COLUMN.name not in text or "*" not in text)

    def now(self, sql: str, named: Callable[[str], str], newest: int, changed: Collection[str] = ()) -> str:
        """Return SQL for a transaction at the newest snapshot, with the SQL of each table in place of its name.

        Args:
            sql: the SQL, which names tables and views as ``{samples}``.
            named: a function that returns the SQL for the present table of a name.
            newest: the newest snapshot.
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
        """Return the SQL, in brackets, for a table at a snapshot.

        Args:
            name: the name of the table.
            named: the SQL for the present table.
            snapshot: the snapshot.
            with_version: whether ``*`` has the column ``snapshot_id``, the snapshot that added each row.
        """
        later, as_new = later_columns(self._metadata, name, snapshot) if snapshot < self._last_change else ([], False)
        if as_new:
            return f"({select_nothing(later)})"
        if (empty := self._without_rows(snapshot).get(name)) is not None:
            return f"({select_nothing([*empty, *([_VERSION_COLUMN] if with_version else [])])})"
        # A column of DuckLake's own must be named, since ``*`` does not include it.
        columns = ["*", *(["snapshot_id"] if with_version else []), *(column.default_sql for column in later)]
        # The SELECT is needed because AT takes no alias, which the surrounding SQL may give.
        return f"(SELECT {', '.join(columns)} FROM {named} AT (VERSION => {int(snapshot)}))"

    def _without_rows(self, snapshot: int) -> Mapping[str, Sequence[Column]]:
        """Return the columns of each table that is empty at a snapshot."""
        if (known := self._empty.get(snapshot)) is None:
            if len(self._empty) >= _MOST_REMEMBERED:
                self._empty.clear()
            known = self._empty[snapshot] = empty_tables(self._metadata, snapshot)
        return known

    @functools.cached_property
    def _last_change(self) -> int:
        """The newest snapshot that added a column to any table; later snapshots have all columns."""
        return int(self._metadata("SELECT max(begin_snapshot) FROM METADATA.ducklake_column")[0][0] or 0)
