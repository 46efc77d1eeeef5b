"""Isolated databases for users' queries, which can only read.

A read-only attachment with locked settings is not enough: a single SELECT that calls a table function of an extension
could delete files through an attached catalog. A user's SQL therefore runs in a DuckDB database of its own, in memory,
without a catalog and without extensions: it has views over exactly the Parquet files of one snapshot, can open only
these files, and its settings are locked. After that the user's text is parsed, which must be one statement that reads.
No list of forbidden words is used. The database is in a process of its own, which is killed when a query takes too long
or too much memory (``query.process``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import duckdb
import pyarrow as pa

from molbuffer.storage.backends import CLOSED_SETTINGS, SESSION, closed_connection, quote, quote_name, reach_statements
from molbuffer.storage.catalog import MIGRATIONS, QUERYABLE_TABLES, VIEWS, ReadableCatalog, bind, file_list, read_by
from molbuffer.storage.errors import (
    PredicateError,
    QueryError,
    QueryNameError,
    QueryTimeoutError,
    QueryTooLargeError,
)
from molbuffer.storage.files import Place
from molbuffer.storage.query.counted import known_answer
from molbuffer.storage.query.needed import EVERYTHING, needed_by
from molbuffer.storage.query.parameters import Parameters, as_json
from molbuffer.storage.query.predicate import check_predicate, shown
from molbuffer.storage.query.process import QueryRequest, run_query_process

_READING = frozenset(
    {"SELECT", "WITH", "FROM", "VALUES", "TABLE", "DESCRIBE", "DESC", "SHOW", "SUMMARIZE", "PIVOT", "UNPIVOT"}
)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B", re.IGNORECASE)
_SPILL = "500GB"
_CLOSE = ("SET enable_external_access = false", "SET lock_configuration = true")
_VIEWS = {view: f"CREATE VIEW {quote_name(view)} AS {bind(sql, quote_name)}" for view, sql in VIEWS.items()}
# The tables and views for predicates; making all views takes longer than most queries.
_HISTORY = read_by("sample_history")
# The large tables, whose rows belong to builds; the others are read as a whole.
_LARGE = ("rewards", "samples")
_COUNT = "SELECT count(*) FROM sample_history WHERE ([condition]\n)"


@dataclass(frozen=True)
class QueryLimits:
    """The limits of one query.

    Attributes:
        seconds: the time limit in seconds.
        memory: the memory limit of the query, and again of its result, as a size for DuckDB such as ``2GB``.
    """

    seconds: float = 60.0
    memory: str = "2GB"

    @property
    def bytes(self) -> int:
        """The memory in bytes."""
        match = _SIZE.fullmatch(self.memory)
        if match is None:
            raise QueryError(f"expected a memory limit such as 2GB or 512MiB, got {self.memory!r}")
        return int(float(match[1]) * (1024 if match[3] else 1000) ** " KMGT".index(match[2].upper() or " "))


@dataclass(frozen=True)
class SomeBuilds:
    """The builds to which a query is restricted.

    Attributes:
        build_ids: the ids of the builds.
        since: a snapshot before which no row of the builds was added.
    """

    build_ids: Sequence[str]
    since: int


_OF_NO_ROWS = QueryLimits(seconds=10, memory="256MB")


@dataclass(frozen=True)
class ClosedDatabase:
    """The statements that make an isolated database, which can read certain files only.

    Attributes:
        setup: the statements that prepare and close the database; each must succeed.
        views: the statements that make the views; a missing file makes the views that read it fail.
    """

    setup: tuple[str, ...]
    views: tuple[str, ...] = ()

    @classmethod
    def over(cls, paths: Sequence[Place], reach: Sequence[str] = (), views: Sequence[str] = ()) -> Self:
        """Return the isolated database for some files.

        Args:
            paths: the paths of the files.
            reach: the first statements, such as those with which DuckDB reaches the object store of the files.
            views: the statements that make views over the files.
        """
        # The order matters: the paths cannot be set after access is off, and no setting after settings are locked.
        return cls((*reach, f"SET allowed_paths = {file_list(paths)}", *_CLOSE), tuple(views))

    @classmethod
    def of_snapshot(
        cls,
        catalog: ReadableCatalog,
        snapshot: int,
        names: Sequence[str] = EVERYTHING,
        *,
        since: int = 0,
    ) -> Self:
        """Return the isolated database for one snapshot of a store, or for some tables and views of it.

        Args:
            catalog: the catalog of the store.
            snapshot: the snapshot.
            names: the names of the tables and views.
            since: files of samples and rewards that have only rows of snapshots before this one are left out.
        """
        tables_of = [name for name in QUERYABLE_TABLES if name in names]
        sources = dict(catalog.sources(tables_of, snapshot))
        if since:
            sources |= catalog.sources([name for name in _LARGE if name in tables_of], snapshot, since)
        tables = (f"CREATE VIEW {quote_name(name)} AS {source.select(snapshot)}" for name, source in sources.items())
        paths = [path for source in sources.values() for path in source.paths]
        before = (*catalog.session, *reach_statements(catalog.tables))
        return cls.over(paths, before, (*tables, *_views(names)))

    @classmethod
    def without_rows(cls) -> Self:
        """Return the isolated database for the history of a new store, which has no rows."""
        made = (bind(statement, quote_name) for migration in MIGRATIONS for statement in migration.statements)
        return cls((*_CLOSE, *made), _views(_HISTORY))

    def execute(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Execute the statements on a connection."""
        for statement in (*self.setup, *self.views):
            connection.execute(statement)


def _views(names: Sequence[str]) -> tuple[str, ...]:
    """Return the statements that make the views among some names, each after the views that it reads."""
    return tuple(statement for view, statement in _VIEWS.items() if view in names)


