"""Commits that wait for one another: the thread that has the turn also commits the waiting commits of this host.

    STORE/waiting/
      turn.lock        held by the thread that has the turn
      <id>.request     the rows of a waiting commit, written under another name and renamed; removed when it is taken
      <id>.answer      the outcome of the request

A transaction takes many times longer than one more build in it, and a commit waits at most for the present transaction
and the next one. The files are messages between living threads, of one process or several; they are no part of the
store, and nothing depends on them. A thread that has no answer when its turn comes (the previous thread died, or did
not take the request) commits by itself, and the look-up under the commit lock finds builds that are committed already.
A request of a dead process is removed.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

import pyarrow as pa

from molbuffer.storage.backends import file_holder, wait_for
from molbuffer.storage.errors import StoreBusyError
from molbuffer.storage.files import PRIVATE_FILE, PRIVATE_FOLDER, write_private
from molbuffer.storage.records import PolicyVersion

_POLL_SECONDS = 0.004
_LOCK, _REQUEST, _ANSWER = "turn.lock", ".request", ".answer"
_OLD_SECONDS = 3600


class Outcome(StrEnum):
    """The outcome of a request."""

    COMMITTED = "committed"
    ALONE = "alone"
    """The request must be committed by itself: a build of it is stored already, or the transaction failed."""
    GONE = "gone"
    """A vacuum removed the arrays of the request, which must be written again."""


@dataclass(frozen=True)
class Answer:
    """The outcome of a request, with its snapshot if it was committed."""

    outcome: Outcome
    snapshot: int = -1


@dataclass(frozen=True)
class BuildKey:
    """The key by which a build is looked up."""

    build_id: str
    run_id: str
    iteration: int


@dataclass(frozen=True, eq=False)
class CommitRequest:
    """A commit whose arrays are written, in a form that another process can commit.

    Attributes:
        builds: the keys of its builds.
        tables: its rows, by table.
        written: the folders under the store's data that must exist.
        message: the message of the snapshot.
        extra: the provenance of the snapshot.
        policies: versions of policies to add.
        process_id: the number of the process that waits.
    """

    builds: Sequence[BuildKey]
    tables: Mapping[str, pa.Table]
    written: Sequence[str]
    message: str
    extra: Mapping[str, Any]
    policies: Sequence[PolicyVersion] = ()
    process_id: int = field(default_factory=os.getpid)

    def write(self, file: BinaryIO) -> None:
        """Write the request as a line of JSON and an Arrow stream for each table."""
        said = {
            "builds": [asdict(build) for build in self.builds],
            "tables": list(self.tables),
            "written": list(self.written),
            "message": self.message,
            "extra": dict(self.extra),
            "policies": [asdict(policy) for policy in self.policies],
            "process_id": self.process_id,
        }
        file.write(json.dumps(said).encode() + b"\n")
        for table in self.tables.values():
            with pa.ipc.new_stream(file, table.schema) as stream:
                stream.write_table(table)

    @classmethod
    def read(cls, file: BinaryIO) -> CommitRequest:
        """Return the request that ``write`` wrote to a file."""
        said = json.loads(file.readline())
        tables = {name: pa.ipc.open_stream(file).read_all() for name in said.pop("tables")}
        builds = [BuildKey(**build) for build in said.pop("builds")]
        policies = [PolicyVersion(**policy) for policy in said.pop("policies")]
        return cls(builds=builds, tables=tables, policies=policies, **said)


@dataclass(frozen=True, eq=False)
class WaitingCommit:
    """A request that was taken, and the function that answers it."""

    request: CommitRequest
    answer: Callable[[Answer], None]


class Turns:
    """The turns of the commits of one store on this host.

    Args:
        folder: the folder of the files, in the store's folder, which must exist.
        seconds: how long a commit waits for its turn, in seconds.
    """

    def __init__(self, folder: Path, seconds: float) -> None:
        self._folder, self._seconds = folder, seconds
        folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)

    @contextmanager
    def turn(self, request: CommitRequest | None) -> Iterator[Answer | None]:
        """Wait for the turn, or for the answer to a request if it comes first.

        The context gives None if the caller has the turn, which lasts until the end of the context, or else the answer.

        Raises:
            StoreBusyError: neither the turn nor an answer came in time; the request is withdrawn.
            OSError: the disk refused.
        """
        lock = self._folder / _LOCK
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
        try:
            # Most of the time no other thread has the turn, and no file is written.
            if _taken(descriptor):
                yield None
            else:
                yield self._queue(descriptor, lock, request)
        finally:
            os.close(descriptor)

    def waiting(self) -> Iterator[WaitingCommit]:
        """Take the requests of other threads, the oldest first; only the thread that has the turn may call this."""
        for path in sorted(path for path in self._folder.iterdir() if path.name != _LOCK):
            if path.suffix != _REQUEST:
                _remove_old(path)
                continue
            request = _take(path)
            if request is not None and _alive(request.process_id):
                yield WaitingCommit(request, partial(self._answer, path.with_suffix(_ANSWER)))

    def _queue(self, descriptor: int, lock: Path, request: CommitRequest | None) -> Answer | None:
        name = f"{time.time_ns():020d}-{uuid4().hex}"
        asked, answer = self._folder / f"{name}{_REQUEST}", self._folder / f"{name}{_ANSWER}"
        said = str(answer)

        def wait(seconds: float) -> bool:
            end = time.monotonic() + seconds
            while not os.path.exists(said) and not _taken(descriptor):
                if time.monotonic() > end:
                    return False
                time.sleep(_POLL_SECONDS)
            return True

        if request is not None:
            aside = asked.with_suffix(".aside")
            with open(aside, "xb", opener=partial(os.open, mode=PRIVATE_FILE)) as file:
                request.write(file)
            aside.rename(asked)
        try:
            wait_for(str(lock), wait, self._seconds, lambda: file_holder(lock))
        except StoreBusyError:
            if request is None or _removed(asked):
                raise
            # Another thread has taken the request: its answer comes, or the turn if that thread dies.
            while not wait(self._seconds):
                pass
        except BaseException:
            _removed(asked)
            raise
        _removed(asked)
        return _read_answer(answer)

    @staticmethod
    def _answer(path: Path, answer: Answer) -> None:
        aside = path.with_suffix(".said")
        write_private(aside, json.dumps(asdict(answer)).encode())
        aside.rename(path)


def _taken(descriptor: int) -> bool:
    """Try to take the lock of the turn, and return whether it was taken; closing the file releases it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def _take(path: Path) -> CommitRequest | None:
    """Return a request and remove its file; None if the request was withdrawn or cannot be read."""
    taken = path.with_suffix(".taken")
    try:
        path.rename(taken)
    except FileNotFoundError:
        return None
    try:
        with taken.open("rb") as file:
            return CommitRequest.read(file)
    except (ValueError, KeyError, TypeError, pa.ArrowException):
        # The file comes from another release, or from a crash of the machine: its process commits by itself.
        return None
    finally:
        taken.unlink(missing_ok=True)


def _remove_old(path: Path) -> None:
    """Remove a file that is older than any waiting time: a killed process has left it."""
    with suppress(FileNotFoundError):
        if time.time() - path.stat().st_mtime > _OLD_SECONDS:
            path.unlink()


def _removed(path: Path) -> bool:
    """Remove a file, and return whether it existed."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def _read_answer(path: Path) -> Answer | None:
    try:
        said = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    path.unlink()
    return Answer(Outcome(said["outcome"]), said["snapshot"])


def _alive(process_id: int) -> bool:
    """Return whether a process of this host exists, also if it belongs to another user."""
    with suppress(PermissionError):
        try:
            os.kill(process_id, 0)
        except ProcessLookupError:
            return False
    return True
