"""The process in which queries of users run: a program of its own that knows DuckDB and Arrow and nothing of the store.

A DuckDB query looks at its time and memory limits between portions of rows only: one expression over a single row,
such as ``len(range(1000000000))``, ran for minutes and took gigabytes under limits of a second and a hundred megabytes.
A process can be ended at any moment, and takes nothing else with it. ``query.process`` starts it and ends it.

    python -I query_worker.py SYS_PATH REQUESTS RESULTS

REQUESTS and RESULTS are descriptors of pipes. A request is a JSON text after its length; the answer is the byte ``+``
when the database is ready for the query, the result as an Arrow stream, and a JSON text, empty unless there was an
error. The process ends with its pipe.
"""

import json
import os
import resource
import struct
import sys
import threading
import time
from contextlib import closing
from typing import IO, Any

_LENGTH = struct.Struct("<Q")
_LONELY_SECONDS = 1.0


def main() -> None:
    """Answers requests until there are no more."""
    sys.path[:] = json.loads(sys.argv[1])
    # Before DuckDB is there: whatever a query finds to write to, no byte comes of it, nor of a crash.
    for limit in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        resource.setrlimit(limit, (0, 0))
    threading.Thread(target=_end_with_parent, args=[os.getppid()], daemon=True).start()
    with os.fdopen(int(sys.argv[2]), "rb") as requests, os.fdopen(int(sys.argv[3]), "wb") as results:
        while head := requests.read(_LENGTH.size):
            _answer(json.loads(requests.read(_LENGTH.unpack(head)[0])), results)


def _answer(request: dict[str, Any], results: IO[bytes]) -> None:
    import duckdb
    import pyarrow as pa

    error: dict[str, str] = {}
    written = False
    with closing(duckdb.connect(":memory:", config=request["settings"])) as connection:
        for statement in request["setup"]:
            connection.execute(statement)
        unmade = _make_views(connection, request["views"])
        results.write(b"+")
        results.flush()
        try:
            if request["readers"]:
                _check_reads(connection, request["sql"], request["readers"])
            reader = connection.execute(request["sql"]).to_arrow_reader(request["batch_rows"])
            left = request["result_bytes"]
            with pa.ipc.new_stream(results, reader.schema) as stream:
                written = True
                for batch in reader:
                    left -= batch.nbytes
                    if left < 0:
                        raise _RefusedError("QueryTooLargeError", "the result is larger than the limit")
                    stream.write_batch(batch)
        except BrokenPipeError:
            raise
        except _RefusedError as refused:
            error = {"kind": refused.kind, "message": str(refused)}
        except duckdb.OutOfMemoryException as failed:
            error = {"kind": "QueryTooLargeError", "message": str(failed)}
        except (duckdb.Error, pa.ArrowException, RuntimeError, ValueError) as failed:
            error = {"kind": "QueryError", "message": "; ".join([str(failed), *unmade[:1]])}
    if not written:
        pa.ipc.new_stream(results, pa.schema([])).close()
    text = json.dumps(error).encode()
    results.write(_LENGTH.pack(len(text)) + text)
    results.flush()


def _make_views(connection: Any, statements: list[str]) -> list[str]:
    """Makes the views, and says why some could not be made: with a file lost, the other tables can be read."""
    import duckdb

    unmade = []
    for statement in statements:
        try:
            connection.execute(statement)
        except duckdb.Error as failed:
            unmade.append(str(failed))
    return unmade


class _RefusedError(Exception):
    """A query that is not executed, or not to its end."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def _check_reads(connection: Any, sql: str, readers: list[str]) -> None:
    """Refuses all but one statement that DuckDB calls a SELECT and that begins with a word that reads."""
    import re

    import duckdb

    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise _RefusedError("QueryRefusedError", f"expected one statement, got {len(statements)}")
    first = re.match(r"(?:\s|\(|--[^\n]*(?:\n|$)|/\*.*?\*/)*(\w*)", sql, re.DOTALL)
    word = first[1].upper() if first else ""
    if statements[0].type != duckdb.StatementType.SELECT or word not in readers:
        kind = statements[0].type.name
        raise _RefusedError(
            "QueryRefusedError",
            f"a query only reads: it starts with {', '.join(sorted(readers))}; got {word or kind} ({kind})",
        )


def _end_with_parent(parent: int) -> None:
    """Ends the process when the one that started it was killed: nobody would read what it still computes."""
    while os.getppid() == parent:
        time.sleep(_LONELY_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
