"""The process in which queries of users run: a program of its own that knows DuckDB and Arrow and nothing of the store.

A DuckDB query looks at its time and memory limits between portions of rows only: one expression over a single row,
such as ``len(range(1000000000))``, ran for minutes and took gigabytes under limits of a second and a hundred megabytes.
A process can be ended at any moment, and takes nothing else with it. ``query.process`` starts it and ends it.

    python -I worker.py SYS_PATH REQUESTS RESULTS

REQUESTS and RESULTS are descriptors of pipes. A request is a line of JSON; the answer is the byte ``+`` once the
database is ready for the query, the result as an Arrow stream, and a line of JSON: null, or the error as [kind,
message], where the kind is refused, failed, memory or result. The process ends with its pipe.
"""

import json
import os
import re
import resource
import sys
import threading
import time
from contextlib import closing
from typing import IO, Any

_ORPHAN_CHECK_SECONDS = 1.0


def main() -> None:
    """Answer requests until there are no more."""
    sys.path[:] = json.loads(sys.argv[1])
    # Before DuckDB is there: whatever a query finds to write to, no byte comes of it, nor of a crash.
    for limit in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        resource.setrlimit(limit, (0, 0))
    threading.Thread(target=_end_with_parent, args=[os.getppid()], daemon=True).start()
    with os.fdopen(int(sys.argv[2]), "rb") as requests, os.fdopen(int(sys.argv[3]), "wb") as results:
        for request in requests:
            error = _answer(json.loads(request), results)
            results.write(json.dumps(error).encode() + b"\n")
            results.flush()


def _answer(request: dict[str, Any], results: IO[bytes]) -> tuple[str, str] | None:
    """Write the result of a request, empty where there is an error, and return the error."""
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
                _check_reads(connection, request["sql"], request["readers"])
            reader = connection.execute(request["sql"]).to_arrow_reader(request["batch_rows"])
            left = request["result_bytes"]
            with pa.ipc.new_stream(results, reader.schema) as stream:
                started = True
                for batch in reader:
                    left -= batch.nbytes
                    if left < 0:
                        return "result", "the result is larger than the limit"
                    stream.write_batch(batch)
            return None
        except BrokenPipeError:
            raise
        except _RefusedError as error:
            return "refused", str(error)
        except duckdb.OutOfMemoryException as error:
            return "memory", str(error)
        except (duckdb.Error, pa.ArrowException, RuntimeError, ValueError) as error:
            return "failed", "; ".join([str(error), *failed_views[:1]])
        finally:
            if not started:
                pa.ipc.new_stream(results, pa.schema([])).close()


def _make_views(connection: Any, statements: list[str]) -> list[str]:
    """Make the views, and return why some could not be made: with a file lost, the other tables can be read."""
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


def _check_reads(connection: Any, sql: str, readers: list[str]) -> None:
    """Refuse all but one statement that DuckDB calls a SELECT and that begins with a word that reads."""
    import duckdb

    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise _RefusedError(f"expected one statement, got {len(statements)}")
    first = re.match(r"(?:\s|\(|--[^\n]*(?:\n|$)|/\*.*?\*/)*(\w*)", sql, re.DOTALL)
    word = first[1].upper() if first else ""
    if statements[0].type != duckdb.StatementType.SELECT or word not in readers:
        kind = statements[0].type.name
        raise _RefusedError(
            f"a query only reads: expected {', '.join(sorted(readers))} at its start, got {word or kind} ({kind})"
        )


def _end_with_parent(parent: int) -> None:
    """End the process when the one that started it was killed: nobody would read what it still computes."""
    while os.getppid() == parent:
        time.sleep(_ORPHAN_CHECK_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
