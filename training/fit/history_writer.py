"""Write-behind: what training draws and consumes goes to the store in groups, from a thread of its own.

A group holds the live builds of several iterations, the rows they consumed, their metrics and the checkpoint after
them. It becomes visible as a whole or not at all, so that whatever a resumed run draws again counts once.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from queue import Queue

from molbuffer.storage import SampleStore
from molbuffer.storage.records import Build, Checkpoint, Commit, Consumed, Metric, PolicyVersion
from molbuffer.training.batches.loader import BatchOrigin
from molbuffer.training.errors import HistoryError

GROUPS_IN_FLIGHT = 2
"""Groups that may wait for the disk before training waits for it too."""


@dataclass
class HistoryWriter:
    """Collects what iterations leave behind, and commits it with each checkpoint.

    Use it as a context manager: leaving it waits for the last commit and raises what went wrong in the thread.

    Attributes:
        checkpointed: how many iterations the last checkpoint has seen.
    """

    store: SampleStore
    run_id: str
    checkpointed: int = 0
    _builds: list[Build] = field(default_factory=list)
    _consumed: list[Consumed] = field(default_factory=list)
    _metrics: list[tuple[int, Metric]] = field(default_factory=list)
    _policies: dict[str, PolicyVersion] = field(default_factory=dict)
    _queue: Queue[Commit | None] = field(default_factory=lambda: Queue(GROUPS_IN_FLIGHT))
    _failure: BaseException | None = None
    _thread: threading.Thread | None = None

    def __enter__(self) -> HistoryWriter:
        self._thread = threading.Thread(target=self._work, name="history-writer", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._thread is not None
        self._queue.put(None)
        self._thread.join()
        self._raise_failure()

    def add(
        self,
        iteration: int,
        origin: BatchOrigin,
        metrics: Mapping[str, float | None],
        policies: Sequence[PolicyVersion] = (),
    ) -> None:
        """Takes in what one iteration leaves behind. ``policies`` are the versions that drew its live rows."""
        self._builds += origin.live
        self._consumed += origin.consumed
        self._metrics += [(iteration, Metric(name, value)) for name, value in metrics.items()]
        self._policies |= {policy.sha256: policy for policy in policies}

    @property
    def pending(self) -> bool:
        """Whether something was added that no commit has taken along yet."""
        return bool(self._builds or self._consumed or self._metrics or self._policies)

    def commit(self, checkpoint: Checkpoint, *policies: PolicyVersion) -> None:
        """Hands all that was added, with the checkpoint after it and the policies in it, to the writing thread."""
        self._raise_failure()
        group = Commit(
            builds=self._builds,
            policies=[*self._policies.values(), *policies],
            consumed_by=self.run_id,
            consumed=self._consumed,
            run_metrics=self._metrics,
            checkpoint=checkpoint,
            message=f"run {self.run_id}, iterations up to {checkpoint.iteration}",
        )
        self._builds, self._consumed, self._metrics, self._policies = [], [], [], {}
        self._queue.put(group)
        self.checkpointed = checkpoint.iteration

    def drain(self) -> None:
        """Waits until everything handed over is durable."""
        self._queue.join()
        self._raise_failure()

    def settled(self) -> int:
        """The iteration before which all that the run drew is durable: that of the last checkpoint, after a wait.

        A run that is resumed from the checkpoint finds the same, whatever was committed after it.
        """
        self.drain()
        return self.checkpointed

    def _work(self) -> None:
        while (group := self._queue.get()) is not None:
            try:
                if self._failure is None:
                    self.store.commit(group)
            except BaseException as error:  # raised by the training thread at its next call
                self._failure = error
            finally:
                self._queue.task_done()
        self._queue.task_done()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise HistoryError(
                f"the history of run {self.run_id} could not be written: {self._failure}"
            ) from self._failure
