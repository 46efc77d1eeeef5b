"""The index of a pinned snapshot: columns in memory for each stored row that a training may use, and access to arrays.

The index is read once, when a loader pins a snapshot of the store. After that a batch needs neither SQL nor Zarr: a
selection chooses positions by columns of the index, and ``gather`` copies the rows from the decoded cache. A position
is a row's place in the history's order; two runs of one seed have the same rows at the same positions.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from molbuffer.storage.handle import OpenStore
from molbuffer.storage.history.cache import DecodedCache
from molbuffer.storage.history.forward import ForwardRows, forward_rows
from molbuffer.storage.history.index_arrays import IndexArrays, forward_arrays, locate_arrays
from molbuffer.storage.history.ranking import ForwardRanking, RankedRows
from molbuffer.storage.history.scan import HistoryPart, ScannedRows, TrainableRows, read_strings, scan
from molbuffer.storage.history.verified import verify_tables
from molbuffer.storage.query import matching_rows
from molbuffer.storage.records import Consumed, Event, RowId, truncates
from molbuffer.storage.rows import Rows
from molbuffer.storage.segments import rows_by_build

Positions = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class IndexScope:
    """The choice of rows of an index: kept rows with a good reward under an objective.

    If a row has several rewards under the objective, the newest counts.

    Attributes:
        objective_sha256: the objective of the rewards; rows may have been drawn under another objective.
        run_id: the run in training, whose rows are its own; None if the reader is not a run, so that all rows are own.
        snapshot: the snapshot at which own rows are read; None means the newest.
        foreign_snapshot: the snapshot at which rows of other runs are read; None means ``snapshot``. A run that trains
            while others write pins this snapshot at its start, so that new rows of others do not change its batches.
        own_only: whether to leave out the rows of other runs.
        with_actors: whether the rows of the run's actors count as its own.
        runs: the ids of the runs whose rows are included; None means all runs.
        where: a predicate over ``sample_history`` that the rows must fulfil; None means no condition.
        up_to_iteration: the last iteration of own rows, inclusive; None means all.
        include_unparseable: whether to include rows that are not molecules, with reward 0.
        more_rewards: a table (build_id, row, value) of rewards under the objective that the store does not have, for
            rows without a reward in the store.

    Raises:
        ValueError: a field that distinguishes own rows from others is set without ``run_id``.
    """

    objective_sha256: str
    run_id: str | None = None
    snapshot: int | None = None
    foreign_snapshot: int | None = None
    own_only: bool = False
    with_actors: bool = False
    runs: Sequence[str] | None = None
    where: str | None = None
    up_to_iteration: int | None = None
    include_unparseable: bool = False
    more_rewards: pa.Table | None = None

    def __post_init__(self) -> None:
        if self.run_id is None and (self.own_only or self.with_actors or self.foreign_snapshot is not None):
            raise ValueError(
                "own_only, with_actors and foreign_snapshot distinguish a run's rows from others: give the run_id"
            )

    @property
    def kind(self) -> Hashable:
        """The fields that two scopes must share, so that the index of one can be updated to that of the other."""
        runs = None if self.runs is None else tuple(self.runs)
        return (
            self.objective_sha256,
            self.run_id,
            self.own_only,
            self.with_actors,
            runs,
            self.where,
            self.include_unparseable,
        )

    def parts(self, snapshot: int) -> tuple[HistoryPart, ...]:
        """Return the parts of the history that are read: own rows at ``snapshot``, and rows of other runs if wanted."""
        of_runs = None if self.runs is None else tuple(self.runs)
        own = HistoryPart(
            snapshot,
            own=True,
            run_id=self.run_id,
            up_to_iteration=self.up_to_iteration,
            runs=of_runs,
            with_actors=self.with_actors,
        )
        if self.run_id is None or self.own_only:
            return (own,)
        foreign = snapshot if self.foreign_snapshot is None else self.foreign_snapshot
        return own, replace(own, snapshot=foreign, own=False, others=True, up_to_iteration=None)


@dataclass(frozen=True, eq=False)
class HistoryIndex:
    """The n rows, from b builds, of a pinned snapshot that a training may use.

    ``SampleStore.index`` makes an index. Selections choose rows from it (``molbuffer.storage.history.selections``).

    Attributes:
        store: the store; after the index is loaded, only texts and conditions are read from it.
        parts: the parts of the history with their snapshots, the run's own rows first.
        rows: the columns of the rows.
        arrays: the places of the arrays of the rows.
        whole: the index from which ``without`` has removed rows, which can be updated; None for a complete index.
    """

    store: OpenStore
    parts: tuple[HistoryPart, ...]
    rows: ScannedRows
    arrays: IndexArrays
    whole: HistoryIndex | None = field(default=None, repr=False, kw_only=True)
    _fulfil: dict[str, NDArray[np.bool_]] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def load(
        cls, store: OpenStore, scope: IndexScope, cache: DecodedCache | None = None, earlier: Self | None = None
    ) -> Self:
        """Return the index of a store, after decoding the segments that the cache lacks.

        Args:
            store: the store.
            scope: the choice of rows.
            cache: the cache of decoded rows; None means the user's cache folder.
            earlier: an index of this store with the same ``scope.kind`` and cache. If it can be updated, only newer
                rows are read; the result is the same.

        Raises:
            PredicateError: the predicate of the scope is not a predicate over a row.
            ArraysError: a segment is missing or damaged.
            FileDamagedError: a file of a table differs from the file that was written.
            CacheError: the cache cannot be written.
            StoreError: the store does not have the snapshot, or cannot be read.
        """
        parts = scope.parts(store.snapshot() if scope.snapshot is None else scope.snapshot)
        wanted = TrainableRows(
            scope.objective_sha256, scope.where, scope.include_unparseable, more_rewards=scope.more_rewards
        )
        if earlier is not None:
            if earlier.parts == parts and scope.more_rewards is None:
                return earlier
            forward = forward_rows(store, earlier.rows, earlier.parts, parts, wanted)
            if forward is not None:
                index = cls(store, parts, forward.rows, forward_arrays(earlier.arrays, forward))
                index._take_over(earlier, forward)
                return index
        verify_tables(store, [part.snapshot for part in parts])
        rows = scan(store, parts, wanted)
        cache = cache or DecodedCache(store.cache_key, store.layout.arrays)
        return cls(store, parts, rows, locate_arrays(rows, cache))

    def _take_over(self, earlier: Self, forward: ForwardRows) -> None:
        """Reuse the rankings and fulfilled predicates of an earlier index for the rows that both have."""
        for where, before in earlier._fulfil.items():
            read = np.zeros(len(forward.read.rewards), bool)
            found = forward.splice.column(before, read)
            for query in forward.queries:
                self._mark(found, query.matching(where), own=query.part.own)
            self._fulfil[where] = found
        # Rankings that the earlier index was asked for will be needed again.
        if known := earlier.__dict__.keys() & {"best_first", "best_of_each_molecule"}:
            ranking = ForwardRanking(earlier._ranked, self._ranked, forward.splice)
            self.__dict__.update({name: getattr(ranking, name)(earlier.__dict__[name]) for name in sorted(known)})

    def __len__(self) -> int:
        return len(self.rewards)

    @property
    def snapshot(self) -> int:
        """The snapshot at which own rows were read."""
        return self.parts[0].snapshot

    @property
    def builds(self) -> pa.Table:
        """The builds [b] in the rows' order, with columns of the table ``builds`` such as sampler and policy."""
        return self.rows.builds

    @property
    def build_numbers(self) -> NDArray[np.int32]:
        """The place of each row's build in ``builds``, int32 [n]."""
        return self.rows.build_numbers

    @property
    def row_numbers(self) -> NDArray[np.int32]:
        """Each row's place in its build, int32 [n]."""
        return self.rows.row_numbers

    @property
    def rewards(self) -> NDArray[np.float64]:
        """The rewards under the objective, float64 [n]; none is missing."""
        return self.rows.rewards

    @property
    def molecules(self) -> NDArray[np.uint64]:
        """A hash of the canonical SMILES, uint64 [n], equal for equal molecules; rows without a molecule share one."""
        return self.rows.molecules

    @property
    def sources(self) -> bool:
        """Whether any row has a source, as the rows of pairs do."""
        return "source_tokens" in self.arrays.optional

    @property
    def own(self) -> NDArray[np.bool_]:
        """Whether the run in training drew the row, bool [n]."""
        return self.rows.own

    @cached_property
    def live(self) -> NDArray[np.bool_]:
        """Whether a row was drawn for a training batch rather than for the buffer, bool [n]."""
        live = np.array([event == Event.SAMPLE_BATCH for event in self.builds["event"].to_pylist()], bool)
        return live.take(self.build_numbers)

    @cached_property
    def truncated(self) -> NDArray[np.bool_]:
        """Whether a row was drawn with top_k or top_p, bool [n]."""
        settings = zip(self.builds["top_k"].to_pylist(), self.builds["top_p"].to_pylist(), strict=True)
        return np.array([truncates(*each) for each in settings], bool).take(self.build_numbers)

    @cached_property
    def iterations(self) -> NDArray[np.int32]:
        """The iterations of the rows' builds, int32 [n]."""
        iterations: NDArray[np.int32] = self.builds["iteration"].to_numpy().astype(np.int32)
        return iterations.take(self.build_numbers)

    @property
    def iteration(self) -> int:
        """The iteration after that of the newest own row; 0 without own rows."""
        return int(self.iterations.max(initial=-1, where=self.own)) + 1

    @cached_property
    def run_numbers(self) -> NDArray[np.int32]:
        """A number for each row that is equal for rows of one run, int32 [n]."""
        runs = self.builds["run_id"].combine_chunks().dictionary_encode().indices.to_numpy()
        numbers: NDArray[np.int32] = runs.take(self.build_numbers)
        return numbers

    @cached_property
    def build_ids(self) -> tuple[str, ...]:
        """The identity of each build [b]."""
        return tuple(self.builds["build_id"].to_pylist())

    @cached_property
    def policy_sha256s(self) -> tuple[str | None, ...]:
        """The sha256 of the policy that drew each build [b]; None for samplers without a policy."""
        return tuple(self.builds["policy_sha256"].to_pylist())

    @cached_property
    def vocabularies(self) -> tuple[str, ...]:
        """The hashes of the vocabularies of the tokens; ``vocabulary_numbers`` are positions in this tuple."""
        return tuple(dict.fromkeys(self.builds["vocabulary_sha256"].to_pylist()))

    @cached_property
    def best_first(self) -> Positions:
        """All positions by descending reward, int64 [n]; rows of equal reward by position."""
        return self._ranked.best_first()

    @cached_property
    def best_of_each_molecule(self) -> Positions:
        """The best position of each distinct molecule, int64 [m], by descending reward."""
        return self._ranked.best_of_each_molecule(self.best_first)

    @property
    def _ranked(self) -> RankedRows:
        return RankedRows(self.rewards, self.molecules)

    def gather(self, positions: Positions) -> Rows:
        """Return the rows at positions [n] with their rewards, trimmed to the longest row; torch can share the memory.

        Raises:
            IndexError: a position is not in the index.
        """
        return self.arrays.gather(positions, self.rewards.take(positions))

    def vocabulary_numbers(self, positions: Positions) -> NDArray[np.int32]:
        """Return the position in ``vocabularies`` of the vocabulary of each row, int32 [n]."""
        return self._vocabulary_of_build.take(self.build_numbers.take(positions))

    def without(self, positions: Positions) -> Self:
        """Return the index without the rows at some positions; the positions of later rows change."""
        keep = np.ones(len(self), bool)
        keep[positions] = False
        columns = ("build_numbers", "row_numbers", "rewards", "molecules", "own")
        rows = replace(self.rows, **{name: getattr(self.rows, name)[keep] for name in columns})
        return replace(self, rows=rows, arrays=self.arrays.without(keep), whole=self.whole or self)

    def row_ids(self, positions: Positions) -> list[RowId]:
        """Return the identities of the rows at positions."""
        pairs = zip(self.build_numbers[positions].tolist(), self.row_numbers[positions].tolist(), strict=True)
        return [RowId(self.build_ids[build], row) for build, row in pairs]

    def own_iterations(self, positions: Positions) -> list[int]:
        """Return the iterations of the run's own rows among the rows at positions."""
        iterations: list[int] = self.iterations[positions[self.own[positions]]].tolist()
        return iterations

    def positions_of(self, build_id: str, rows: Sequence[int] | NDArray[np.integer]) -> Positions:
        """Return the positions of rows of a build; rows that are not in the index are left out."""
        positions, found = self._places(self._numbers_by_id.get(build_id, -1), np.asarray(rows, np.int64))
        return positions[found]

    def _places(self, build: int, wanted: NDArray[np.int64]) -> tuple[Positions, NDArray[np.bool_]]:
        """Return the positions [m] of rows of the build with a number, and whether the index has each, bool [m]."""
        start, stop = np.searchsorted(self.build_numbers, (build, build + 1))
        here = self.row_numbers[start:stop]
        offsets = np.searchsorted(here, wanted)
        found = here.take(offsets, mode="clip") == wanted if len(here) else np.zeros(len(wanted), bool)
        return np.add(start, offsets, dtype=np.int64), found

    def times_consumed(self, consumed: Iterable[Consumed]) -> NDArray[np.int32]:
        """Return how often each row was delivered, int32 [n], given the consumed rows of a training run."""
        times = np.zeros(len(self), np.int32)
        for part in consumed:
            # A row may have been delivered by several updates of one iteration.
            np.add.at(times, self.positions_of(part.build_id, part.rows), 1)
        return times

    def matching(self, where: str) -> NDArray[np.bool_]:
        """Return whether each row fulfils a predicate over ``sample_history`` at the snapshot of its part, bool [n].

        Raises:
            PredicateError: ``where`` is not a predicate over a row.
        """
        if where not in self._fulfil:
            self._fulfil[where] = self._evaluate(where)
        return self._fulfil[where]

    def _evaluate(self, where: str) -> NDArray[np.bool_]:
        found = np.zeros(len(self), bool)
        for part in self.parts:
            self._mark(found, matching_rows(self.store.catalog, where, part.snapshot), own=part.own)
        return found

    def _mark(self, found: NDArray[np.bool_], rows: pa.Table, *, own: bool) -> None:
        """Set ``found`` to true for rows (build_id, row) that are own rows, or that are rows of others."""
        for build_id, numbers in rows_by_build(rows).items():
            positions = self.positions_of(build_id, numbers)
            found[positions[self.own[positions] == own]] = True

    def hashes_of(self, smiles: Sequence[str | None]) -> NDArray[np.uint64]:
        """Return the hashes of canonical SMILES as in ``molecules``, uint64 [m]; None stands for no molecule."""
        asked = pa.table({"smiles": pa.array(smiles, pa.string()), "place": np.arange(len(smiles))})
        found = self.store.read_arrow("SELECT hash(smiles) AS molecule FROM asked ORDER BY place", asked=asked)
        numbers: NDArray[np.uint64] = found["molecule"].to_numpy()
        return numbers

    def read(self, column: str, positions: Positions) -> list[str | None]:
        """Return a text column of the table ``samples`` for the rows at positions, reading only their builds."""
        columns = {name: getattr(self.rows, name)[positions] for name in ("build_numbers", "row_numbers", "own")}
        few = replace(self.rows, **columns)
        return read_strings(self.store, self.parts, few, column).to_pylist()  # type: ignore[no-any-return]

    def smiles(self, positions: Positions) -> list[str | None]:
        """Return the canonical SMILES of rows, None for no molecule. The first call reads the SMILES of all rows."""
        return self._smiles.take(pa.array(positions)).to_pylist()  # type: ignore[no-any-return]

    def raw(self, positions: Positions) -> list[str]:
        """Return the strings of rows as they were drawn. The first call reads the strings of all rows."""
        return self._raw.take(pa.array(positions)).to_pylist()  # type: ignore[no-any-return]

    @cached_property
    def _smiles(self) -> pa.LargeStringArray:
        return read_strings(self.store, self.parts, self.rows, "smiles")

    @cached_property
    def _raw(self) -> pa.LargeStringArray:
        return read_strings(self.store, self.parts, self.rows, "raw")

    @cached_property
    def _numbers_by_id(self) -> dict[str, int]:
        return {build_id: number for number, build_id in enumerate(self.build_ids)}

    @cached_property
    def _vocabulary_of_build(self) -> NDArray[np.int32]:
        numbers = {vocabulary: number for number, vocabulary in enumerate(self.vocabularies)}
        return np.array([numbers[name] for name in self.builds["vocabulary_sha256"].to_pylist()], np.int32)