def run_query(
    catalog: ReadableCatalog,
    sql: str,
    snapshot: int,
    limits: QueryLimits = QueryLimits(),
    parameters: Parameters = (),
) -> pa.Table:
    """Return the result of one SELECT of a user over a snapshot, which ``query.frame`` converts to a polars frame.

    Raises:
        QueryRefusedError: the text is not exactly one statement that reads.
        QueryTimeoutError: the query took longer than the limit.
        QueryTooLargeError: the query or its result needs more memory than the limit.
        QueryError: DuckDB could not execute the query.
        UnknownSnapshotError: the store does not have the snapshot.
    """
    if not parameters and (known := known_answer(catalog, sql, snapshot)) is not None:
        return known
    values, needed = as_json(parameters), needed_by(sql)

    def answer(names: Sequence[str]) -> pa.Table:
        database = ClosedDatabase.of_snapshot(catalog, snapshot, names)
        return _answer(database, sql, limits, readers=sorted(_READING), parameters=values)

    try:
        return answer(needed)
    except QueryNameError:
        # The statement composes a name, or has a wrong one: with all names it works, or the error suggests a name.
        if needed is EVERYTHING:
            raise
    return answer(EVERYTHING)


def matching_rows(
    catalog: ReadableCatalog,
    where: str,
    snapshot: int,
    limits: QueryLimits = QueryLimits(),
    *,
    of: SomeBuilds | None = None,
) -> pa.Table:
    """Return the rows (build_id, row) of ``sample_history`` for which a user's predicate is true, in row order.

    Args:
        catalog: the catalog of the store.
        where: the predicate.
        snapshot: the snapshot to read.
        limits: the limits of the query.
        of: the builds whose rows are tested; None means all.

    Raises:
        PredicateError: the text is not one boolean expression over a row.
        QueryTimeoutError: the query takes longer than the limit.
        QueryTooLargeError: the query needs more memory than the limit.
        UnknownSnapshotError: the store does not have the snapshot.
    """
    sql = """SELECT build_id, "row" FROM sample_history WHERE [confined]([condition]\n)
        ORDER BY iteration, event, sampler_order, chunk, build_id, "row" """
    confined = "" if of is None else f"build_id IN ({', '.join(map(quote, of.build_ids))}) AND "
    database = ClosedDatabase.of_snapshot(catalog, snapshot, _HISTORY, since=0 if of is None else of.since)
    return _apply(where, database, limits, sql.replace("[confined]", confined))


def check_condition(catalog: ReadableCatalog, where: str, snapshot: int) -> str:
    """Return a predicate after it was applied to a snapshot within ``QueryLimits``, so that this process may evaluate
    it.

    Raises:
        PredicateError: the text is not a predicate, or cannot be applied.
        QueryTimeoutError: the predicate takes longer than the limit.
        QueryTooLargeError: the predicate needs more memory than the limit.
    """
    _apply(where, ClosedDatabase.of_snapshot(catalog, snapshot, _HISTORY), QueryLimits(), _COUNT)
    return where


def check_unapplied(where: str) -> str:
    """Return a predicate after it was applied to a history without rows, for which no store is needed.

    Raises:
        PredicateError: the text is not a predicate, or names an unknown column or function.
        QueryTimeoutError: the predicate takes longer than the limit even without rows.
        QueryTooLargeError: the predicate needs more memory than the limit even without rows.
    """
    _apply(where, ClosedDatabase.without_rows(), _OF_NO_ROWS, _COUNT)
    return where


def read_apart(database: ClosedDatabase, sql: str, limits: QueryLimits) -> pa.Table:
    """Return the result of trusted SQL, executed in a process that is killed when it exceeds a limit.

    Raises:
        QueryTimeoutError: the query takes longer than the limit.
        QueryTooLargeError: the query needs more memory than the limit.
        QueryError: a file cannot be read.
    """
    return _answer(database, sql, limits, readers=())


def _apply(where: str, database: ClosedDatabase, limits: QueryLimits, sql: str) -> pa.Table:
    """Return the result of trusted SQL with a user's predicate in the place of ``[condition]``."""
    condition = check_predicate(where)
    try:
        return _answer(database, sql.replace("[condition]", condition), limits, readers=())
    except (QueryTimeoutError, QueryTooLargeError):
        raise
    except QueryError as error:
        raise PredicateError(f"the predicate {shown(where)} cannot be applied to sample_history: {error}") from error


def _answer(
    database: ClosedDatabase,
    sql: str,
    limits: QueryLimits,
    *,
    readers: Sequence[str],
    parameters: Sequence[Any] | Mapping[str, Any] = (),
) -> pa.Table:
    request = QueryRequest(
        settings=dict(CLOSED_SETTINGS) | {"memory_limit": f"{limits.bytes}B"},
        setup=(*SESSION, *database.setup),
        views=database.views,
        sql=sql,
        readers=readers,
        seconds=limits.seconds,
        result_bytes=limits.bytes,
        memory=limits.memory,
        parameters=parameters,
    )
    return run_query_process(request)


@contextmanager
def sandbox(
    catalog: ReadableCatalog, snapshot: int, limits: QueryLimits, *, spill: Path | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give an isolated database of one snapshot in this process, for trusted SQL.

    Args:
        catalog: the catalog of the store.
        snapshot: the snapshot.
        limits: the limits, of which only the memory applies.
        spill: the folder for data that exceed the memory; without one, exceeding it is an error.
    """
    settings = {"memory_limit": f"{limits.bytes}B"}
    if spill is not None:
        settings |= {"temp_directory": str(spill), "max_temp_directory_size": _SPILL}
    with closing(closed_connection(settings)) as connection:
        ClosedDatabase.of_snapshot(catalog, snapshot).execute(connection)
        yield connection
