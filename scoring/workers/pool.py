"""Sharing work on many molecules among processes; threads gain nothing, since RDKit holds the interpreter lock.

The first call that is large enough starts the processes, one for each core. The threads of this process share them
until it exits. Results do not depend on the number of processes. Decision 16 in docs/design compares them with a pool
of loky.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from molbuffer.scoring.errors import WorkerError
from molbuffer.scoring.workers.cores import available_cores
from molbuffer.scoring.workers.worker import WORKER_VARIABLE, UnloadableWorkError, Worker, WorkerDiedError

Item = TypeVar("Item")
Result = TypeVar("Result")

SMALLEST_PARALLEL = 64
"""With fewer items, the exchange with the processes costs more than it gains."""
SMALLEST_CHUNK = 16
LARGEST_CHUNK = 512
"""Bounds the work that is repeated when a process dies, and the time that an interrupted program waits for chunks."""
CHUNKS_PER_WORKER = 4
"""Several chunks for each process balance molecules of different size."""
ATTEMPTS = 2
"""A chunk that killed a process gets a second attempt in a new one, since memory may have been short only then."""

_log = logging.getLogger(__name__)


def map_chunks(
    work: Callable[..., list[Result]], items: Sequence[Item], *arguments: Any, workers: int | None = None
) -> list[Result]:
    """Call ``work(chunk, *arguments)`` for chunks of ``items``, and join the results in the order of the items.

    Args:
        work: a module-level function that returns one result for each item, and does not depend on the chunks.
        items: the items to share among the processes; when there are few, this process does the work.
        arguments: further arguments of every call; like ``items`` they are pickled. If a process cannot import their
            classes, as those of a notebook, the work is done in this process instead.
        workers: the most processes; all available cores by default.

    Raises:
        WorkerError: a chunk killed a process, and then a new one.
        Exception: the first exception of ``work`` in the order of the items.
    """
    workers = available_cores() if workers is None else workers
    if len(items) < SMALLEST_PARALLEL or workers == 1 or WORKER_VARIABLE in os.environ:
        return work(items, *arguments)
    chunks = _split(items, workers)
    futures: list[Future[list[Result]]] = []
    try:
        pool = _shared_pool(workers)
        futures += [pool.submit(work, chunk, arguments) for chunk in chunks]
        return [result for future in futures for result in future.result()]
    except UnloadableWorkError as error:
        _log.warning("working in one process, since other processes cannot import the work or its arguments: %s", error)
    finally:
        for future in futures:
            future.cancel()
    return work(items, *arguments)


def _split(items: Sequence[Item], workers: int) -> list[Sequence[Item]]:
    even = -(-len(items) // (workers * CHUNKS_PER_WORKER))
    size = min(max(even, SMALLEST_CHUNK), LARGEST_CHUNK)
    return [items[start : start + size] for start in range(0, len(items), size)]


class _Pool:
    """Worker processes, each used by one thread at a time."""

    def __init__(self, workers: int) -> None:
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="molecules")
        self._idle: SimpleQueue[Worker] = SimpleQueue()
        atexit.register(self.close)

    def submit(
        self, work: Callable[..., list[Result]], items: Sequence[Any], arguments: tuple[Any, ...]
    ) -> Future[list[Result]]:
        return self._threads.submit(self._run, work, items, arguments)

    def _run(self, work: Callable[..., list[Any]], items: Sequence[Any], arguments: tuple[Any, ...]) -> list[Any]:
        for attempt in range(1, ATTEMPTS + 1):
            worker = self._take()
            try:
                results = worker.call(work, items, arguments)
            except WorkerDiedError as error:
                worker.close()
                if attempt == ATTEMPTS:
                    raise WorkerError(_death_notice(work, items, error)) from error
                _log.warning("%s; its %d items are repeated in a new process", error, len(items))
            except Exception:
                self._idle.put(worker)
                raise
            else:
                self._idle.put(worker)
                return results
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _take(self) -> Worker:
        try:
            return self._idle.get_nowait()
        except Empty:
            return Worker()

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)
        while not self._idle.empty():
            self._idle.get().close()


def _death_notice(work: Callable[..., Any], items: Sequence[Any], error: WorkerDiedError) -> str:
    return (
        f"{error}, {ATTEMPTS} times, at {work.__module__}.{work.__qualname__} of {len(items)} items from {items[0]!r} "
        f"to {items[-1]!r}. Exit code -9 often means that memory ran out, -11 that a library crashed on an item: "
        f"try fewer cores, or leave that item out."
    )


class _Pools:
    """The pools of this process by size; a forked child starts its own, since it cannot share the pipes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pools: dict[tuple[int, int], _Pool] = {}

    def get(self, workers: int) -> _Pool:
        key = (os.getpid(), workers)
        with self._lock:
            if key not in self._pools:
                self._pools[key] = _Pool(workers)
            return self._pools[key]


_POOLS = _Pools()


def _shared_pool(workers: int) -> _Pool:
    return _POOLS.get(workers)
