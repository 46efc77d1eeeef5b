"""Queries of users: read-only by construction.

A read-only attachment and locked settings are not enough: a single SELECT that calls a table function of an extension
could delete files through an attached catalog. So a user's SQL runs on a DuckDB database of its own, in memory, which
has no catalog attached and no extension to load: it has views over exactly the Parquet files of one version, may open
only those files, and its settings are locked. Only then is the user's text looked at, which must be one statement that
reads. Nothing is trusted to a list of forbidden words. All this happens in a process of its own, which is ended when it
takes too long or too much memory (``molbuffer.storage.query.process``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa

from molbuffer.storage.backends.engine import CLOSED_SETTINGS, closed_connection, one_line, quote_name, reach_statements
from molbuffer.storage.catalog.parquet_files import file_list
from molbuffer.storage.catalog.readable import ReadableCatalog
from molbuffer.storage.catalog.schema import MIGRATIONS
from molbuffer.storage.catalog.views import QUERYABLE_TABLES, VIEWS, bind
from molbuffer.storage.errors import PredicateError, QueryError, QueryTimeoutError, QueryTooLargeError
from molbuffer.storage.files.places import Place
from molbuffer.storage.query.predicate import check_predicate, shown
from molbuffer.storage.query.process import Request, answer

_READING = frozenset(
    {"SELECT", "WITH", "FROM", "VALUES", "TABLE", "DESCRIBE", "DESC", "SHOW", "SUMMARIZE", "PIVOT", "UNPIVOT"}
)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B", re.IGNORECASE)
_SPILL = "500GB"
_CLOSE = ("SET enable_external_access = false", "SET lock_configuration = true")
_VIEW = "CREATE VIEW "
_VIEWS = tuple(f"{_VIEW}{quote_name(view)} AS {bind(sql, quote_name)}" for view, sql in VIEWS.items())
_COUNT = "SELECT count(*) FROM sample_history WHERE ([condition]\n)"


@dataclass(frozen=True)
class Limits:
    """What one query may take.

    Attributes:
        seconds: until it is interrupted.
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


_OF_NO_ROWS = Limits(seconds=10, memory="256MB")


def run_query(catalog: ReadableCatalog, sql: str, snapshot: int, limits: Limits = Limits()) -> pl.DataFrame:
    """What ``SampleStore.query`` returns, and its errors."""
    return _frame(_answer(view_statements(catalog, snapshot), sql, limits, readers=sorted(_READING)))


def matching_rows(catalog: ReadableCatalog, where: str, snapshot: int, limits: Limits = Limits()) -> pa.Table:
    """What ``SampleStore.matching_rows`` returns, and its errors."""
    return _apply(
        where,
        view_statements(catalog, snapshot),
        limits,
        """SELECT build_id, "row" FROM sample_history WHERE ([condition]\n)
        ORDER BY iteration, event, sampler_order, chunk, build_id, "row" """,
    )


def check_condition(catalog: ReadableCatalog, where: str, snapshot: int, limits: Limits = Limits()) -> str:
    """The predicate, once it was applied to a version within the limits: it can be used in a process of ours.

    Raises:
        PredicateError: it is none, or cannot be applied.
        QueryTimeoutError, QueryTooLargeError: it takes more than it may.
    """
    _apply(where, view_statements(catalog, snapshot), limits, _COUNT)
    return where


def check_unapplied(where: str, limits: Limits = _OF_NO_ROWS) -> str:
    """The predicate, once it was applied to a history without rows: there need be no store yet.

    Raises:
        PredicateError: it is none, or names a column or function that there is not.
        QueryTimeoutError, QueryTooLargeError: it takes more than it may even so.
    """
    _apply(where, _setup_of_no_rows(), limits, _COUNT)
    return where


