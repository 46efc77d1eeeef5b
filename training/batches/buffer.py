"""The buffer: the rows that a training run may replay, and a count of how often it has used each.

The rows are the stored rows as of a pinned snapshot, and the live rows that the run has drawn since, committed or not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from molbuffer.samplers import Vocabulary, expressible, randomised, stored_rows
from molbuffer.storage import (
    Consumed,
    ConsumeOnce,
    HistoryIndex,
    IndexScope,
    Rows,
    SelectableRows,
    Selection,
    WithinLag,
    WithoutRows,
    available_rows,
    chosen_rows,
    weights_of,
)
from molbuffer.training.batches.batch import Block
from molbuffer.training.batches.candidates import Candidates, LiveRows
from molbuffer.training.batches.replay import Replay
from molbuffer.training.batches.replayed_latents import ReplayedLatents, replayed_latents
from molbuffer.training.diversity import DiversityMemory

BUFFER = "buffer"
"""The origin of stored rows in a batch."""


class StoredRows(Protocol):
    """A source of the rows of a buffer: a store, or several stores."""

    def snapshot(self) -> int:
        """Return the newest snapshot."""
        ...

    def index(self, scope: IndexScope) -> HistoryIndex:
        """Return the index of the rows that a training may use."""
        ...


@dataclass(frozen=True)
class BufferView:
    """The stored rows that a run reads.

    Attributes:
        objective_sha256: the objective whose rewards count.
        run_id: the run in training; None treats the rows of all runs alike.
        snapshot: the snapshot of the rows of other runs, or of all rows without a run_id; None is the newest.
        own_only: leave out the rows of other runs.
        with_actors: the rows of the actors of the run are its own, too.
        where: an SQL predicate over ``sample_history``.
        train_on_invalid: include rows that are not molecules, with reward 0.
    """

    objective_sha256: str
    run_id: str | None = None
    snapshot: int | None = None
    own_only: bool = False
    with_actors: bool = False
    where: str | None = None
    train_on_invalid: bool = False


@dataclass(frozen=True)
class BufferRows:
    """Stored rows for a batch.

    Attributes:
        rows: the rows.
        smiles: returns their canonical SMILES, None for a string that is not a molecule.
        consumed: the identities of the rows, if the selection is ``consume_once``; else empty.
        drawn_in: the iterations in which this run drew its own rows among them.
        replayed: the rows that latent priors can learn from; None if there are none.
    """

    rows: Rows
    smiles: Callable[[], Sequence[str | None]]
    consumed: Sequence[Consumed]
    drawn_in: Sequence[int]
    replayed: ReplayedLatents | None = None

    @property
    def block(self) -> Block:
        """The rows as a block of a batch."""
        return Block(BUFFER, self.rows, self.smiles)

    @property
    def blocks(self) -> list[Block]:
        """The block of the rows in a list, which is empty without rows."""
        return [self.block] if len(self.rows) else []


@dataclass
class Buffer:
    """Rows from which batches are selected; ``pin`` moves it to a newer snapshot.

    Attributes:
        store: the source of the rows.
        view: which stored rows are read.
        selection: the rule that chooses the rows of a batch.
        vocabulary: the vocabulary of the policy in training.
        replay: the updates of an iteration; the buffer uses its ``randomise`` and ``max_policy_lag``.
        diversity: the diversity memory, which may purge molecules of overfull buckets; None keeps all rows.
        candidates: the rows of the pinned snapshot, and the live rows of the run since.
        delivered: how often each row was given to this run, int32 [rows].
        up_to_iteration: the last iteration whose own rows are read from the snapshot; None is all.
    """

    store: StoredRows
    view: BufferView
    selection: Selection
    vocabulary: Vocabulary
    replay: Replay = Replay()
    diversity: DiversityMemory | None = None
    _consumed: list[Consumed] = field(default_factory=list)
    _counted: HistoryIndex | None = field(init=False, default=None)
    candidates: Candidates = field(init=False)
    delivered: NDArray[np.int32] = field(init=False)
    up_to_iteration: int | None = field(init=False, default=None)
    _seen: HistoryIndex | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        pinned = None if self.view.run_id else self.view.snapshot
        self.pin(self.store.snapshot() if pinned is None else pinned)

    def pin(self, snapshot: int, up_to_iteration: int | None = None, *, drawn_before: int | None = None) -> None:
        """Read the index of a snapshot: own rows as of the snapshot, rows of other runs as of the snapshot of the view.

        Args:
            snapshot: the snapshot.
            up_to_iteration: the last iteration whose own rows count, since a resumed run must not see rows that it
                built after its checkpoint; None is all.
            drawn_before: the iteration of a resumed run; its live rows of earlier iterations that the snapshot lacks
                are read from the newest snapshot. None if the snapshot has all live rows.
        """
        index = self._read(snapshot, up_to_iteration)
        if self.diversity is not None and (self._counted is None or drawn_before is not None):
            self._counted = index
        self.up_to_iteration = up_to_iteration
        self.candidates = Candidates(index)
        if drawn_before is not None and self.view.run_id is not None:
            self.candidates = self.candidates.followed_by(self._live_since(index, drawn_before))
            self._seen = index
        self._count_deliveries()

    def follow(self, snapshot: int) -> None:
        """Read the index of a newer snapshot, and keep the live rows that it does not have yet.

        Args:
            snapshot: the snapshot; all its rows of the run and of the actors are read.
        """
        before, index = self.candidates, self._read(snapshot, None)
        there = set(index.build_ids)
        live = tuple(each for each in before.live if each.build_id not in there)
        self.up_to_iteration = None
        self.candidates = Candidates(index, live, before.iteration)
        self._count_deliveries()

    def arrived(self) -> tuple[list[str | None], NDArray[np.float64]]:
        """Return the canonical SMILES and rewards of the rows of actors that are new since the last call, in order."""
        index, positions = self.index, _new_rows(self._seen, self.index)
        self._seen = index
        return index.read("smiles", positions) if len(positions) else [], index.rewards[positions]

    @property
    def index(self) -> HistoryIndex:
        """The rows of the snapshot."""
        return self.candidates.index

    @property
    def snapshot(self) -> int:
        """The number of the snapshot that is read."""
        return self.index.snapshot

    @property
    def iteration(self) -> int:
        """The iteration that rows are selected for."""
        return self.candidates.iteration

    @iteration.setter
    def iteration(self, iteration: int) -> None:
        self.candidates.iteration = iteration

    @property
    def available(self) -> int:
        """The number of rows that the next batch could take."""
        return available_rows(self._bounded, self.candidates, self.delivered)

    def add(self, live: Sequence[LiveRows]) -> None:
        """Add the live rows of an iteration, in the order of the history, as delivered once."""
        live = [rows for rows in live if len(rows)]
        if live:
            end = self.candidates.ranking.own_rows + self.candidates.ends[-1]
            self.candidates = self.candidates.followed_by(live)
            self.delivered = np.insert(self.delivered, end, np.ones(sum(map(len, live)), np.int32))

    def take(self, n: int, rng: np.random.Generator) -> BufferRows:
        """Select up to n rows, and read them."""
        positions, consumed = self.deliver(n, rng)
        candidates = self.candidates
        rows = candidates.read(positions, self.vocabulary)
        weights = weights_of(self._bounded, candidates, positions)
        if weights is not None:
            rows = replace(rows, weights=weights.astype(np.float32))
        replayed = replayed_latents(candidates, positions, rows)
        if self.replay.randomise:
            rows = randomised(rows, self.vocabulary, rng)
        return BufferRows(
            rows, partial(candidates.smiles, positions), consumed, candidates.own_iterations(positions), replayed
        )

    def deliver(self, n: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], Sequence[Consumed]]:
        """Select up to n rows without reading them; return their positions and ``BufferRows.consumed``."""
        positions = chosen_rows(self._bounded, self.candidates, n, rng, self.delivered)
        consumed: list[Consumed] = []
        if isinstance(self.selection, ConsumeOnce):
            consumed = self._record(positions)
            self._consumed += consumed
            self.delivered[positions] += 1
        return positions, consumed

    def came_late(self, iteration: int) -> tuple[list[str | None], NDArray[np.float64]]:
        """Return the canonical SMILES and rewards of rows whose rewards were completed since the last call, in order.

        Without a diversity memory, return none.

        Args:
            iteration: the iteration before which the run built the rows.
        """
        before, self._counted = self._counted, self.index
        if before is None or before is self.index:
            return [], np.zeros(0)
        positions = _new_rows(before, self.index)
        positions = positions[self.index.iterations[positions] < iteration]
        return self.index.read("smiles", positions) if len(positions) else [], self.index.rewards[positions]

    def built_at(self, iteration: int) -> tuple[list[str | None], NDArray[np.float64]]:
        """Return the canonical SMILES and rewards of the rows that the run built for the buffer in an iteration."""
        index = self.index
        positions = np.flatnonzero(index.own & ~index.live & (index.iterations == iteration))
        return index.read("smiles", positions) if len(positions) else [], index.rewards[positions]

    def restore(self, consumed: Sequence[Consumed]) -> None:
        """Count the rows that an earlier part of the run consumed as delivered."""
        self._consumed = list(consumed)
        self._count_deliveries()

    @property
    def _bounded(self) -> Selection:
        bound = self.replay.max_policy_lag
        bounded = self.selection if bound is None else WithinLag(self.selection, bound)
        purging = self.diversity is not None and self.diversity.purging
        return WithoutRows(bounded, self._overfull) if purging else bounded

    def _overfull(self, rows: SelectableRows) -> NDArray[np.bool_]:
        assert self.diversity is not None
        return self.diversity.overfull(rows.smiles(np.arange(len(rows))), rows.rewards)

    def _read(self, snapshot: int, up_to_iteration: int | None, *, own_only: bool = False) -> HistoryIndex:
        view = self.view
        index = self.store.index(
            IndexScope(
                objective_sha256=view.objective_sha256,
                run_id=view.run_id,
                snapshot=snapshot,
                foreign_snapshot=view.snapshot if view.run_id else None,
                own_only=own_only or view.own_only,
                with_actors=view.with_actors,
                up_to_iteration=up_to_iteration,
                where=view.where,
                include_unparseable=view.train_on_invalid,
            )
        )
        return expressible(index, self.vocabulary, unparseable=view.train_on_invalid)

    def _live_since(self, index: HistoryIndex, iteration: int) -> list[LiveRows]:
        """Return the live rows before an iteration that are stored and that an older index lacks, by build."""
        newest = self._read(self.store.snapshot(), iteration - 1, own_only=True)
        known = set(index.build_ids)
        missing = np.array([build_id not in known for build_id in newest.build_ids], bool)
        positions = np.flatnonzero(newest.live & missing[newest.build_numbers])
        numbers = newest.build_numbers[positions]
        rows = stored_rows(newest, positions, self.vocabulary)
        smiles = newest.read("smiles", positions) if len(positions) else []
        found = []
        for number in np.unique(numbers).tolist():
            start, stop = np.searchsorted(numbers, (number, number + 1)).tolist()
            build = newest.builds.slice(number, 1).to_pylist()[0]
            found.append(
                LiveRows(
                    build_id=build["build_id"],
                    iteration=build["iteration"],
                    sampler=build["sampler"],
                    latent_sha256=build["latent_sha256"],
                    numbers=newest.row_numbers[positions[start:stop]],
                    rows=rows.take(slice(start, stop)),
                    smiles=smiles[start:stop],
                )
            )
        return found

    def _count_deliveries(self) -> None:
        index, candidates = self.index, self.candidates
        of_index = index.times_consumed(self._consumed)
        if self.view.run_id is not None:
            # The run has trained once on each live row that it drew.
            of_index += index.own & index.live
        of_live = [np.ones(len(each), np.int32) for each in candidates.live]
        by_build = {each.build_id: place for place, each in enumerate(candidates.live)}
        for part in self._consumed:
            if (place := by_build.get(part.build_id)) is not None:
                np.add.at(of_live[place], candidates.live[place].places_of(part.rows), 1)
        own = candidates.ranking.own_rows
        self.delivered = np.concatenate([of_index[:own], *of_live, of_index[own:]])

    def _record(self, positions: NDArray[np.int64]) -> list[Consumed]:
        by_build: dict[str, list[int]] = {}
        for row_id in self.candidates.row_ids(positions):
            by_build.setdefault(row_id.build_id, []).append(row_id.row)
        return [Consumed(build_id, rows, iteration=-1) for build_id, rows in by_build.items()]


def _new_rows(before: HistoryIndex | None, index: HistoryIndex) -> NDArray[np.int64]:
    """Return the positions of own rows of the buffer that an earlier index does not have; None has no rows."""
    drawn = np.flatnonzero(index.own & ~index.live)
    if before is None:
        return drawn
    # The rows of one build can be new at different times, since rewards are completed one after another.
    numbers = {build_id: number for number, build_id in enumerate(index.build_ids)}
    renumbered = np.array([numbers.get(build_id, -1) for build_id in before.build_ids], np.int64)
    known = _keys(renumbered[before.build_numbers], before.row_numbers)
    return drawn[~np.isin(_keys(index.build_numbers, index.row_numbers)[drawn], known)]


def _keys(build_numbers: NDArray[np.integer], row_numbers: NDArray[np.integer]) -> NDArray[np.int64]:
    return (build_numbers.astype(np.int64) << 32) | row_numbers.astype(np.int64)
