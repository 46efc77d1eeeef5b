"""The buffer: the stored rows that a training run may use, as of a pinned snapshot, and the rows it has used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from molbuffer.samplers import Vocabulary, expressible, stored_rows
from molbuffer.storage import (
    Consumed,
    ConsumeOnce,
    HistoryIndex,
    IndexScope,
    Rows,
    SampleStore,
    Selection,
    available_rows,
    chosen_rows,
)
from molbuffer.training.batches.replayed_latents import ReplayedLatents, replayed_latents

BUFFER = "buffer"
"""The origin of stored rows in a batch."""


@dataclass(frozen=True)
class BufferView:
    """The stored rows that a run reads.

    Attributes:
        objective_sha256: the objective whose rewards count.
        run_id: the run in training; None treats the rows of all runs alike.
        snapshot: the snapshot of the rows of other runs, or of all rows without a run_id; None is the newest.
        own_only: leave out the rows of other runs.
        where: an SQL predicate over ``sample_history``.
        train_on_invalid: include rows that are no molecule, with reward 0.
    """

    objective_sha256: str
    run_id: str | None = None
    snapshot: int | None = None
    own_only: bool = False
    where: str | None = None
    train_on_invalid: bool = False


@dataclass(frozen=True)
class BufferRows:
    """Stored rows for a batch.

    Attributes:
        rows: the rows.
        consumed: the identities of the rows, where the selection delivers each once.
        drawn_in: the iterations in which this run drew those of the rows that are its own.
        replayed: the rows that latent priors can learn from; None without any.
    """

    rows: Rows
    consumed: Sequence[Consumed]
    drawn_in: Sequence[int]
    replayed: ReplayedLatents | None = None


@dataclass
class Buffer:
    """Stored rows of a pinned snapshot, from which batches are selected; ``pin`` moves it to a newer snapshot.

    Attributes:
        index: the rows as of the snapshot.
        delivered: int32 [rows], how often each was given to this run, less how often the run has readmitted it: each
            readmission allows one more delivery.
        up_to_iteration: the last iteration whose own rows count; None is all.
    """

    store: SampleStore
    view: BufferView
    selection: Selection
    vocabulary: Vocabulary
    _consumed: list[Consumed] = field(default_factory=list)
    index: HistoryIndex = field(init=False)
    delivered: NDArray[np.int32] = field(init=False)
    up_to_iteration: int | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        pinned = None if self.view.run_id else self.view.snapshot
        self.pin(self.store.snapshot() if pinned is None else pinned)

    def pin(self, snapshot: int, up_to_iteration: int | None = None) -> None:
        """Read the index of a snapshot: the run's own rows as of it, other runs' rows as of the start of the run.

        Args:
            snapshot: the snapshot.
            up_to_iteration: the last iteration whose own rows count: a resumed run must not see what it built after
                its checkpoint.
        """
        view = self.view
        index = self.store.index(
            IndexScope(
                objective_sha256=view.objective_sha256,
                run_id=view.run_id,
                snapshot=snapshot,
                foreign_snapshot=view.snapshot if view.run_id else None,
                own_only=view.own_only,
                up_to_iteration=up_to_iteration,
                where=view.where,
                include_unparseable=view.train_on_invalid,
            )
        )
        self.index = expressible(index, self.vocabulary, unparseable=view.train_on_invalid)
        self.up_to_iteration = up_to_iteration
        self.delivered = self.index.times_consumed(self._consumed)
        if (readmitted := self.index.times_readmitted()) is not None:
            self.delivered -= readmitted
            if view.own_only and isinstance(self.selection, ConsumeOnce):
                # Rows of other runs are in the index for their readmissions only, and have no delivery of their own.
                self.delivered += np.where(self.index.own, 0, self.selection.epochs).astype(np.int32)
        if view.run_id is not None:
            # The run has trained on what it drew live.
            self.delivered += self.index.own & self.index.live

    @property
    def snapshot(self) -> int:
        """The snapshot that is read."""
        return self.index.snapshot

    @property
    def available(self) -> int:
        """The number of rows that the next batch could take."""
        return available_rows(self.selection, self.index, self.delivered)

    def take(self, n: int, rng: np.random.Generator) -> BufferRows:
        """Select up to n rows, and read them."""
        positions, consumed = self.deliver(n, rng)
        rows = stored_rows(self.index, positions, self.vocabulary)
        replayed = replayed_latents(self.index, positions, rows)
        return BufferRows(rows, consumed, self.index.own_iterations(positions), replayed)

    def deliver(self, n: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], Sequence[Consumed]]:
        """Select up to n rows without reading them; return their positions, and what ``BufferRows`` has as consumed."""
        positions = chosen_rows(self.selection, self.index, n, rng, self.delivered)
        consumed: list[Consumed] = []
        if isinstance(self.selection, ConsumeOnce):
            consumed = self._record(positions)
            self._consumed += consumed
            self.delivered[positions] += 1
        return positions, consumed

    def restore(self, consumed: Sequence[Consumed]) -> None:
        """Count the rows that an earlier part of the run consumed as delivered."""
        self._consumed = list(consumed)
        self.pin(self.snapshot, self.up_to_iteration)

    def _record(self, positions: NDArray[np.int64]) -> list[Consumed]:
        by_build: dict[str, list[int]] = {}
        for row_id in self.index.row_ids(positions):
            by_build.setdefault(row_id.build_id, []).append(row_id.row)
        return [Consumed(build_id, rows, iteration=-1) for build_id, rows in by_build.items()]
