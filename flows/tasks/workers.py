"""The workers of a run: threads, processes or a cluster that make parts of its builds at the same time.

A part is a whole chunk, or molecules to score. Results pass through the store: a worker gets references to data in the
store, and returns only names and counts.
"""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any, Protocol

from molbuffer.flows.campaign import Campaign
from molbuffer.flows.tasks.attempts import attempt_of_run
from molbuffer.flows.tasks.build_request import BuildRequest, ScoreRequest
from molbuffer.flows.tasks.parts import make_part, make_part_apart, score_part, score_part_apart
from molbuffer.flows.tasks.processes import WorkerProcesses
from molbuffer.flows.tasks.retries import tried_again
from molbuffer.samplers import claimed_together
from molbuffer.storage import SampleStore, StoreError

PORTIONS = 4
"""The number of parts for each worker into which molecules are divided, so that a slow one does not delay the rest."""
MOST_MOLECULES = 256
"""The most molecules of a part."""
COMMIT_SECONDS = 0.5
"""The time between two commits of the scores that workers hand over."""

_log = logging.getLogger(__name__)


class Part(Protocol):
    """A part of a build that a worker makes."""

    def result(self) -> dict[str, Any]:
        """Wait until the part is made, and return the result or raise the error of the worker."""


class TaskWorkers(ABC):
    """The workers of a run.

    Attributes:
        number: the number of parts that they make at once.
    """

    number: int

    @abstractmethod
    def make(self, request: BuildRequest) -> Part:
        """Begin to make a chunk, which the caller commits, and return at once."""

    @abstractmethod
    def score_part(self, request: ScoreRequest) -> Part:
        """Begin to score molecules, and return at once."""

    def score(self, campaign: Campaign, components: Sequence[str], molecules: Sequence[str]) -> None:
        """Score molecules by the components of one call, and return when the scores are stored."""
        chosen = [each.component for each in campaign.context.objective.components if each.component.name in components]
        size = molecules_of_a_part(len(molecules), self.number, claimed_together(chosen[0]))
        parts = [
            self.score_part(
                ScoreRequest(
                    store=str(campaign.store.path),
                    run_id=campaign.run_id,
                    components=tuple(components),
                    molecules=tuple(molecules[start : start + size]),
                    stage=campaign.stage,
                )
            )
            for start in range(0, len(molecules), size)
        ]
        with committed_meanwhile(campaign.store):
            for part in parts:
                part.result()


@contextmanager
def committed_meanwhile(store: SampleStore) -> Iterator[None]:
    """Commit the scores that workers hand over, twice a second, and the rest at the end of the block."""
    ended = Event()

    def work() -> None:
        while not ended.wait(COMMIT_SECONDS):
            try:
                store.commit_handed_over()
            except StoreError as error:
                # The scores are safe in their files, and are committed later, at the latest at the end of the block.
                _log.warning("scores that were handed over wait to be committed: %s", error)

    thread = Thread(target=work, name="handed-over")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        store.commit_handed_over()


def molecules_of_a_part(molecules: int, workers: int, together: int) -> int:
    """Return the number of molecules of a part.

    Args:
        molecules: the number of all molecules.
        workers: the number of workers that share them.
        together: the number of molecules that a component takes in one call.
    """
    even = math.ceil(molecules / (workers * PORTIONS))
    return min(MOST_MOLECULES, max(1, even, min(together, math.ceil(molecules / workers))))


class LocalWorkers(TaskWorkers):
    """Threads of this process, which work themselves or wait for worker processes.

    A part is tried again as often as in a Prefect task, and after the same errors.

    Args:
        number: the number of threads.
        processes: the worker processes; None if the threads work themselves.
    """

    def __init__(self, number: int, processes: WorkerProcesses | None) -> None:
        self.number, self._processes = number, processes
        self._threads = ThreadPoolExecutor(number, thread_name_prefix="worker")
        self._ended = Event()

    def make(self, request: BuildRequest) -> Part:
        def attempt(number: int) -> dict[str, Any]:
            made_by = attempt_of_run(request.run_id, number)
            if self._processes is None:
                return make_part(request, made_by)
            return self._processes.call(make_part_apart, request, made_by)

        return self._submit(attempt, request.title)

    def score_part(self, request: ScoreRequest) -> Part:
        def attempt(_: int) -> dict[str, int]:
            return score_part(request) if self._processes is None else self._processes.call(score_part_apart, request)

        return self._submit(attempt, request.title)

    def close(self) -> None:
        """Begin no further part, end the processes, and wait for the threads."""
        self._ended.set()
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._processes is not None:
            self._processes.stop()
        self._threads.shutdown(wait=True)

    def _submit(self, attempt: Callable[[int], dict[str, Any]], what: str) -> Future[dict[str, Any]]:
        return self._threads.submit(tried_again, attempt, what, wait=self._ended.wait)
