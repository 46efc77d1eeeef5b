"""Execution of users' queries in processes that are killed when a query exceeds its time or memory limit.

The first query starts a process, which is kept for the next query; simultaneous queries have a process each. The
process inherits neither the environment, which may have secrets, nor open files.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from molbuffer.storage.backends import one_line
from molbuffer.storage.errors import (
    QueryError,
    QueryNameError,
    QueryRefusedError,
    QueryTimeoutError,
    QueryTooLargeError,
)

_WORKER = Path(__file__).with_name("worker.py")
_WATCH_SECONDS = 0.02
# The memory of DuckDB itself and of its file buffers, which DuckDB's own limit does not count.
_SLACK_BYTES = 256 * 10**6
_INHERITED = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
# Fixed, so that the answer of a query does not depend on the location of the machine.
_FIXED = {"TZ": "UTC", "LC_ALL": "C.UTF-8"}
_PAGE = os.sysconf("SC_PAGE_SIZE")
_BY_KIND = {"refused": QueryRefusedError, "name": QueryNameError}


@dataclass(frozen=True, kw_only=True)
class QueryRequest:
    """A query, in the form that ``query.worker`` reads.

    Attributes:
        settings: the settings of the database.
        setup: trusted statements that prepare the database, to which the limits do not apply.
        views: statements that make the views for the query; if one fails, queries of the other views still work.
        sql: the query.
        readers: the words with which a user's query may begin; empty for trusted SQL.
        seconds: the time limit in seconds.
        result_bytes: the size limit of the result in bytes; the query itself may take as much memory.
        memory: the same limit as the user wrote it.
        parameters: the values for each ``?`` or ``$name`` in a user's query, as JSON values.
        batch_rows: the largest number of rows in a batch of the result.
    """

    settings: Mapping[str, Any]
    setup: Sequence[str]
    views: Sequence[str]
    sql: str
    readers: Sequence[str]
    seconds: float
    result_bytes: int
    memory: str
    parameters: Sequence[Any] | Mapping[str, Any] = ()
    batch_rows: int = 100_000


def run_query_process(request: QueryRequest) -> pa.Table:
    """Return the result of a query.

    Raises:
        QueryRefusedError: the query is not exactly one statement that reads.
        QueryTimeoutError: the query exceeded its time limit.
        QueryTooLargeError: the query or its result exceeded the memory limit.
        QueryError: DuckDB could not execute the query.
    """
    worker = _take_worker()
    try:
        return worker.answer(request)
    finally:
        if worker.is_ready():
            _idle_workers().append(worker)
        else:
            worker.close()


def prepare_query_process() -> None:
    """Start the process for the next query in advance, unless one is idle already."""
    if not _idle_workers():
        _idle_workers().append(_Worker.start())


_idle: dict[int, list[_Worker]] = {}


def _idle_workers() -> list[_Worker]:
    """Return the idle query processes of this process; a forked process must not use its parent's pipes."""
    return _idle.setdefault(os.getpid(), [])


def _take_worker() -> _Worker:
    # pop and append are atomic, so that threads need no lock.
    try:
        worker = _idle_workers().pop()
    except IndexError:
        return _Worker.start()
    if worker.process.poll() is None:
        return worker
    worker.close()
    return _Worker.start()


@dataclass
class _Worker:
    """A process that answers one request at a time.

    Attributes:
        process: the process.
        requests: this process's end of the pipe for requests.
        results: this process's end of the pipe for results.
        answered: whether the process has answered all requests.
        ended_by: the error for which the process was killed; None if it was not.
    """

    process: subprocess.Popen[bytes]
    requests: IO[bytes]
    results: IO[bytes]
    answered: bool = True
    ended_by: QueryError | None = None

    @classmethod
    def start(cls) -> _Worker:
        requests, to_requests = os.pipe()
        from_results, results = os.pipe()
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", str(_WORKER), json.dumps(sys.path), str(requests), str(results)],
                pass_fds=(requests, results),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={name: os.environ[name] for name in _INHERITED if name in os.environ} | _FIXED,
                cwd="/",
            )
        finally:
            os.close(requests)
            os.close(results)
        worker = cls(process, os.fdopen(to_requests, "wb"), os.fdopen(from_results, "rb"))
        atexit.register(worker.close)
        return worker

    def answer(self, request: QueryRequest) -> pa.Table:
        """Return the result of a query, or raise its error."""
        self.answered = False
        self.requests.write(json.dumps(asdict(request)).encode() + b"\n")
        self.requests.flush()
        if self.results.read(1) != b"+":
            raise QueryError(f"the database of the query cannot be set up: {self._exit_status()}")
        with self._watched(request):
            with pa.ipc.open_stream(self.results) as stream:
                table = stream.read_all()
            error = json.loads(self.results.readline())
            self.answered = True
        if error is not None:
            raise _error(*error, memory=request.memory)
        return table

    def is_ready(self) -> bool:
        """Return whether the process can take another request."""
        return self.answered and self.ended_by is None and self.process.poll() is None

    def close(self) -> None:
        """Kill the process and close its pipes."""
        atexit.unregister(self.close)
        self.process.kill()
        self.process.wait()
        self.requests.close()
        self.results.close()

    @contextmanager
    def _watched(self, request: QueryRequest) -> Iterator[None]:
        """Kill the process during the context if the query exceeds a limit, and raise the error for it."""
        done = threading.Event()
        watcher = threading.Thread(target=self._watch, args=[request, done], daemon=True)
        watcher.start()
        try:
            yield
        except (pa.ArrowException, OSError, EOFError, ValueError) as error:
            # The process has ended, and its output is incomplete.
            raise self.ended_by or QueryError(f"the query ended its process: {self._exit_status()}") from error
        finally:
            done.set()
            watcher.join()

    def _watch(self, request: QueryRequest, done: threading.Event) -> None:
        end = time.monotonic() + request.seconds
        # The process does not return the memory of earlier queries to the system at once.
        most = _resident_bytes(self.process.pid) + 2 * request.result_bytes + _SLACK_BYTES
        while not done.wait(min(_WATCH_SECONDS, max(0.0, end - time.monotonic()))):
            if time.monotonic() >= end:
                self.ended_by = QueryTimeoutError(
                    f"the query took longer than {request.seconds:g} s; narrow it or allow more"
                )
            elif _resident_bytes(self.process.pid) > most:
                self.ended_by = QueryTooLargeError(f"the query needs more than {request.memory} of memory")
            else:
                continue
            self.process.kill()
            return

    def _exit_status(self) -> str:
        code = self.process.wait()
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _error(kind: str, message: str, *, memory: str) -> QueryError:
    """Return the error for an answer (kind, message) of a query process."""
    if kind == "result":
        return QueryTooLargeError(f"the result is larger than {memory}; add a LIMIT or aggregate")
    if kind == "memory":
        return QueryTooLargeError(f"the query needs more than {memory} of memory: {one_line(message)}")
    return _BY_KIND.get(kind, QueryError)(one_line(message))


def _resident_bytes(process_id: int) -> int:
    """Return the resident memory of a process in bytes; 0 if it has ended, and on systems other than Linux."""
    try:
        return int(Path(f"/proc/{process_id}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0
