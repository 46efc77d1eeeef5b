"""Run queries of users, which are read-only by construction.

A read-only attachment and locked settings are not enough: a single SELECT that calls a table function of an extension
could delete files through an attached catalog. So a user's SQL runs on a DuckDB database of its own, in memory, which
has no catalog attached and no extension to load: it has views over exactly the Parquet files of one snapshot, may open
only those files, and its settings are locked. Only then is the user's text looked at, which must be one statement that
reads. Nothing is trusted to a list of forbidden words. All this happens in a process of its own, which is ended when it
takes too long or too much memory (``query.process``).
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
# What a predicate can name; to make all views takes longer than to answer most queries.
_HISTORY = read_by("sample_history")
# The tables whose rows belong to builds and have no end; the others are read whole.
_LARGE = ("rewards", "samples")
_COUNT = "SELECT count(*) FROM sample_history WHERE ([condition]\n)"


@dataclass(frozen=True)
class QueryLimits:
    """What one query may take.

    Attributes:
        seconds: until it is ended.
        memory: for the query, and again for its result; as DuckDB writes sizes, for instance ``2GB``.
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
    """Builds to which a query is confined.

    Attributes:
        build_ids: their ids.
        since: a snapshot before which no row of them was added.
    """

    build_ids: Sequence[str]
    since: int


_OF_NO_ROWS = QueryLimits(seconds=10, memory="256MB")


@dataclass(frozen=True)
class ClosedDatabase:
    """The statements that make a database which sees some files, and nothing else.

    Attributes:
        setup: prepare and close it; each must succeed.
        views: make what can be queried; a file that is lost fails those that read it.
    """

    setup: tuple[str, ...]
    views: tuple[str, ...] = ()

    @classmethod
    def over(cls, paths: Sequence[Place], reach: Sequence[str] = (), views: Sequence[str] = ()) -> Self:
        """Return the database that can open some files.

        Args:
            paths: of the files.
            reach: statements with which DuckDB reaches the object store that they are in.
            views: over the files.
        """
        # Order matters: the list of paths cannot be set once access is off, nor anything once settings are locked.
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
        """Return the database that sees one snapshot of a store, or some tables and views of it.

        Args:
            catalog: of the store.
            snapshot: the snapshot.
            names: the tables and views.
            since: of samples and rewards, files that have only rows of older snapshots than this are left out.
        """
        tables_of = [name for name in QUERYABLE_TABLES if name in names]
        sources = dict(catalog.sources(tables_of, snapshot))
        if since:
            sources |= catalog.sources([name for name in _LARGE if name in tables_of], snapshot, since)
        tables = (f"CREATE VIEW {quote_name(name)} AS {source.select(snapshot)}" for name, source in sources.items())
        paths = [path for source in sources.values() for path in source.paths]
        return cls.over(paths, reach_statements(catalog.tables), (*tables, *_views(names)))

    @classmethod
    def without_rows(cls) -> Self:
        """Return the database that sees the history of a new store."""
        made = (bind(statement, quote_name) for migration in MIGRATIONS for statement in migration.statements)
        return cls((*_CLOSE, *made), _views(_HISTORY))

    def execute(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make the database of a connection."""
        for statement in (*self.setup, *self.views):
            connection.execute(statement)


def _views(names: Sequence[str]) -> tuple[str, ...]:
    """Return the statements that make the views among some names, each after those it reads."""
    return tuple(statement for view, statement in _VIEWS.items() if view in names)


def run_query(
    catalog: ReadableCatalog,
    sql: str,
    snapshot: int,
    limits: QueryLimits = QueryLimits(),
    parameters: Parameters = (),
) -> pa.Table:
    """Return the result of one SELECT of a user over a snapshot, of which ``query.frame`` makes a polars frame.

    Raises:
        QueryRefusedError: the text is not exactly one statement that reads.
        QueryTimeoutError: it took longer than the limit.
        QueryTooLargeError: the query or its result needs more memory than the limit.
        QueryError: DuckDB could not execute it.
        UnknownSnapshotError: the store has no such snapshot.
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
        # Of a name that is put together, or a wrong one: with all names, there is an answer, or what to write instead.
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
        catalog: of the store.
        where: the predicate.
        snapshot: the snapshot to read.
        limits: of the query.
        of: the builds whose rows are looked at; None is all.

    Raises:
        PredicateError: the text is not one boolean expression over a row.
        QueryTimeoutError: it takes longer than the limit.
        QueryTooLargeError: it needs more memory than the limit.
        UnknownSnapshotError: the store has no such snapshot.
    """
    sql = """SELECT build_id, "row" FROM sample_history WHERE [confined]([condition]\n)
        ORDER BY iteration, event, sampler_order, chunk, build_id, "row" """
    confined = "" if of is None else f"build_id IN ({', '.join(map(quote, of.build_ids))}) AND "
    database = ClosedDatabase.of_snapshot(catalog, snapshot, _HISTORY, since=0 if of is None else of.since)
    return _apply(where, database, limits, sql.replace("[confined]", confined))


def check_condition(catalog: ReadableCatalog, where: str, snapshot: int) -> str:
    """Return the predicate once it was applied to a snapshot within ``QueryLimits``: a process of ours may use it.

    Raises:
        PredicateError: it is none, or cannot be applied.
        QueryTimeoutError: it takes longer than the limit.
        QueryTooLargeError: it needs more memory than the limit.
    """
    _apply(where, ClosedDatabase.of_snapshot(catalog, snapshot, _HISTORY), QueryLimits(), _COUNT)
    return where


def check_unapplied(where: str) -> str:
    """Return the predicate once it was applied to a history without rows: there need be no store yet.

    Raises:
        PredicateError: it is none, or names a column or function that there is not.
        QueryTimeoutError: it takes longer than the limit even so.
        QueryTooLargeError: it needs more memory than the limit even so.
    """
    _apply(where, ClosedDatabase.without_rows(), _OF_NO_ROWS, _COUNT)
    return where


def read_apart(database: ClosedDatabase, sql: str, limits: QueryLimits) -> pa.Table:
    """Return the result of trusted SQL, made in a process that is ended when it takes more than it may.

    Raises:
        QueryTimeoutError: it takes longer than the limit.
        QueryTooLargeError: it needs more memory than the limit.
        QueryError: a file cannot be read as what it should be.
    """
    return _answer(database, sql, limits, readers=())


def _apply(where: str, database: ClosedDatabase, limits: QueryLimits, sql: str) -> pa.Table:
    """Return the result of trusted SQL with a user's predicate in it."""
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
    """Open a database in this process that sees one snapshot of the store, and nothing else, for SQL of ours.

    Args:
        catalog: of the store.
        snapshot: the snapshot.
        limits: of which the memory counts.
        spill: a folder for what does not fit into the memory; without one, that is an error.
    """
    settings = {"memory_limit": f"{limits.bytes}B"}
    if spill is not None:
        settings |= {"temp_directory": str(spill), "max_temp_directory_size": _SPILL}
    with closing(closed_connection(settings)) as connection:
        ClosedDatabase.of_snapshot(catalog, snapshot).execute(connection)
        yield connection
