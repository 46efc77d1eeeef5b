"""Processes of this machine that make parts of builds, and are reused until the run ends.

They come from the same class as the worker processes of scorers, and not from Prefect's ``ProcessPoolTaskRunner``:
there, the death of one process breaks the pool, ends the work of all others, and makes the pool refuse further work.
Here, a new process makes the part of the dead one again, and the other processes go on undisturbed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from molbuffer.flows.errors import WorkersError
from molbuffer.scoring import Crew, Seat, WorkerDiedError

Result = TypeVar("Result")

MOST_DEATHS = 3
"""The number of processes that may die one after another on one part, before the part counts as the cause."""

_log = logging.getLogger(__name__)


class WorkerProcesses:
    """A number of processes, each of which makes one part at a time for a thread that waits for it.

    Args:
        number: the largest number of processes; each starts when it is first needed.
    """

    def __init__(self, number: int) -> None:
        self._crew = Crew(number)
        self._busy: set[Seat] = set()
        self._stopped = threading.Event()

    def call(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Return ``work(*arguments)`` as one of the processes computes it.

        Args:
            work: a module-level function, which may be called again when a process dies.
            arguments: the arguments of ``work``; like its result, they are pickled.

        Raises:
            WorkersError: ``MOST_DEATHS`` processes died on the call, or the run ends.
            Exception: ``work`` raised it.
        """
        for death in range(1, MOST_DEATHS + 1):
            try:
                with self._seat() as seat:
                    found: list[Result] = seat.worker().call(_calls, [(work, arguments)], ())
                return found[0]
            except WorkerDiedError as error:
                if self._stopped.is_set():
                    raise WorkersError("the run ends, and its worker processes with it") from error
                if death == MOST_DEATHS:
                    raise WorkersError(
                        f"{death} worker processes died one after another in {_named(work, arguments)}, the last: "
                        f"{error}. SIGKILL often means that memory ran out: use fewer workers, or smaller chunks"
                    ) from error
                _log.warning("%s; another one makes %s again", error, _named(work, arguments))
        raise AssertionError("unreachable")

    def stop(self) -> None:
        """End all processes, including those that are making a part."""
        self._stopped.set()
        # This is repeated, since a thread may be about to begin a call.
        while self._busy:
            for seat in list(self._busy):
                seat.interrupt()
            time.sleep(0.01)
        self._crew.close()

    @contextmanager
    def _seat(self) -> Iterator[Seat]:
        with self._crew.seat() as seat:
            self._busy.add(seat)
            try:
                if self._stopped.is_set():
                    raise WorkersError("the run ends, and makes no further parts")
                yield seat
            finally:
                self._busy.discard(seat)


def _calls(calls: Sequence[tuple[Callable[..., Any], tuple[Any, ...]]]) -> list[Any]:
    return [work(*arguments) for work, arguments in calls]


def _named(work: Callable[..., Any], arguments: tuple[Any, ...]) -> str:
    of = getattr(arguments[0], "place", None) if arguments else None
    return f"{work.__name__}{'' if of is None else f' of chunk {of}'}"
