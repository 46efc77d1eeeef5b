"""Runs queries of users in processes that are ended when they take more time or memory than they may.

A process is started with the first query and kept for the next one; queries at the same time have one each. The process
inherits neither the environment, where secrets may be, nor any open file.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from molbuffer.storage.backends.engine import one_line
from molbuffer.storage.errors import QueryError, QueryRefusedError, QueryTimeoutError, QueryTooLargeError

_WORKER = Path(__file__).with_name("worker.py")
_LENGTH = struct.Struct("<Q")
_WATCH_SECONDS = 0.02
# DuckDB itself, and what it reads files into, which its own limit does not count.
_SLACK_BYTES = 256 * 10**6
_INHERITED = ("TZ", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_ERRORS: Mapping[str, type[QueryError]] = {
    kind.__name__: kind for kind in (QueryError, QueryRefusedError, QueryTooLargeError)
}
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Request:
    """One query.

    Attributes:
        settings, setup: of its database, and the statements that prepare it; trusted, and outside of the limits.
        views: statements that make what it reads; a query of other views than one that cannot be made is answered.
        sql: the query; readers: the words one of a user may begin with; none when the SQL is ours.
        seconds: until it is ended. result_bytes: what its result may take; it may take as much itself.
        memory: the same as the user wrote it.
    """

    settings: Mapping[str, Any]
    setup: list[str]
    views: list[str]
    sql: str
    readers: list[str]
    seconds: float
    result_bytes: int
    memory: str
    batch_rows: int = 100_000

    def to_bytes(self) -> bytes:
        """The request as the process reads it."""
        text = json.dumps(vars(self)).encode()
        return _LENGTH.pack(len(text)) + text


@dataclass
class _Worker:
    """A process that answers one request at a time.

    Attributes:
        why: what it was ended for, once it was.
    """

    process: subprocess.Popen[bytes]
    requests: IO[bytes]
    results: IO[bytes]
    why: list[QueryError] = field(default_factory=list)

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
                env={name: os.environ[name] for name in _INHERITED if name in os.environ},
                cwd="/",
            )
        finally:
            os.close(requests)
            os.close(results)
        worker = cls(process, os.fdopen(to_requests, "wb"), os.fdopen(from_results, "rb"))
        atexit.register(worker.close)
        return worker

    def answer(self, request: Request) -> pa.Table:
        """The result of a query, or its error."""
        self.requests.write(request.to_bytes())
        self.requests.flush()
        if self.results.read(1) != b"+":
            raise QueryError(f"the database of the query cannot be set up: {self._ended()}")
        with self._watched(request):
            with pa.ipc.open_stream(self.results) as stream:
                table = stream.read_all()
            (length,) = _LENGTH.unpack(self.results.read(_LENGTH.size))
            error = json.loads(self.results.read(length))
        if error:
            raise _ERRORS[error["kind"]](_explained(error, request))
        return table

    def close(self) -> None:
        """Ends the process, whatever it is doing."""
        atexit.unregister(self.close)
        self.process.kill()
        self.process.wait()
        self.requests.close()
        self.results.close()

    @contextmanager
    def _watched(self, request: Request) -> Any:
        """Has the process ended when the query takes more than it may."""
        done = threading.Event()
        watcher = threading.Thread(target=self._watch, args=[request, done], daemon=True)
        watcher.start()
        try:
            yield
        except (pa.ArrowException, OSError, EOFError, struct.error, ValueError) as error:
            raise (self.why or [QueryError(f"the query ended its process: {self._ended()}")])[0] from error
        finally:
            done.set()
            watcher.join()

    def _watch(self, request: Request, done: threading.Event) -> None:
        end = time.monotonic() + request.seconds
        # What earlier queries left is not given back to the system at once.
        most = _resident_bytes(self.process.pid) + 2 * request.result_bytes + _SLACK_BYTES
        while not done.wait(min(_WATCH_SECONDS, max(0.0, end - time.monotonic()))):
            if time.monotonic() >= end:
                self.why.append(
                    QueryTimeoutError(f"the query took longer than {request.seconds:g} s; narrow it or allow more")
                )
            elif _resident_bytes(self.process.pid) > most:
                self.why.append(QueryTooLargeError(f"the query needs more than {request.memory} of memory"))
            else:
                continue
            self.process.kill()
            return

    def _ended(self) -> str:
        code = self.process.wait()
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


_idle: dict[int, list[_Worker]] = {}
_lock = threading.Lock()


def answer(request: Request) -> pa.Table:
    """The result of a query.

    Raises:
        QueryRefusedError: it is not exactly one statement that reads.
        QueryTimeoutError, QueryTooLargeError: it took more than it may.
        QueryError: DuckDB could not execute it.
    """
    with _lock:
        # By process: a fork has no part in its parent's pipes.
        idle = _idle.setdefault(os.getpid(), [])
        worker = idle.pop() if idle else None
    if worker is None or worker.process.poll() is not None:
        worker = _Worker.start()
    try:
        table = worker.answer(request)
    except QueryError:
        _keep_or_close(worker, idle)
        raise
    except BaseException:
        worker.close()
        raise
    _keep_or_close(worker, idle)
    return table


def _keep_or_close(worker: _Worker, idle: list[_Worker]) -> None:
    if worker.why or worker.process.poll() is not None:
        worker.close()
        return
    with _lock:
        idle.append(worker)


def _explained(error: Mapping[str, str], request: Request) -> str:
    said = one_line(error["message"])
    if error["kind"] != QueryTooLargeError.__name__:
        return said
    if said == "the result is larger than the limit":
        return f"the result is larger than {request.memory}; add a LIMIT or aggregate"
    return f"the query needs more than {request.memory} of memory: {said}"


def _resident_bytes(process_id: int) -> int:
    """The memory that a process has; 0 where the system does not say (only Linux does), or once it has ended."""
    try:
        return int(Path(f"/proc/{process_id}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0
