"""The process that executes users' queries: a program of its own that imports DuckDB and Arrow, but not the store.

A DuckDB query checks its time and memory limits only between batches of rows: one expression over a single row, such as
``len(range(1000000000))``, ran for minutes and took gigabytes under limits of a second and a hundred megabytes. A
process can be killed at any moment without other effects. ``query.process`` starts and kills it.

    python -I worker.py SYS_PATH REQUESTS RESULTS

REQUESTS and RESULTS are descriptors of pipes. A request is a line of JSON; the answer is the byte ``+`` once the
database is ready for the query, the result as an Arrow stream, and a line of JSON: null, or the error as [kind,
message], where the kind is refused, name, failed, memory or result. The process ends with its pipe.

The columns of a user's query have types that Arrow and Python represent exactly. DuckDB converts some types for Arrow
with a loss (the offset of a TIMETZ is lost, 2^128 - 1 becomes -1); these are cast to text or decimals, or refused.
"""

import json
import os
import re
import resource
import sys
import threading
import time
from contextlib import closing
from datetime import date, datetime
from typing import IO, Any

_ORPHAN_CHECK_SECONDS = 1.0


def main() -> None:
    """Answer requests until the pipe of requests is closed."""
    sys.path[:] = json.loads(sys.argv[1])
    # Set before DuckDB is imported: the process can then write no byte to any file, and no core dump.
    for limit in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        resource.setrlimit(limit, (0, 0))
    threading.Thread(target=_end_with_parent, args=[os.getppid()], daemon=True).start()
    # Imported here and not with the first request, which comes later.
    import duckdb
    import pyarrow.ipc  # noqa: F401

    duckdb.connect(":memory:").close()
    with os.fdopen(int(sys.argv[2]), "rb") as requests, os.fdopen(int(sys.argv[3]), "wb") as results:
        for request in requests:
            error = _answer(json.loads(request), results)
            results.write(json.dumps(error).encode() + b"\n")
            results.flush()


def _answer(request: dict[str, Any], results: IO[bytes]) -> tuple[str, str] | None:
    """Write the result of a request, which is empty after an error, and return the error (kind, message) or None."""
    import duckdb
    import pyarrow as pa

    with closing(duckdb.connect(":memory:", config=request["settings"])) as connection:
        for statement in request["setup"]:
            connection.execute(statement)
        failed_views = _make_views(connection, request["views"])
        results.write(b"+")
        results.flush()
        started = False
        try:
            if request["readers"]:
                names, answer = _of_user(connection, request["sql"], request["readers"], request["parameters"])
                reader = answer.to_arrow_reader(request["batch_rows"])
            else:
                reader = connection.execute(request["sql"]).to_arrow_reader(request["batch_rows"])
                names = reader.schema.names
            left = request["result_bytes"]
            # Names may occur twice, which is allowed in a schema only.
            schema = pa.schema([field.with_name(name) for field, name in zip(reader.schema, names, strict=True)])
            with pa.ipc.new_stream(results, schema) as stream:
                started = True
                for batch in reader:
                    left -= batch.nbytes
                    if left < 0:
                        return "result", "the result is larger than the limit"
                    stream.write_batch(batch.rename_columns(names))
            return None
        except BrokenPipeError:
            raise
        except _RefusedError as error:
            return "refused", str(error)
        except duckdb.OutOfMemoryException as error:
            return "memory", str(error)
        except (duckdb.Error, pa.ArrowException, RuntimeError, ValueError) as error:
            kind = "name" if isinstance(error, duckdb.CatalogException) else "failed"
            return kind, "; ".join([str(error), *failed_views[:1]])
        finally:
            if not started:
                pa.ipc.new_stream(results, pa.schema([])).close()


def _make_views(connection: Any, statements: list[str]) -> list[str]:
    """Make the views, and return the errors of views that failed; the other tables can be read without them."""
    import duckdb

    failures = []
    for statement in statements:
        try:
            connection.execute(statement)
        except duckdb.Error as failed:
            failures.append(str(failed))
    return failures


class _RefusedError(Exception):
    """A query that is not executed."""


def _of_user(connection: Any, sql: str, readers: list[str], parameters: Any) -> tuple[list[str], Any]:
    """Return the names of the columns of a user's query, and its result in types that Arrow represents exactly.

    Raises:
        _RefusedError: the text is not one statement that reads, or a column has a type that only DuckDB has.
    """
    *before, reading = _statements(connection, sql, readers)
    # A PIVOT without IN first finds its columns, and stores them as a type.
    for statement in before:
        connection.execute(statement)
    parameters = _from_json(parameters)
    found = connection.query(reading, params=parameters) if parameters else connection.query(reading)
    names = list(found.columns)
    columns = []
    for number, (name, kind) in enumerate(zip(names, found.types, strict=True), start=1):
        wanted = _exact_type(kind, name)
        columns.append(f"#{number}" if wanted is None else f"CAST(#{number} AS {wanted})")
    return names, found.project(", ".join(f"{column} AS c{number}" for number, column in enumerate(columns)))


