"""Parallel work on many molecules in processes; threads would not speed it up, since RDKit holds the interpreter lock.

The first call that is large enough starts the processes, one for each core. The threads of this process share them
until it exits. Results do not depend on the number of processes. Decision 16 in docs/design compares them with a pool
of loky.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from molbuffer.scoring.errors import WorkerError
from molbuffer.scoring.workers.cores import available_cores
from molbuffer.scoring.workers.isolation import LARGEST_CHUNK, Isolation, NoAnswer, run_apart
from molbuffer.scoring.workers.worker import WORKER_VARIABLE, UnloadableWorkError

Item = TypeVar("Item")
Result = TypeVar("Result")

SMALLEST_PARALLEL = 64
"""The least number of items that are shared among processes; with fewer, the communication takes more time."""
SMALLEST_CHUNK = 16
CHUNKS_PER_WORKER = 4
"""The number of chunks for each process; several balance molecules of different size."""

_log = logging.getLogger(__name__)


def map_chunks(
    work: Callable[..., list[Result]], items: Sequence[Item], *arguments: Any, workers: int | None = None
) -> list[Result]:
    """Call ``work(chunk, *arguments)`` for chunks of ``items``, and join the results in the order of the items.

    Args:
        work: a module-level function that returns one result for each item, and does not depend on the chunks.
        items: the items to share among the processes; a few items are worked on in this process.
        arguments: further arguments of every call; like ``items`` they are pickled. If a process cannot import their
            classes, such as classes of a notebook, this process does the work instead.
        workers: the largest number of processes; all available cores by default.

    Raises:
        WorkerError: an item ended two processes in which it was alone.
        Exception: ``work`` raised an exception.
    """
    if len(items) < SMALLEST_PARALLEL or WORKER_VARIABLE in os.environ:
        return work(items, *arguments)
    workers = available_cores() if workers is None else workers
    if workers == 1:
        return work(items, *arguments)
    isolation = Isolation("molecules", workers, one_by_one=False)
    results: list[Any] = [None] * len(items)
    try:
        numbered = run_apart(
            _of_numbered, list(enumerate(items)), (work, arguments), isolation, chunk=_chunk_size(len(items), workers)
        )
        for (number, item), result in numbered:
            if isinstance(result, NoAnswer):
                raise WorkerError(_death_notice(work, item, result))
            results[number] = result
    except UnloadableWorkError as error:
        _log.warning("working in one process, since other processes cannot import the work or its arguments: %s", error)
        return work(items, *arguments)
    return results


def _of_numbered(
    numbered: Sequence[tuple[int, Any]], work: Callable[..., list[Any]], arguments: tuple[Any, ...]
) -> list[Any]:
    return list(work([item for _, item in numbered], *arguments))


def _chunk_size(items: int, workers: int) -> int:
    even = -(-items // (workers * CHUNKS_PER_WORKER))
    return min(max(even, SMALLEST_CHUNK), LARGEST_CHUNK)


def _death_notice(work: Callable[..., Any], item: object, loss: NoAnswer) -> str:
    return (
        f"{loss.reason}, twice, in {work.__module__}.{work.__qualname__} of {item!r}. SIGKILL often means that memory "
        f"ran out, SIGSEGV that a library crashed on the item: use fewer cores, or leave the item out"
    )
