"""Crews of worker processes, each of which is used by one thread at a time."""

from __future__ import annotations

import atexit
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from queue import LifoQueue

from molbuffer.scoring.workers.worker import Worker

MOST_CREWS = 16
"""The largest number of idle crews; with more, the least recently used one is closed."""


class Seat:
    """The place of one process in a crew; the process starts at the first use and is replaced after its death."""

    def __init__(self, prepare: Callable[[Worker], None] | None = None) -> None:
        self._prepare = prepare
        self._worker: Worker | None = None

    def worker(self) -> Worker:
        """Return the process; without one, start and prepare a new one."""
        if self._worker is None:
            self._worker = Worker()
            try:
                if self._prepare is not None:
                    self._prepare(self._worker)
            except BaseException:
                self.clear(kill=True)
                raise
        return self._worker

    def interrupt(self) -> None:
        """Kill the process if it has a call; another thread may wait for the answer."""
        worker = self._worker
        if worker is not None and not worker.usable:
            worker.kill()

    def clear(self, *, kill: bool) -> None:
        """End the process, if there is one; with ``kill``, at once."""
        worker, self._worker = self._worker, None
        if worker is not None:
            if kill:
                worker.kill()
            worker.close()

    def settle(self) -> None:
        """Kill a process that is dead or was left in the middle of a call."""
        if self._worker is not None and not self._worker.usable:
            self.clear(kill=True)


class Crew:
    """Processes that start when they are needed, at most ``size`` at once, and wait for further calls."""

    def __init__(self, size: int, prepare: Callable[[Worker], None] | None = None) -> None:
        self._process = os.getpid()
        self._seats = [Seat(prepare) for _ in range(size)]
        self._free: LifoQueue[Seat] = LifoQueue()
        for seat in self._seats:
            self._free.put(seat)
        atexit.register(self.close)

    @contextmanager
    def seat(self) -> Iterator[Seat]:
        """Reserve a process for a block; it is killed if the block ends in the middle of a call."""
        seat = self._free.get()
        try:
            yield seat
        finally:
            seat.settle()
            self._free.put(seat)

    @property
    def idle(self) -> bool:
        """Whether no process is in use."""
        return self._free.qsize() == len(self._seats)

    def close(self) -> None:
        """End all processes, also in the middle of a call; a forked child does not end those of its parent."""
        atexit.unregister(self.close)
        if self._process == os.getpid():
            for seat in self._seats:
                seat.clear(kill=True)


class Crews:
    """The crews of this process by key; a forked child starts crews of its own, since it cannot share pipes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._crews: OrderedDict[Hashable, Crew] = OrderedDict()

    def get(self, key: Hashable, size: int, prepare: Callable[[Worker], None] | None = None) -> Crew:
        """Return the crew of a key, a new one if there is none."""
        key = (os.getpid(), key, size)
        with self._lock:
            crew = self._crews.pop(key, None) or Crew(size, prepare)
            self._crews[key] = crew
            idle = [each for each in self._crews if each != key and self._crews[each].idle]
            for each in idle[: max(0, len(self._crews) - MOST_CREWS)]:
                self._crews.pop(each).close()
        return crew


CREWS = Crews()
"""The crews of this process."""
