"""The writer of the history: a thread commits the rows that a training draws and consumes to the store, in groups.

A group holds the live builds of several iterations, the rows they consumed, their metrics and the checkpoint after
them. A group becomes visible as a whole or not at all, so that rows which a resumed run draws again count once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from queue import Queue

from molbuffer.storage import (
    BucketedMolecule,
    Build,
    Checkpoint,
    Commit,
    Consumed,
    KeptOfRun,
    Metric,
    PolicyVersion,
    SampleStore,
    StoreError,
)
from molbuffer.training.batches import BatchOrigin
from molbuffer.training.errors import HistoryError

_log = logging.getLogger(__name__)

GROUPS_IN_FLIGHT = 2
"""The number of groups that may wait to be written before the training waits, too."""


@dataclass
class HistoryWriter:
    """A writer of the builds, consumed rows, metrics and policies of a training, which commits them with checkpoints.

    It is a context manager: the exit waits for the last commit, and raises an error of the writing thread.

    Attributes:
        store: the store.
        run_id: the run in training.
        keep: the checkpoints and policies of the run to keep; others are removed after each checkpoint. None keeps all.
        checkpointed: the number of iterations before the last checkpoint.
    """

    store: SampleStore
    run_id: str
    keep: KeptOfRun | None = None
    checkpointed: int = 0
    _builds: list[Build] = field(default_factory=list)
    _consumed: list[Consumed] = field(default_factory=list)
    _bucketed: list[BucketedMolecule] = field(default_factory=list)
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
        """Add one iteration to the present group.

        Args:
            iteration: the iteration.
            origin: the live builds, the consumed rows, and the molecules that the diversity memory has counted.
            metrics: the metrics of the iteration by name; None is stored as null.
            policies: the policies that drew its live rows.
        """
        self._builds += origin.live
        self._consumed += origin.consumed
        self._bucketed += origin.bucketed
        self._metrics += [(iteration, Metric(name, value)) for name, value in metrics.items()]
        self._policies |= {policy.sha256: policy for policy in policies}

    def taken_metrics(self) -> list[tuple[int, Metric]]:
        """Remove the metrics from the present group and return them; the caller must commit them."""
        taken, self._metrics = self._metrics, []
        return taken

    @property
    def pending(self) -> bool:
        """Whether the present group holds anything."""
        return bool(self._builds or self._consumed or self._metrics or self._policies)

    def commit(self, checkpoint: Checkpoint, *policies: PolicyVersion) -> None:
        """Queue the present group for the writing thread.

        Args:
            checkpoint: the checkpoint after the group.
            policies: the policies in the checkpoint.

        Raises:
            HistoryError: an earlier group could not be written.
        """
        self._raise_failure()
        group = Commit(
            builds=self._builds,
            policies=[*self._policies.values(), *policies],
            run_id=self.run_id,
            consumed=self._consumed,
            bucketed=self._bucketed,
            run_metrics=self._metrics,
            checkpoint=checkpoint,
            message=f"run {self.run_id}, iterations up to {checkpoint.iteration}",
        )
        self._builds, self._consumed, self._bucketed, self._metrics, self._policies = [], [], [], [], {}
        self._queue.put(group)
        self.checkpointed = checkpoint.iteration

    def drain(self) -> None:
        """Wait until every queued group is durable.

        Raises:
            HistoryError: a group could not be written.
        """
        self._queue.join()
        self._raise_failure()

    def settled(self) -> int:
        """Wait for all queued groups, and return the iteration of the last checkpoint: all earlier rows are durable.

        A run that is resumed from the checkpoint gets the same number, whatever was committed after it.
        """
        self.drain()
        return self.checkpointed

    def unsettled(self) -> Sequence[Build] | None:
        """Return the live builds of the iterations since the last checkpoint; None if there was no iteration."""
        return tuple(self._builds) if self.pending else None

    def _work(self) -> None:
        while (group := self._queue.get()) is not None:
            try:
                if self._failure is None:
                    self.store.commit(group)
                    self._prune()
            except BaseException as error:  # raised by the training thread at its next call
                self._failure = error
            finally:
                self._queue.task_done()
        self._queue.task_done()

    def _prune(self) -> None:
        """Remove old checkpoints and policies of the run; log a failure, which must not end the training."""
        if self.keep is None:
            return
        try:
            self.store.maintenance.prune_run(self.run_id, self.keep)
        except (OSError, StoreError) as error:
            _log.warning("old checkpoints and policies of run %s were not removed: %s", self.run_id, error)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise HistoryError(
                f"the history of run {self.run_id} could not be written: {self._failure}"
            ) from self._failure
