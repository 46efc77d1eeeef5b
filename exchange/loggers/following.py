"""Loggers that follow a run: they write what the run commits while it works, and the rest at its end.

A thread of its own reads the store and writes to the loggers, so that neither a slow server nor a full disk holds the
run up. When a logger fails, the user is told once, with the command that fills the gap afterwards, and the logger is
not used any further: the run goes on.
"""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import chain
from types import TracebackType
from typing import Self

from molbuffer.exchange.loggers.base import LoggedRun, LogPoint, RunLog, RunLogger, check_logger, shown_logger
from molbuffer.exchange.loggers.best import PICTURES, BestMolecules
from molbuffer.exchange.loggers.points import RunState, logged_run, points_between, run_state
from molbuffer.storage import SampleStore

PICTURES_EVERY = 25
"""The least number of iterations between two pictures of the best molecules."""
SECONDS_BETWEEN_LOOKS = 5.0
SECONDS_AT_THE_END = 60.0
"""How long a run waits for its loggers at its end, in seconds."""
POINTS_TOGETHER = 5000


class LogFollower:
    """A writer of the points and pictures of one run to one logger.

    Args:
        store: the store.
        run: the run.
        logger: the logger; its log of the run is opened at once.
        pictures_every: the least number of iterations between two pictures; 0 makes none.

    Raises:
        LoggerError: the log cannot be opened.
    """

    def __init__(
        self, store: SampleStore, run: LoggedRun, logger: RunLogger, pictures_every: int = PICTURES_EVERY
    ) -> None:
        self._store, self._run = store, run
        self._log: RunLog = logger.open(run)
        try:
            self._last = dict(self._log.last_steps())
        except BaseException:
            self.give_up()
            raise
        self._best = BestMolecules(store, run.run_id, pictures_every)
        self._next, self._seen = 0, -1

    def look(self) -> int:
        """Write the iterations that were settled since the last call; return the number of points and pictures."""
        if self._store.snapshot() == self._seen:
            return 0
        state = run_state(self._store, self._run.run_id)
        if state.settled is not None and state.settled <= self._next:
            self._seen = state.snapshot
            return 0
        written = self._write(state)
        self._seen = state.snapshot
        self._next = self._next if state.settled is None else state.settled
        return written

    def close(self) -> None:
        """Close the log with the status of the run."""
        self._log.close(run_state(self._store, self._run.run_id).status)

    def give_up(self) -> None:
        """Close a log that has failed, so that it can be opened again; errors of closing are ignored."""
        with suppress(Exception):
            self._log.close(None)

    def _write(self, state: RunState) -> int:
        best, pictures = self._best.between(state, self._last.get(PICTURES))
        written, waiting = 0, list[LogPoint]()
        for point in chain(points_between(self._store, self._run.run_id, state, self._next), best):
            if point.step > self._last.get(point.tag, -1):
                self._last[point.tag] = point.step
                waiting.append(point)
            if len(waiting) == POINTS_TOGETHER:
                self._log.write(waiting, ())
                written, waiting = written + len(waiting), []
        for picture in pictures:
            self._last[picture.tag] = picture.step
        self._log.write(waiting, pictures)
        return written + len(waiting) + len(pictures)


def fill_log(store: SampleStore, run_id: str, logger: RunLogger, pictures_every: int = PICTURES_EVERY) -> int:
    """Write the points and pictures of a run that a log lacks; return their number.

    Raises:
        UnknownRunError: there is no such run.
        MissingExtraError: the logger needs a package that is not installed.
        LoggerError: the log cannot be opened or written to.
    """
    check_logger(logger)
    follower = LogFollower(store, logged_run(store, run_id), logger, pictures_every)
    try:
        written = follower.look()
    except BaseException:
        follower.give_up()
        raise
    follower.close()
    return written


class RunLogs:
    """A context around a run, in which a thread writes what the run commits to loggers.

    Args:
        store: the store, which must stay open until the context ends.
        loggers: the loggers.
        tell: called with a message when a logger has failed.
        pictures_every: the least number of iterations between two pictures; 0 makes none.

    Raises:
        MissingExtraError: a logger needs a package that is not installed.
        LoggerError: the settings of a logger are wrong.
    """

    def __init__(
        self,
        store: SampleStore,
        loggers: Sequence[RunLogger],
        tell: Callable[[str], None],
        *,
        pictures_every: int = PICTURES_EVERY,
    ) -> None:
        for logger in loggers:
            check_logger(logger)
        self._store, self._loggers, self._tell = store, tuple(loggers), tell
        self._pictures_every, self._waiting = pictures_every, list(loggers)
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._run_id = ""

    def follow(self, run_id: str) -> None:
        """Start the thread that follows a run, which the store must have recorded."""
        if self._loggers and self._thread is None:
            self._run_id = run_id
            self._thread = threading.Thread(target=self._work, name="run-logs", daemon=True)
            self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Write the rest of the run; the store must have recorded its end before."""
        self._ended.set()
        if self._thread is None:
            return
        self._thread.join(SECONDS_AT_THE_END)
        if self._thread.is_alive():
            for logger in list(self._waiting):
                self._tell_of(logger, f"it took longer than {SECONDS_AT_THE_END:.0f} s at the end of the run")

    def _work(self) -> None:
        opened = [(logger, self._opened(logger)) for logger in self._loggers]
        followers = [(logger, follower) for logger, follower in opened if follower is not None]
        while followers:
            ended = self._ended.wait(SECONDS_BETWEEN_LOOKS)
            followers = [each for each in followers if self._looks(*each, ended=ended)]

    def _opened(self, logger: RunLogger) -> LogFollower | None:
        # The run goes on after any exception, since a logger of another package may raise any.
        try:
            return LogFollower(self._store, logged_run(self._store, self._run_id), logger, self._pictures_every)
        except Exception as error:
            self._tell_of(logger, f"{type(error).__name__}: {error}")
            return None

    def _looks(self, logger: RunLogger, follower: LogFollower, *, ended: bool) -> bool:
        """Write what is new to a logger, and close its log if the run has ended; return whether it goes on."""
        try:
            follower.look()
            if ended:
                follower.close()
                self._leave(logger)
        except Exception as error:
            follower.give_up()
            self._tell_of(logger, f"{type(error).__name__}: {error}")
            return False
        return not ended

    def _leave(self, logger: RunLogger) -> bool:
        """Take a logger off the list of those at work; return whether it was on it, as the run may have given it up."""
        try:
            self._waiting.remove(logger)
        except ValueError:
            return False
        return True

    def _tell_of(self, logger: RunLogger, reason: str) -> None:
        if not self._leave(logger):
            return
        kind, place = shown_logger(logger)
        command = ["molbuffer", "log", "--to", kind, *(["--out", place] if place else [])]
        command += ["--run", self._run_id[:8], "--store", str(self._store.path)]
        self._tell(
            f"the logger {kind} is not written any further, and the run goes on: {reason}. Fill the gap afterwards "
            f"with:\n  {shlex.join(command)}"
        )
