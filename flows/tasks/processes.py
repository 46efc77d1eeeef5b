"""Processes of this machine that make parts of builds: each is used again, until the run ends.

They are those in which molecules are scored apart, and not the pool of Prefect's ``ProcessPoolTaskRunner``: there, the
death of one process breaks the pool, ends the work of all others, and refuses what comes after. Here the part of the
dead one is made again in a new process, and the others know nothing of it.
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
"""So many processes that end one after another on one part show that it is the part that ends them."""

_log = logging.getLogger(__name__)


class WorkerProcesses:
    """A number of processes, each of which makes one part at a time for a thread that waits for it.

    Args:
        number: the most processes; each starts when it is first needed.
    """

    def __init__(self, number: int) -> None:
        self._crew = Crew(number)
        self._busy: set[Seat] = set()
        self._stopped = threading.Event()

    def call(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Return ``work(*arguments)`` as one of the processes computes it.

        Args:
            work: a module-level function, which may be called again when a process dies.
            arguments: what it is given; like the result, they are pickled.

        Raises:
            WorkersError: so many processes died of it, or the run ends.
            Exception: the exception of ``work``.
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
                        f"{death} worker processes died one after another of {_named(work, arguments)}, the last: "
                        f"{error}. SIGKILL often means that memory ran out: take fewer workers, or smaller chunks"
                    ) from error
                _log.warning("%s; another one makes %s again", error, _named(work, arguments))
        raise AssertionError("unreachable")

    def stop(self) -> None:
        """End all processes, those that make a part too."""
        self._stopped.set()
        # Again and again, since a thread may have been about to begin a call.
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
