"""A worker process: a Python of its own that receives chunks of work on a pipe and sends their results back.

It is a plain subprocess and not one of ``multiprocessing`` or loky, for three reasons. The spawn method of
``multiprocessing`` runs the main script again in every worker, so that a script without ``if __name__ == "__main__"``
repeats everything before its first large call, and then fails. Workers of a pool outlive a killed parent, while these
workers end with their pipe, also in the middle of a call. And the death of a worker breaks a whole pool, while here
only the chunk of that worker is repeated.

A worker leads a process group of its own, which ends with it, so that a program that scoring code has started does not
continue after a timeout or an interrupt.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import select
import signal
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from queue import SimpleQueue
from typing import Any

from molbuffer.scoring.errors import ScoringError

WORKER_VARIABLE = "MOLBUFFER_SCORING_WORKER"
"""The variable that is set in the environment of a worker, which must not start workers of its own."""
SECONDS_TO_END = 2.0
"""The time that a worker has to end after its pipe is closed, before it is killed."""

_LENGTH = struct.Struct("<Q")
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from molbuffer.scoring.workers.worker import serve; serve()"
)
_RESULT, _RESULTS, _DONE, _FAILED = "result", "results", "done", "failed"


class WorkerDiedError(ScoringError):
    """A worker process ended without an answer."""


class WorkerTimeoutError(ScoringError):
    """A worker process gave no answer within its timeout."""


class UnloadableWorkError(ScoringError):
    """The work or its arguments cannot be sent to a worker process, or cannot be imported there."""


class Worker:
    """The parent's handle of one worker process, for one thread at a time."""

    def __init__(self) -> None:
        # -P keeps the working directory off the import path, where a file json.py of the user would be found first.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, json.dumps([str(folder) for folder in sys.path])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {WORKER_VARIABLE: "1"},
            process_group=0,
        )
        assert self._process.stdout is not None
        self._frames = _Frames(self._process.stdout.fileno())
        self.usable = True
        """Whether the process is idle: it has no call, and has not died."""

    def call(self, work: Callable[..., list[Any]], items: Sequence[Any], arguments: tuple[Any, ...]) -> list[Any]:
        """Return the results of ``work(items, *arguments)`` in the process; errors are those of ``answers``."""
        return list(self.answers(work, items, arguments))

    def answers(
        self,
        work: Callable[..., Iterable[Any]],
        items: Sequence[Any],
        arguments: tuple[Any, ...],
        timeout: float | None = None,
    ) -> Iterator[Any]:
        """Yield the results of ``work(items, *arguments)`` in the process.

        The results of a list arrive together, those of an iterator one by one, each as soon as it is computed.

        Args:
            work: a module-level function.
            items: the first argument of ``work``.
            arguments: the further arguments of ``work``.
            timeout: the longest time without an answer, in seconds.

        Raises:
            WorkerDiedError: the process ended before the last answer.
            WorkerTimeoutError: the process gave no answer in time, and was killed.
            UnloadableWorkError: ``work`` or an argument cannot be sent, or cannot be imported in the process.
            Exception: ``work`` raised it; the traceback of the worker is a note of the exception.
        """
        try:
            # The import path is sent each time, since a scorer may be in a folder that was added after the start.
            request = pickle.dumps((sys.path, pickle.dumps((work, items, arguments))))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise UnloadableWorkError(str(error)) from error
        assert self._process.stdin is not None
        self.usable = False
        try:
            _send(self._process.stdin.fileno(), request)
            while True:
                kind, content = self._frames.receive(timeout)
                if kind in (_DONE, _FAILED):
                    self.usable = True
                if kind == _DONE:
                    return
                if kind == _FAILED:
                    raise content
                yield from content if kind == _RESULTS else (content,)
        except TimeoutError:
            self.kill()
            raise WorkerTimeoutError(f"no answer within {timeout:g} seconds") from None
        except (EOFError, BrokenPipeError) as error:
            raise WorkerDiedError(f"a worker process ended with {_end_of(self._wait())}") from error

    def kill(self) -> None:
        """Kill the process and all processes of its group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._wait()

    def close(self) -> None:
        """End the process."""
        for stream in (self._process.stdin, self._process.stdout):
            # The buffer of a dead process may still have a request, which cannot be flushed.
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]
        self._wait()

    def _wait(self) -> int:
        """Wait for the process to end, kill it if it does not, and return the exit code."""
        try:
            return self._process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def _end_of(exit_code: int) -> str:
    """Return the exit code of a process, or the name of the signal that ended it."""
    if exit_code >= 0:
        return f"exit code {exit_code}"
    with contextlib.suppress(ValueError):
        return f"signal {signal.Signals(-exit_code).name}"
    return f"signal {-exit_code}"


def serve() -> None:
    """Answer requests until the parent closes the pipe or dies."""
    # The parent handles signals, and workers end with its pipe. The handler does nothing, instead of SIG_IGN, which
    # programs that scoring code starts would inherit, so that they could not be terminated.
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, lambda *_: None)
    requests, answers = os.dup(0), os.dup(1)
    # Scoring code must neither read the requests nor print between the answers.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    # Lines that scoring code prints appear at once, and are not lost with a process that is killed.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    waiting: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(requests, waiting), daemon=True).start()
    while True:
        for kind, content in _answers(waiting.get()):
            sent, answer = _pickled(kind, content)
            try:
                _send(answers, answer)
            except OSError:
                _end_all()
            if sent == _FAILED:
                break


def _listen(requests: int, waiting: SimpleQueue[bytes]) -> None:
    """Queue the requests that arrive, and end this process and its children with the pipe of the parent."""
    frames = _Frames(requests)
    try:
        while True:
            waiting.put(frames.receive_bytes(None))
    except (EOFError, OSError):
        _end_all()


def _end_all() -> None:
    # A program that scoring code has started must not outlive this process.
    with contextlib.suppress(OSError):
        if os.getpgid(0) == os.getpid():
            os.killpg(0, signal.SIGKILL)
    os._exit(0)


def _answers(request: bytes) -> Iterator[tuple[str, Any]]:
    """Yield the answers to a request as pairs of kind and content."""
    try:
        sys.path[:], task = pickle.loads(request)  # noqa: S301 - from our own parent
        work, items, arguments = pickle.loads(task)  # noqa: S301
    except Exception as error:
        yield _FAILED, UnloadableWorkError(f"{type(error).__name__}: {error}")
        return
    try:
        results = work(items, *arguments)
        if isinstance(results, list):
            yield _RESULTS, results
        else:
            for result in results:
                yield _RESULT, result
    except Exception as error:
        error.add_note(f"in a worker process:\n{traceback.format_exc()}")
        yield _FAILED, error
    else:
        yield _DONE, None


def _pickled(kind: str, content: Any) -> tuple[str, bytes]:
    """Return the kind and the pickle of an answer; an answer that cannot be pickled and read again is a failure."""
    try:
        answer = pickle.dumps((kind, content))
        if kind == _FAILED:
            pickle.loads(answer)  # noqa: S301 - made in the line above
        return kind, answer
    except Exception as error:
        cause = content if kind == _FAILED else error
        substitute = ScoringError(f"{type(cause).__name__}: {cause}")
        for note in getattr(cause, "__notes__", ()):
            substitute.add_note(note)
        return _FAILED, pickle.dumps((_FAILED, substitute))


def _send(file: int, message: bytes) -> None:
    left = memoryview(_LENGTH.pack(len(message)) + message)
    while left:
        left = left[os.write(file, left) :]


class _Frames:
    """The messages that arrive on a pipe, each after its length."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._ready = select.poll()
        self._ready.register(file, select.POLLIN)
        self._buffer = bytearray()

    def receive(self, timeout: float | None) -> Any:
        """Return the next message; errors are those of ``receive_bytes``."""
        return pickle.loads(self.receive_bytes(timeout))  # noqa: S301 - from our own child

    def receive_bytes(self, timeout: float | None) -> bytes:
        """Return the bytes of the next message.

        Raises:
            EOFError: the other end has closed the pipe.
            TimeoutError: the message has not arrived within ``timeout`` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        (length,) = _LENGTH.unpack(self._take(_LENGTH.size, deadline))
        return self._take(length, deadline)

    def _take(self, size: int, deadline: float | None) -> bytes:
        while len(self._buffer) < size:
            left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
            if not self._ready.poll(left):
                raise TimeoutError
            arrived = os.read(self._file, max(65536, size - len(self._buffer)))
            if not arrived:
                raise EOFError
            self._buffer += arrived
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken
