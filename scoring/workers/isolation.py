"""Isolation of work that may end its process, hang, or print: it runs in other processes, and no other item is lost.

Items of a process that died or did not answer are tried again, until the item at fault is alone. If the work yields its
results one by one, that item is the one after the last result. If it returns them together, the items are split in
halves.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from molbuffer.scoring.errors import ScoringError
from molbuffer.scoring.workers.crew import CREWS, Crew, Seat
from molbuffer.scoring.workers.worker import Worker, WorkerDiedError, WorkerTimeoutError

_log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

LARGEST_CHUNK = 512
"""The largest number of items of a call, which bounds the work that is repeated when a process dies."""
MOST_DEATHS = 8
"""The number of items in a row that end their processes, without a result in between, after which the work itself
counts as broken: further items are not tried."""
MOST_TIMEOUTS = 3
"""The number of items in a row without an answer in time after which further items are not tried."""


@dataclass(frozen=True)
class Isolation:
    """The settings of calls in other processes.

    Attributes:
        identity: a key; calls with the same key share processes, and with them modules, models and licences.
        processes: the largest number of simultaneous processes.
        one_by_one: whether the work yields its results one by one, in the order of the items.
        timeout: the longest time without a result, in seconds: for each item if results come one by one, else for a
            whole call; None is no limit.
        prepare: a function that is called with each new process before its first call.
    """

    identity: str
    processes: int = 1
    one_by_one: bool = True
    timeout: float | None = None
    prepare: Callable[[Worker], None] | None = None


@dataclass(frozen=True)
class NoAnswer:
    """The reason why an item has no result.

    Attributes:
        reason: the exit code or signal of the process, or the timeout.
        final: whether the item itself is at fault, since it ended two processes in which it was alone; otherwise
            another attempt may succeed.
    """

    reason: str
    final: bool


def run_apart(
    work: Callable[..., Iterable[Result]],
    items: Iterable[Item],
    arguments: tuple[Any, ...],
    isolation: Isolation,
    *,
    chunk: int | None = None,
) -> Iterator[tuple[Item, Result | NoAnswer]]:
    """Yield each item with the result of ``work(items, *arguments)`` in other processes, as soon as it arrives.

    Items are taken when a process is free. With several processes, results come in no particular order.

    Args:
        work: a module-level function that returns a list of as many results as items, or yields them in their order.
        items: the items to share among the processes.
        arguments: further arguments of every call.
        isolation: the settings of the calls.
        chunk: the number of items of a call; by default an even share of all, but at most ``LARGEST_CHUNK``.

    Raises:
        Exception: ``work``, or the iterable ``items``, raised an exception.
    """
    if chunk is None:
        items = list(items)
        chunk = min(max(1, -(-len(items) // isolation.processes)), LARGEST_CHUNK)
    crew = CREWS.get(isolation.identity, isolation.processes, isolation.prepare)
    trials: _Trials[Item, Result] = _Trials(work, arguments, isolation)
    if isolation.processes > 1:
        yield from _Team(crew, _chunks(iter(items), chunk), trials).run(isolation.processes)
    else:
        for each in _chunks(iter(items), chunk):
            with crew.seat() as seat:
                yield from trials.run(seat, each)
    yield from trials.verdict()


def _chunks(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    while chunk := list(islice(items, size)):
        yield chunk


class _Trials(Generic[Item, Result]):
    """The attempts at the items of a run; the threads of a team share the counts of deaths and timeouts in a row."""

    def __init__(self, work: Callable[..., Iterable[Result]], arguments: tuple[Any, ...], isolation: Isolation) -> None:
        self._work, self._arguments, self._isolation = work, arguments, isolation
        self._deadly: list[tuple[Item, str]] = []
        """The items that ended their processes since the last result; a further result shows that they are at fault."""
        self._timeouts = 0
        self._lock = threading.Lock()
        self._level = logging.WARNING
        self.stopped = False
        """Whether no item is tried any more; another thread sets it when its caller has stopped."""

    def run(self, seat: Seat, items: Sequence[Item]) -> Iterator[tuple[Item, Result | NoAnswer]]:
        """Yield each item with its result, or with the reason why it has none.

        Items that ended their process come later, when another result or ``verdict`` shows whether they are at fault.
        """
        groups: deque[tuple[Sequence[Item], bool]] = deque([(items, False)])
        while groups and not self.stopped:
            group, again = groups.popleft()
            given_up = self._given_up()
            if given_up is not None:
                yield from ((item, given_up) for item in group)
                continue
            done = 0
            try:
                for result in seat.worker().answers(self._work, group, self._arguments, self._isolation.timeout):
                    if done == len(group):
                        raise ScoringError(f"{self._name} gave more results than the {len(group)} items that it got")
                    yield from self._lives()
                    yield group[done], result
                    done += 1
                if done < len(group):
                    raise ScoringError(f"{self._name} gave {done} results for {len(group)} items")
            except WorkerTimeoutError as error:
                seat.settle()
                left = group[done:]
                if self._isolation.one_by_one or len(left) == 1:
                    # An item that timed out is not tried again, since it would take the same time.
                    self._timeouts += 1
                    yield left[0], NoAnswer(str(error), final=False)
                    groups.extendleft([(left[1:], False)] if left[1:] else [])
                else:
                    groups.extendleft(reversed(self._parts(left)))
            except WorkerDiedError as error:
                seat.settle()
                left = group[done:]
                # Warned of once: the items that are tried again may end as many processes as they are, and more.
                _log.log(self._level, "%s, at %s; its items are tried again", error, self._name)
                self._level = logging.DEBUG
                if again and len(left) == 1:
                    with self._lock:
                        self._deadly.append((left[0], str(error)))
                else:
                    groups.extendleft(reversed(self._parts(left)))

    def verdict(self) -> Iterator[tuple[Item, NoAnswer]]:
        """Yield the remaining items that ended their processes.

        They are at fault unless there are ``MOST_DEATHS`` of them, in which case the work itself counts as broken.
        """
        with self._lock:
            deadly, self._deadly = self._deadly, []
        final = len(deadly) < MOST_DEATHS
        yield from ((item, NoAnswer(reason, final)) for item, reason in deadly)

    def _lives(self) -> Iterator[tuple[Item, NoAnswer]]:
        """Count a result, and yield the items that ended their processes before it, which are at fault."""
        self._timeouts = 0
        if self._deadly:
            with self._lock:
                deadly, self._deadly = self._deadly, []
            yield from ((item, NoAnswer(reason, final=True)) for item, reason in deadly)

    @property
    def _name(self) -> str:
        return f"{self._work.__module__}.{self._work.__qualname__}"

    def _parts(self, left: Sequence[Item]) -> list[tuple[Sequence[Item], bool]]:
        """Return the groups of items to try next, each with whether it is a single item that has ended a process."""
        if self._isolation.one_by_one or len(left) == 1:
            return [(left[:1], True), *([(left[1:], False)] if left[1:] else [])]
        middle = (len(left) + 1) // 2
        return [(left[:middle], False), (left[middle:], False)]

    def _given_up(self) -> NoAnswer | None:
        """Return the reason why further items are not tried; None if they are tried."""
        if len(self._deadly) >= MOST_DEATHS:
            many, last = len(self._deadly), self._deadly[-1][1]
            return NoAnswer(
                f"not tried, since {many} others in a row ended their processes, the last: {last}", final=False
            )
        if self._timeouts >= MOST_TIMEOUTS:
            return NoAnswer(f"not tried, since {self._timeouts} others in a row had no answer in time", final=False)
        return None


class _Team(Generic[Item, Result]):
    """Threads that each use one process, take chunks from a common source, and put answers into a common queue."""

    def __init__(self, crew: Crew, chunks: Iterator[list[Item]], trials: _Trials[Item, Result]) -> None:
        self._crew, self._chunks, self._trials = crew, chunks, trials
        self._taking = threading.Lock()
        self._seats: set[Seat] = set()
        self._answers: SimpleQueue[tuple[Item, Result | NoAnswer] | BaseException | None] = SimpleQueue()

    def run(self, processes: int) -> Iterator[tuple[Item, Result | NoAnswer]]:
        """Yield the answers; if the caller stops early, processes in the middle of a call are killed."""
        threads = [threading.Thread(target=self._work, name="scoring", daemon=True) for _ in range(processes)]
        for thread in threads:
            thread.start()
        try:
            working = len(threads)
            while working:
                answer = self._answers.get()
                if isinstance(answer, BaseException):
                    raise answer
                if answer is None:
                    working -= 1
                else:
                    yield answer
        finally:
            self._trials.stopped = True
            while any(thread.is_alive() for thread in threads):
                # Repeated, since a thread may have been about to begin a call.
                for seat in list(self._seats):
                    seat.interrupt()
                for thread in threads:
                    thread.join(0.1)

    def _work(self) -> None:
        try:
            while chunk := self._take():
                with self._crew.seat() as seat:
                    self._seats.add(seat)
                    try:
                        for answer in self._trials.run(seat, chunk):
                            self._answers.put(answer)
                    finally:
                        self._seats.discard(seat)
        except BaseException as error:  # passed to the waiting thread, which raises it
            self._answers.put(error)
        else:
            self._answers.put(None)

    def _take(self) -> list[Item] | None:
        with self._taking:
            return None if self._trials.stopped else next(self._chunks, None)
