"""Batches of stored rows as a map-style dataset, for torch's DataLoader with any number of workers.

Batch i depends on the pinned snapshot, the selection, the seed and i alone: it is the batch of step i of an offline
training with this seed. The DataLoader draws the numbers of batches in the main process and distributes them to its
workers, so that the batches and their order are the same for any number of workers and any prefetch (R17), each comes
once, and another pass gives them again. A state is the number of a batch and a snapshot, with the settings of the
dataset.

Workers read batches ahead of the training. They refuse a selection that must choose at the moment of the step, which
has the attribute ``at_consumption``. Live rows are never in these batches: the mixed loader draws them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch.utils.data import DataLoader, Dataset, get_worker_info

from molbuffer.kinds import Description, shown
from molbuffer.samplers import Vocabulary, numpy_generator
from molbuffer.storage import ConsumeOnce, SampleStore, Selection
from molbuffer.training.batches.batch import TrainingBatch, join
from molbuffer.training.batches.buffer import Buffer, BufferView
from molbuffer.training.errors import BatchShortError, LoaderUseError


class StoredBatches(Dataset[TrainingBatch]):
    """The batches of an offline training, by their number.

    Attributes:
        view: the stored rows that are read, of a pinned snapshot.
        selection: chooses the rows of a batch.
        vocabulary: the vocabulary of the policy that learns from them.
        batch_size: the number of rows of a batch.
        seed: the seed of all choices.
        start: the number of the batch that has index 0.

    Example:
        >>> batches = lab.dataset(objective, batch_size=16, seed=1)
        >>> first = batches[0]
        >>> len(first), first.rewards.shape
        (16, torch.Size([16]))
        >>> [len(batch) for batch in batches.loader(num_workers=0)] == [16] * len(batches)
        True
    """

    def __init__(
        self,
        store: SampleStore,
        view: BufferView,
        selection: Selection,
        vocabulary: Vocabulary,
        *,
        batch_size: int,
        seed: int = 0,
        batches: int | None = None,
        start: int = 0,
    ) -> None:
        """Pin the snapshot, and count the batches.

        Args:
            store: the open store; each worker process opens it again for itself.
            view: the stored rows; without a snapshot, the newest is pinned.
            selection: chooses the rows of a batch.
            vocabulary: the vocabulary of the policy that learns from them.
            batch_size: the number of rows of a batch.
            seed: the seed of all choices.
            batches: the number of batches, counted from number 0; None is one pass over the rows, or all passes that
                ``ConsumeOnce`` allows.
            start: the number of the first batch, to go on after earlier batches.

        Raises:
            BatchShortError: the rows do not fill one batch, or not ``batches`` batches.
            LoaderUseError: the view has a ``run_id``: the rows of a run in training change.
        """
        if view.run_id is not None:
            raise LoaderUseError(
                f"a dataset of stored rows must not belong to a run, whose rows change: got a view of run "
                f"{view.run_id}; leave out its run_id"
            )
        snapshot = store.snapshot() if view.snapshot is None else view.snapshot
        self.view, self.selection, self.vocabulary = replace(view, snapshot=snapshot), selection, vocabulary
        self.batch_size, self.seed, self.start = batch_size, seed, start
        self._path, self._uuid = store.path, store.uuid
        self._process: int | None = os.getpid()
        self._store: SampleStore | None = store
        self._buffer: Buffer | None = None
        self._next = 0
        self._batches = self._count(batches)

    def __len__(self) -> int:
        """Return the number of batches from ``start`` on."""
        return max(0, self._batches - self.start)

    def __getitem__(self, index: int) -> TrainingBatch:
        """Return the batch with the number ``start + index``, which is its ``iteration``.

        Raises:
            IndexError: there is no such batch.
            LoaderUseError: this process is a forked worker, or a worker with a selection that has ``at_consumption``.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        number = self.start + index
        buffer = self._buffer_before(number)
        buffer.iteration = number
        rows = buffer.take(self.batch_size, self._rng(number))
        self._next = number + 1
        return join(number, [rows.block])

    def loader(self, num_workers: int = 0, **more: Any) -> DataLoader[TrainingBatch]:
        """Return a DataLoader over the batches, whose workers are spawned.

        Args:
            num_workers: the number of processes that read batches ahead; 0 reads them in this process.
            more: other arguments of ``DataLoader``, such as ``prefetch_factor``.
        """
        context = "spawn" if num_workers else None
        return DataLoader(self, batch_size=None, num_workers=num_workers, multiprocessing_context=context, **more)

    def __getitems__(self, indices: Sequence[int]) -> Any:
        """Refuse a DataLoader with a ``batch_size``, which calls this to make batches of batches.

        Raises:
            LoaderUseError: always.
        """
        raise LoaderUseError(
            "the items of this dataset are whole batches, which a DataLoader must not batch again: use "
            "dataset.loader(num_workers=...), or DataLoader(dataset, batch_size=None, ...)"
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the number of the first batch, the snapshot and the settings of the dataset, as JSON values.

        A ``StatefulDataLoader`` of torchdata saves this state and counts batches itself. With another loader, save the
        position after the last batch: ``{**dataset.state_dict(), "position": batch.iteration + 1}``.
        """
        return {"position": self.start, "snapshot": self.view.snapshot, **self._identity()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to the batch and the snapshot of a state.

        Raises:
            LoaderUseError: the state has other keys or values than ``state_dict`` returns, or is of a dataset with
                other settings, such as another store, objective or seed.
        """
        own = {"position": int, "snapshot": int, **dict.fromkeys(self._identity())}
        if not isinstance(state, Mapping) or set(state) != set(own):
            got = ", ".join(map(str, state)) if isinstance(state, Mapping) else shown(state)
            raise LoaderUseError(
                f"expected a state with {', '.join(own)}, as state_dict returns it, got {got or 'none'}"
            )
        for name, value in self._identity().items():
            if state[name] != value:
                raise LoaderUseError(
                    f"the state is of a dataset with {name} = {state[name]!r}, but this dataset has {value!r}: make "
                    "the dataset with the same settings as then"
                )
        for name in ("position", "snapshot"):
            if not isinstance(state[name], int) or isinstance(state[name], bool) or state[name] < 0:
                raise LoaderUseError(f"{name} of a state: expected a whole number of at least 0, got {state[name]!r}")
        if state["snapshot"] != self.view.snapshot:
            self.view = replace(self.view, snapshot=state["snapshot"])
            self._buffer = None
        self.start = state["position"]

    def _identity(self) -> dict[str, Any]:
        """Return the settings that the batches depend on beside the snapshot, as JSON values."""
        return {
            "store": self._uuid,
            "objective": self.view.objective_sha256,
            "where": self.view.where,
            "vocabulary": self.vocabulary.sha256,
            "selection": Description("selections").of(self.selection),
            "batch_size": self.batch_size,
            "seed": self.seed,
        }

    def __getstate__(self) -> dict[str, Any]:
        # A worker opens the store for itself: connections and locks are of one process.
        return {**self.__dict__, "_store": None, "_buffer": None, "_process": None, "_next": 0}

    def _count(self, batches: int | None) -> int:
        """Return the number of batches.

        Raises:
            BatchShortError: the rows do not suffice for it.
        """
        buffer = self._open_buffer()
        available = buffer.available
        once = len(buffer.index) * self.selection.epochs if isinstance(self.selection, ConsumeOnce) else None
        most = None if once is None else once // self.batch_size
        wanted = max(1, available // self.batch_size if most is None else most) if batches is None else batches
        if available < self.batch_size or (most is not None and wanted > most):
            condition = f" and fulfil {self.view.where!r}" if self.view.where else ""
            raise BatchShortError(
                f"{wanted} batches of {self.batch_size} rows were asked for, and the selection offers "
                f"{available if once is None else once} of {len(buffer.index)} stored rows that have a reward under "
                f"this objective{condition}; store more, or ask for less",
                wanted=wanted * self.batch_size,
                available=available,
            )
        return wanted

    def _buffer_before(self, number: int) -> Buffer:
        """Return the buffer as it is before a batch; for ``ConsumeOnce``, the earlier batches count as delivered."""
        if get_worker_info() is not None and getattr(self.selection, "at_consumption", False):
            raise LoaderUseError(
                f"{type(self.selection).__name__} chooses rows by values that change during a training, so that a "
                "worker cannot choose them ahead: use num_workers=0"
            )
        buffer = self._open_buffer()
        if isinstance(self.selection, ConsumeOnce):
            if number < self._next:
                buffer.restore(())
                self._next = 0
            for earlier in range(self._next, number):
                buffer.deliver(self.batch_size, self._rng(earlier))
        return buffer

    def _open_buffer(self) -> Buffer:
        if self._process is None:
            self._process = os.getpid()
        if self._process != os.getpid():
            raise LoaderUseError(
                "this worker was forked from a process that has the store open, and would share its connections: use "
                'dataset.loader(num_workers=…), or give DataLoader multiprocessing_context="spawn"'
            )
        if self._store is None:
            self._store = SampleStore.open(self._path, read_only=True)
        if self._buffer is None:
            self._buffer, self._next = Buffer(self._store, self.view, self.selection, self.vocabulary), 0
        return self._buffer

    def _rng(self, number: int) -> Any:
        # The mixed loader uses the same generator, so that both choose the same rows.
        return numpy_generator(self.seed, "buffer", number)