def read_apart(setup: list[str], sql: str, limits: Limits) -> pa.Table:
    """The result of trusted SQL, made in a process that is ended when it takes more than it may.

    Args:
        setup: ``closed_over`` some files, or the ``view_statements`` of a version.

    Raises:
        QueryTimeoutError, QueryTooLargeError: it does.
        QueryError: a file cannot be read as what it should be.
    """
    return _answer(setup, sql, limits, readers=[])


def _apply(where: str, setup: list[str], limits: Limits, sql: str) -> pa.Table:
    """The result of trusted SQL with a user's predicate in it."""
    condition = check_predicate(where)
    try:
        return _answer(setup, sql.replace("[condition]", condition), limits, readers=[])
    except (QueryTimeoutError, QueryTooLargeError):
        raise
    except QueryError as error:
        raise PredicateError(f"the predicate {shown(where)} cannot be applied to sample_history: {error}") from error


def _answer(setup: list[str], sql: str, limits: Limits, *, readers: list[str]) -> pa.Table:
    request = Request(
        settings=dict(CLOSED_SETTINGS) | {"memory_limit": f"{limits.bytes}B"},
        setup=[statement for statement in setup if not statement.startswith(_VIEW)],
        views=[statement for statement in setup if statement.startswith(_VIEW)],
        sql=sql,
        readers=readers,
        seconds=limits.seconds,
        result_bytes=limits.bytes,
        memory=limits.memory,
    )
    return answer(request)


@contextmanager
def sandbox(
    catalog: ReadableCatalog, snapshot: int, limits: Limits, *, spill: Path | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in this process that sees one version of the store, and nothing else, for SQL of ours.

    Args:
        spill: a folder for what does not fit into the memory; without one, that is an error.
    """
    settings = {"memory_limit": f"{limits.bytes}B"}
    if spill is not None:
        settings |= {"temp_directory": str(spill), "max_temp_directory_size": _SPILL}
    with closing(closed_connection(settings)) as connection:
        for statement in view_statements(catalog, snapshot):
            connection.execute(statement)
        yield connection


def view_statements(catalog: ReadableCatalog, snapshot: int) -> list[str]:
    """The statements after which a database sees one version of the store, and nothing else."""
    sources = catalog.sources(QUERYABLE_TABLES, snapshot)
    paths = [path for source in sources.values() for path in source.paths]
    return [
        *reach_statements(catalog.tables),
        *closed_over(paths),
        *(f"{_VIEW}{quote_name(table)} AS {source.select(snapshot)}" for table, source in sources.items()),
        *_VIEWS,
    ]


def closed_over(paths: Sequence[Place]) -> list[str]:
    """The statements after which a database can open some files, and nothing else."""
    # Order matters: the list of paths cannot be set once access is off, nor anything once settings are locked.
    return [f"SET allowed_paths = {file_list(paths)}", *_CLOSE]


def _setup_of_no_rows() -> list[str]:
    """The statements after which a database is as one that sees a new store."""
    made = [bind(statement, quote_name) for migration in MIGRATIONS for statement in migration.statements]
    return [*_CLOSE, *made, *_VIEWS]


def _frame(table: pa.Table) -> pl.DataFrame:
    """The result as polars has it: a second column of one name gets a number, sums of integers are integers."""
    names: list[str] = []
    for name in table.column_names:
        taken = sum(other == name or other.startswith(f"{name}_") for other in names)
        names.append(f"{name}_{taken}" if name in names else name)
    try:
        frame = pl.DataFrame(table.rename_columns(names))
    except pl.exceptions.PolarsError as error:
        raise QueryError(
            f"the result has a type that no table can hold ({one_line(error)}); cast it to text"
        ) from error
    # DuckDB sums integers in 128 bits, which Arrow has only as decimals.
    sums = [name for name, kind in frame.schema.items() if kind == pl.Decimal(38, 0)]
    fit = [name for name in sums if frame[name].cast(pl.Int64, strict=False).null_count() == frame[name].null_count()]
    return frame.with_columns(pl.col(fit).cast(pl.Int64))