def _from_json(parameters: Any) -> Any:
    """Return parameters with times in place of the JSON objects that mark them (``parameters.as_json``)."""
    if isinstance(parameters, list):
        return [_time_of(each) for each in parameters]
    return {name: _time_of(each) for name, each in parameters.items()}


def _time_of(value: Any) -> Any:
    match value:
        case {"timestamp": text}:
            return datetime.fromisoformat(text)
        case {"date": text}:
            return date.fromisoformat(text)
        case list():
            return [_time_of(each) for each in value]
        case _:
            return value


def _statements(connection: Any, sql: str, readers: list[str]) -> list[Any]:
    """Return the one statement of a user, which must be a SELECT for DuckDB and begin with a reading word.

    For a PIVOT without named columns, DuckDB adds statements before it, which are returned as well.

    Raises:
        _RefusedError: the text is another statement, or not exactly one.
    """
    import duckdb

    statements = connection.extract_statements(sql)
    # DuckDB splits one PIVOT into several statements, so that the statements are counted in the text.
    if (count := _count(sql)) != 1 or not statements:
        raise _RefusedError(f"expected one statement, got {count}")
    first = re.match(r"(?:\s|\(|--[^\n]*(?:\n|$)|/\*.*?\*/)*(\w*)", sql, re.DOTALL)
    word = first[1].upper() if first else ""
    if statements[-1].type != duckdb.StatementType.SELECT or word not in readers:
        kind = statements[-1].type.name
        raise _RefusedError(
            f"a query only reads: expected {', '.join(sorted(readers))} at its start, got {word or kind} ({kind})"
        )
    return list(statements)


def _count(sql: str) -> int:
    """Return the number of statements in a text; comments and strings are skipped as DuckDB skips them."""
    import duckdb

    text = sql.encode()
    # The position of a token is the byte at which it begins.
    ends = [text[position : position + 1] == b";" for position, _ in duckdb.tokenize(sql)]
    return sum(not end and (place == 0 or ends[place - 1]) for place, end in enumerate(ends))


_AS_TEXT = frozenset({"bignum", "bit", "enum", "interval", "time with time zone", "time_ns", "timestamp_ns", "uuid"})
_UNCHANGED = frozenset(
    {"bigint", "blob", "boolean", "date", "decimal", "double", "float", "integer", "smallint", "time", "timestamp"}
    | {"timestamp with time zone", "timestamp_ms", "timestamp_s", "tinyint", "ubigint", "uinteger", "usmallint"}
    | {"utinyint", "varchar"}
)


def _exact_type(kind: Any, column: str) -> str | None:
    """Return the type to which a column must be cast for Arrow and Python; None if no cast is needed.

    Raises:
        _RefusedError: there is no such type.
    """
    match kind.id:
        case name if name in _UNCHANGED:
            return None
        case name if name in _AS_TEXT:
            return "VARCHAR"
        case "hugeint" | "uhugeint":
            # A number of more than 38 digits makes the cast fail; without the cast, Arrow would have another number.
            return "DECIMAL(38, 0)"
        case "list" | "array":
            child = _exact_type(kind.children[0][1], column)
            return None if child is None else f"{child}[{kind.children[1][1] if kind.id == 'array' else ''}]"
        case "map" | "struct":
            fields = kind.children
            types = [_exact_type(of, column) for _, of in fields]
            names = {name.lower() for name, _ in fields}
            if kind.id == "struct" and ("" in names or len(names) < len(fields)):
                raise _RefusedError(f"the column {column!r} is a structure without names: name its fields")
            if kind.id == "map" and fields[0][1].id in ("array", "list", "map", "struct"):
                raise _RefusedError(f"the column {column!r} is a map with nested keys: use map_entries({column})")
            if not any(types):
                return None
            whole = [wanted or str(of) for wanted, (_, of) in zip(types, fields, strict=True)]
            if kind.id == "map":
                return f"MAP({', '.join(whole)})"
            quoted = ['"' + name.replace('"', '""') + '"' for name, _ in fields]
            return f"STRUCT({', '.join(f'{name} {of}' for name, of in zip(quoted, whole, strict=True))})"
        case _:
            raise _RefusedError(f"the column {column!r} has the type {kind}, which only DuckDB has: cast it to VARCHAR")


def _end_with_parent(parent: int) -> None:
    """End the process when its parent process was killed, since no process would read the result."""
    while os.getppid() == parent:
        time.sleep(_ORPHAN_CHECK_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
