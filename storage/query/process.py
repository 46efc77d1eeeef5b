"""Run queries of users in processes that are ended when they take more time or memory than they may.

A process is started with the first query and kept for the next one; queries at the same time have one each. The process
inherits neither the environment, where secrets may be, nor any open file.
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
# DuckDB itself, and what it reads files into, which its own limit does not count.
_SLACK_BYTES = 256 * 10**6
_INHERITED = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
# What a query answers does not depend on the place of the machine.
_FIXED = {"TZ": "UTC", "LC_ALL": "C.UTF-8"}
_PAGE = os.sysconf("SC_PAGE_SIZE")
_BY_KIND = {"refused": QueryRefusedError, "name": QueryNameError}


@dataclass(frozen=True, kw_only=True)
class QueryRequest:
    """One query, as ``query.worker`` reads it.

    Attributes:
        settings: of its database.
        setup: trusted statements that prepare the database, outside of the limits.
        views: statements that make what the query reads; where one fails, a query of the other views is answered.
        sql: the query.
        readers: the words with which the query of a user may begin; none when the SQL is ours.
        seconds: after which it is ended.
        result_bytes: what its result may take; the query may take as much itself.
        memory: the same as the user wrote it.
        parameters: for each ``?`` or ``$name`` in the query of a user, as values of JSON.
        batch_rows: how many rows a portion of the result has.
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
        QueryRefusedError: it is not exactly one statement that reads.
        QueryTimeoutError: it took longer than it may.
        QueryTooLargeError: it, or its result, took more memory than it may.
        QueryError: DuckDB could not execute it.
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
    """Start the process of the first query, which is ready sooner when something else is done meanwhile; where one is
    idle, it answers that query.
    """
    if not _idle_workers():
        _idle_workers().append(_Worker.start())


_idle: dict[int, list[_Worker]] = {}


def _idle_workers() -> list[_Worker]:
    """Return the idle processes of this one, as a fork has no part in its parent's pipes."""
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
        requests: its end of the pipe for requests.
        results: its end of the pipe for results.
        answered: whether it has answered all that it was asked.
        ended_by: what it was ended for, once it was.
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
        """Return whether it can be given another request."""
        return self.answered and self.ended_by is None and self.process.poll() is None

    def close(self) -> None:
        """End the process, whatever it is doing."""
        atexit.unregister(self.close)
        self.process.kill()
        self.process.wait()
        self.requests.close()
        self.results.close()

    @contextmanager
    def _watched(self, request: QueryRequest) -> Iterator[None]:
        """Have the process ended when the query takes more than it may."""
        done = threading.Event()
        watcher = threading.Thread(target=self._watch, args=[request, done], daemon=True)
        watcher.start()
        try:
            yield
        except (pa.ArrowException, OSError, EOFError, ValueError) as error:
            # The process is no more, and what it wrote ends in the middle.
            raise self.ended_by or QueryError(f"the query ended its process: {self._exit_status()}") from error
        finally:
            done.set()
            watcher.join()

    def _watch(self, request: QueryRequest, done: threading.Event) -> None:
        end = time.monotonic() + request.seconds
        # What earlier queries left is not given back to the system at once.
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
    """Return the error that a process answered with."""
    if kind == "result":
        return QueryTooLargeError(f"the result is larger than {memory}; add a LIMIT or aggregate")
    if kind == "memory":
        return QueryTooLargeError(f"the query needs more than {memory} of memory: {one_line(message)}")
    return _BY_KIND.get(kind, QueryError)(one_line(message))


def _resident_bytes(process_id: int) -> int:
    """Return the memory that a process has; 0 once it has ended, and on systems other than Linux."""
    try:
        return int(Path(f"/proc/{process_id}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0
