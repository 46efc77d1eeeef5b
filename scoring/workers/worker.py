"""A worker process: a Python of its own that receives chunks of work on a pipe and sends their results back.

It is a plain subprocess and not one of ``multiprocessing`` or loky, for three reasons. The spawn method of
``multiprocessing`` runs the main script again in every worker, so that a script without ``if __name__ == "__main__"``
repeats all that precedes its first large call, and then fails. Workers of a pool outlive a killed parent, while these
end with their pipe. And the death of a worker breaks a whole pool, while here only the chunk of that worker is
repeated.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import struct
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import IO, Any

from molbuffer.scoring.errors import ScoringError

WORKER_VARIABLE = "MOLBUFFER_SCORING_WORKER"
"""Set in the environment of a worker, which must not start workers of its own."""
SECONDS_TO_END = 2.0
"""The time that a worker has to end after its pipe is closed, before it is killed."""

_LENGTH = struct.Struct("<Q")
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from molbuffer.scoring.workers.worker import serve; serve()"
)


class WorkerDiedError(ScoringError):
    """A worker process ended without an answer."""


class UnloadableWorkError(ScoringError):
    """The work or its arguments cannot be sent to a worker process, or not imported there."""


class Worker:
    """The parent's handle of one worker process, for one thread at a time."""

    def __init__(self) -> None:
        # -P keeps the working directory off the import path, where a file json.py of the user would be found first.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, json.dumps([str(folder) for folder in sys.path])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {WORKER_VARIABLE: "1"},
        )

    def call(self, work: Callable[..., list[Any]], items: Sequence[Any], arguments: tuple[Any, ...]) -> list[Any]:
        """Return ``work(items, *arguments)`` as the process computes it.

        Raises:
            WorkerDiedError: the process ended without an answer.
            UnloadableWorkError: ``work`` or an argument cannot be sent, or not imported in the process.
            Exception: the exception of ``work``, with the worker's traceback as a note.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            # The import path is sent each time, since a scorer may be in a folder that was added after the start.
            request = pickle.dumps((sys.path, pickle.dumps((work, items, arguments))))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise UnloadableWorkError(str(error)) from error
        try:
            _send(self._process.stdin, request)
            answer, failure = pickle.loads(_receive(self._process.stdout))  # noqa: S301 - from our own child
        except (EOFError, OSError) as error:
            raise WorkerDiedError(f"a worker process ended with exit code {self._end()}") from error
        if failure is not None:
            raise failure
        return list(answer)

    def close(self) -> None:
        """End the process, which is idle or no longer of use."""
        for stream in (self._process.stdin, self._process.stdout):
            # The buffer of a dead process still has a request, which cannot be flushed.
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]
        self._end()

    def _end(self) -> int:
        """Wait for the process to end, kill it if it does not, and return the exit code."""
        try:
            return self._process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def serve() -> None:
    """Answer requests until the parent closes the pipe or dies."""
    # Ctrl-C reaches the whole process group: the parent handles it, and workers end with its pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # Scoring code must neither read the requests nor print between the answers.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    while True:
        try:
            request = _receive(requests)
            _send(answers, _answer(request))
        except (EOFError, OSError):
            # No clean-up of the interpreter is needed, and the parent waits for the end of this process.
            os._exit(0)


def _answer(request: bytes) -> bytes:
    """Return the pickled (results, None) or (None, error)."""
    try:
        sys.path[:], task = pickle.loads(request)  # noqa: S301 - from our own parent
        work, items, arguments = pickle.loads(task)  # noqa: S301
    except Exception as error:
        return pickle.dumps((None, UnloadableWorkError(f"{type(error).__name__}: {error}")))
    try:
        return pickle.dumps((work(items, *arguments), None))
    except Exception as error:
        return _pickled_failure(error)


def _pickled_failure(error: Exception) -> bytes:
    """Pickle an error with its traceback as a note, as a ScoringError if its own class does not survive pickling."""
    note = f"in a worker process:\n{traceback.format_exc()}"
    error.add_note(note)
    try:
        pickled = pickle.dumps((None, error))
        pickle.loads(pickled)  # noqa: S301 - made in the line above
    except Exception:
        substitute = ScoringError(f"{type(error).__name__}: {error}")
        substitute.add_note(note)
        return pickle.dumps((None, substitute))
    return pickled


def _send(stream: IO[bytes], message: bytes) -> None:
    stream.write(_LENGTH.pack(len(message)) + message)
    stream.flush()


def _receive(stream: IO[bytes]) -> bytes:
    """Read one message.

    Raises:
        EOFError: the other end has closed the pipe.
    """
    header = stream.read(_LENGTH.size)
    if len(header) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(header)
    message = stream.read(length)
    if len(message) < length:
        raise EOFError
    return message
