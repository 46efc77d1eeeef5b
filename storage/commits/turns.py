"""Commits that wait for one another: whoever has the turn commits what the others of this host have ready, too.

    STORE/waiting/
      turn.lock        held by the thread whose turn it is
      <id>.request     the rows of a commit that waits, written aside and renamed; who takes it removes it
      <id>.answer      what became of them

A transaction takes many times what one more build in it does, and nobody waits longer than for the transaction that is
made and the next one. The files are messages between threads that live, of one process or of several, and no part of
the store: nothing depends on them. Who has no answer when its turn comes (the one before died, or left the request)
commits by itself, and what was committed already is found by the look-up under the commit lock (R3). A request whose
process is dead is removed.
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
    """What became of a request."""

    COMMITTED = "committed"
    ALONE = "alone"
    """It is to be committed by itself: a build of it is there already, or the transaction failed."""
    GONE = "gone"
    """A vacuum removed its arrays: they are to be written again."""


@dataclass(frozen=True)
class Answer:
    """What became of a request, and in which snapshot."""

    outcome: Outcome
    snapshot: int = -1


@dataclass(frozen=True)
class BuildKey:
    """What a build is looked up by."""

    build_id: str
    run_id: str
    iteration: int


@dataclass(frozen=True, eq=False)
class CommitRequest:
    """A commit whose arrays are written, as another process can carry it out.

    Attributes:
        builds: its builds.
        tables: its rows, by table.
        written: the folders under the store's data that must be there.
        message: what it adds.
        extra: its provenance.
        policies: versions of policies.
        process_id: of the process that waits.
    """

    builds: Sequence[BuildKey]
    tables: Mapping[str, pa.Table]
    written: Sequence[str]
    message: str
    extra: Mapping[str, Any]
    policies: Sequence[PolicyVersion] = ()
    process_id: int = field(default_factory=os.getpid)

    def write(self, file: BinaryIO) -> None:
        """Write it as a line of JSON and an Arrow stream for each table."""
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
        """Read what ``write`` wrote."""
        said = json.loads(file.readline())
        tables = {name: pa.ipc.open_stream(file).read_all() for name in said.pop("tables")}
        builds = [BuildKey(**build) for build in said.pop("builds")]
        policies = [PolicyVersion(**policy) for policy in said.pop("policies")]
        return cls(builds=builds, tables=tables, policies=policies, **said)


@dataclass(frozen=True, eq=False)
class WaitingCommit:
    """A request that was taken, and has to be answered."""

    request: CommitRequest
    answer: Callable[[Answer], None]


class Turns:
    """The turns of the commits of one store on this host.

    Args:
        folder: for the files, in the store's folder, which is there.
        seconds: how long one waits for one's turn.
    """

    def __init__(self, folder: Path, seconds: float) -> None:
        self._folder, self._seconds = folder, seconds
        folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)

    @contextmanager
    def turn(self, request: CommitRequest | None) -> Iterator[Answer | None]:
        """Wait for one's turn, which lasts as long as the context: or for the answer to a request, if that is sooner.

        Gives None in one's turn.

        Raises:
            StoreBusyError: neither came in time; the request is withdrawn.
            OSError: the disk refused.
        """
        lock = self._folder / _LOCK
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
        try:
            # Nobody has the turn most of the time: then nothing is written.
            if _taken(descriptor):
                yield None
            else:
                yield self._queue(descriptor, lock, request)
        finally:
            os.close(descriptor)

    def waiting(self) -> Iterator[WaitingCommit]:
        """Take the requests of others, the oldest first; to be called in one's turn."""
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
            # It is being committed: one hears of it, or has the turn when who does it has died.
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
    """Try to have the turn, and return whether one has; closing the file gives it back."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def _take(path: Path) -> CommitRequest | None:
    """Return a request and remove it; None when it was withdrawn."""
    taken = path.with_suffix(".taken")
    try:
        path.rename(taken)
    except FileNotFoundError:
        return None
    try:
        with taken.open("rb") as file:
            return CommitRequest.read(file)
    except (ValueError, KeyError, TypeError, pa.ArrowException):
        # Of another release, or of a crash of the machine: who wrote it, if anybody, commits by itself.
        return None
    finally:
        taken.unlink(missing_ok=True)


def _remove_old(path: Path) -> None:
    """Remove what a process left that was killed: nobody waits for so long."""
    with suppress(FileNotFoundError):
        if time.time() - path.stat().st_mtime > _OLD_SECONDS:
            path.unlink()


def _removed(path: Path) -> bool:
    """Remove a file, and return whether it was there."""
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
    """Return whether a process of this host lives; one that has another user does."""
    with suppress(PermissionError):
        try:
            os.kill(process_id, 0)
        except ProcessLookupError:
            return False
    return True
