"""Reading of the rows of the history that a training may use, as columns in the history's order.

Rows are ordered by (iteration, event, position of the sampler in the configuration, chunk, row). The rows of the run in
training come first, and then the rows of other runs, by (start of the run, run_id). The order of a scan has no meaning,
since many processes commit in any order. Own rows must not be ordered by ids, which are new in every run: two runs of
one seed would draw different batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from molbuffer.storage.catalog import RUN_AND_ACTORS, in_added
from molbuffer.storage.handle import OpenStore
from molbuffer.storage.query import SomeBuilds, matching_rows


@dataclass(frozen=True)
class HistoryPart:
    """The rows of some runs at one snapshot.

    Attributes:
        snapshot: the snapshot.
        own: whether the rows count as the reader's own rows.
        run_id: the run whose rows are included, or excluded if ``others`` is true; None means all runs.
        others: whether the rows are those of all runs except ``run_id``.
        up_to_iteration: the last iteration, inclusive; None means all.
        runs: the ids of the runs whose rows are included; None means all runs.
        with_actors: whether the rows of the actors of ``run_id`` count as its rows.
    """

    snapshot: int
    own: bool
    run_id: str | None = None
    others: bool = False
    up_to_iteration: int | None = None
    runs: tuple[str, ...] | None = None
    with_actors: bool = False

    @property
    def of_run(self) -> str:
        """The SQL condition on ``builds`` that chooses the run; its only ``?`` is ``run_id``."""
        if self.with_actors:
            return f"builds.run_id {'NOT IN' if self.others else 'IN'} {RUN_AND_ACTORS}"
        # A plain comparison, so that Parquet files of other runs are skipped by their statistics.
        return f"builds.run_id {'<>' if self.others else '='} ?"


@dataclass(frozen=True)
class TrainableRows:
    """The rows that a training may use: kept rows with a good reward under the objective.

    Attributes:
        objective_sha256: the hash of the objective.
        where: a predicate over ``sample_history`` that the rows must fulfil; None means no condition.
        include_unparseable: whether to include rows that are not molecules, with reward 0.
        more_rewards: a table (build_id, row, value) of rewards of rows without a reward in the store; None means none.
    """

    objective_sha256: str
    where: str | None = None
    include_unparseable: bool = False
    more_rewards: pa.Table | None = None


@dataclass(frozen=True, eq=False)
class ScannedRows:
    """The columns of n rows from b builds, in order.

    Attributes:
        builds: the builds [b] in order, with columns of the table ``builds``; a build may have no row here. The column
            ``run_created`` has the start of the run, and ``added`` the snapshot that added the build.
        build_numbers: the place of each row's build in ``builds``, int32 [n], ascending.
        row_numbers: the number of each row in its build, int32 [n], ascending in each build.
        rewards: the rewards, float64 [n].
        molecules: a hash of the canonical SMILES, uint64 [n].
        own: whether each row is the reader's own, bool [n].
        builds_of_parts: the number of builds of each part.
    """

    builds: pa.Table
    build_numbers: NDArray[np.int32]
    row_numbers: NDArray[np.int32]
    rewards: NDArray[np.float64]
    molecules: NDArray[np.uint64]
    own: NDArray[np.bool_]
    builds_of_parts: tuple[int, ...] = ()


# The bits of a key that hold the row; the higher bits hold the build.
_ROW = 2**32 - 1
# Columns are named, since each column that is read needs an access to every Parquet file. The names of the events sort
# in the right order: build_buffer before sample_batch. Builds of the event evaluation are left out.
_BUILDS = """
    SELECT builds.build_id, builds.run_id, builds.iteration, builds.event, builds.sampler, builds.sampler_kind,
        builds.sampler_order, builds.chunk, builds.policy_sha256, builds.temperature, builds.top_k, builds.top_p,
        builds.latent_sha256, builds.drawn, builds.vocabulary_sha256,
        builds.segment, builds.segment_offset, runs.created AS run_created, builds.snapshot_id AS added
    FROM {placed_builds} AS builds LEFT JOIN {runs} AS runs USING (run_id)
    WHERE builds.segment NOT IN (SELECT segment FROM {quarantine}) AND builds.event <> 'evaluation' AND [condition]
    ORDER BY runs.created NULLS LAST, builds.run_id, builds.iteration, builds.event, builds.sampler_order, builds.chunk,
        builds.sampler"""

_SAMPLES = """
    SELECT number, samples."row" AS "row", hash(samples.smiles) AS molecule, samples.smiles IS NULL AS unparseable
    FROM {samples} AS samples JOIN numbered USING (build_id)
    WHERE (samples.kept OR ($1 AND samples.smiles IS NULL)) AND [since]"""
_MATCHING = ' SEMI JOIN matching ON matching.build_id = samples.build_id AND matching."row" = samples."row"'
_STRINGS = """
    SELECT number, samples."row" AS "row", samples.{column} AS text
    FROM {samples} AS samples JOIN numbered USING (build_id)"""
_MORE_REWARDS = """
    SELECT number, given."row" AS "row", given.value AS value FROM given JOIN numbered USING (build_id)"""
_REWARDS = """
    SELECT number, rewards."row" AS "row", rewards.value AS value, epoch_us(rewards.created) AS created
    FROM {rewards} AS rewards JOIN numbered USING (build_id)
    WHERE rewards.objective_sha256 = $1 AND rewards.status = 'ok' AND [since]"""


def scan(store: OpenStore, parts: Sequence[HistoryPart], wanted: TrainableRows) -> ScannedRows:
    """Return the rows of all parts that a training may use, one part after another.

    Raises:
        PredicateError: ``where`` is not a predicate over a row.
        StoreError: the store cannot be read.
    """
    builds = [read_builds(store, part) for part in parts]
    whole = pa.concat_tables(builds).combine_chunks()
    numbered, first, queries = _number(whole), 0, []
    for part, of_part in zip(parts, builds, strict=True):
        queries.append(PartQuery(store, part, numbered.slice(first, of_part.num_rows)))
        first += of_part.num_rows
    rows = read_rows(queries, wanted)
    own = np.repeat([part.own for part in parts], [of_part.num_rows for of_part in builds])
    return ScannedRows(
        builds=whole,
        build_numbers=rows.build_numbers,
        row_numbers=rows.row_numbers,
        rewards=rows.rewards,
        molecules=rows.molecules,
        own=own.take(rows.build_numbers),
        builds_of_parts=tuple(of_part.num_rows for of_part in builds),
    )


def read_builds(
    store: OpenStore,
    part: HistoryPart,
    since: str = "true",
    *values: int,
    added: Mapping[str, str] | None = None,
) -> pa.Table:
    """Return the builds of a part in order, with the columns of ``ScannedRows.builds``.

    Args:
        store: the store.
        part: the part.
        since: a trusted SQL condition on ``builds`` that the builds must fulfil.
        values: the values for each ``?`` in the condition.
        added: the SQL for the added rows of tables, from ``ReadableCatalog.added``, to read only these rows.
    """
    conditions: dict[str, Any] = {
        part.of_run: part.run_id,
        "builds.iteration <= ?": part.up_to_iteration,
        "list_contains(?, builds.run_id)": None if part.runs is None else list(part.runs),
    }
    given = {condition: value for condition, value in conditions.items() if value is not None}
    sql = in_added(_BUILDS.replace("[condition]", " AND ".join([*given, since])), added or {})
    parameters = [*given.values(), *values]
    return store.read_arrow(sql, snapshot=part.snapshot, parameters=parameters, with_versions=True)


@dataclass(frozen=True, eq=False)
class PartQuery:
    """Queries over some builds of a part of the history.

    Attributes:
        store: the store.
        part: the part.
        numbered: the builds, as a table (build_id, number).
        since: a snapshot before which no row of the builds was added; None for all builds of the part.
    """

    store: OpenStore
    part: HistoryPart
    numbered: pa.Table
    since: int | None = None

    def read(self, sql: str, parameter: str | bool, **tables: pa.Table) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a SELECT over ``numbered`` and the tables."""
        if self.since is not None:
            added = self.store.catalog.added(("samples", "rewards"), self.part.snapshot, self.since)
            sql = in_added(sql, added)
        return self.store.read_batches(
            sql,
            snapshot=self.part.snapshot,
            parameters=[parameter],
            with_versions=self.since is not None,
            numbered=self.numbered,
            **tables,
        )

    def added(self, table: str) -> str:
        """Return the SQL condition on a table by which files without rows of the builds are skipped."""
        return "true" if self.since is None else f"{table}.snapshot_id >= {int(self.since)}"

    def matching(self, where: str) -> pa.Table:
        """Return the rows (build_id, row) of at least these builds for which a predicate is true."""
        some = None if self.since is None else SomeBuilds(self.numbered["build_id"].to_pylist(), self.since)
        return matching_rows(self.store.catalog, where, self.part.snapshot, of=some)


@dataclass(frozen=True, eq=False)
class ReadRows:
    """The rows that queries have read, with some columns of ``ScannedRows``."""

    build_numbers: NDArray[np.int32]
    row_numbers: NDArray[np.int32]
    rewards: NDArray[np.float64]
    molecules: NDArray[np.uint64]


def read_rows(queries: Sequence[PartQuery], wanted: TrainableRows) -> ReadRows:
    """Return the rows of some builds of each part that a training may use, in the order of the builds' numbers.

    Results are read in batches, and columns are freed as soon as they are no longer needed, so that reading the rows
    takes little more memory than the rows themselves.

    Raises:
        PredicateError: ``where`` is not a predicate over a row.
        StoreError: the store cannot be read.
    """
    keys, molecules, unparseable = _read_samples(queries, wanted)
    rewards = _read_rewards(queries, wanted, keys)
    rewards[unparseable] = 0.0
    keep = ~np.isnan(rewards)
    if not keep.all():
        keys, molecules, rewards = keys[keep], molecules[keep], rewards[keep]
    return ReadRows((keys >> 32).astype(np.int32), (keys & _ROW).astype(np.int32), rewards, molecules)


def _read_samples(
    queries: Sequence[PartQuery], wanted: TrainableRows
) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.bool_]]:
    """Return the keys of the wanted samples [n], ascending, hashes of their molecules, and which have no molecule."""
    keys: list[NDArray[np.int64]] = []
    molecules: list[NDArray[np.uint64]] = []
    unparseable: list[NDArray[np.bool_]] = []
    for query in queries:
        tables, sql = {}, _SAMPLES.replace("[since]", query.added("samples"))
        if wanted.where is not None:
            tables["matching"] = query.matching(wanted.where)
            sql = sql.replace("WHERE", f"{_MATCHING} WHERE")
        for batch in query.read(sql, wanted.include_unparseable, **tables):
            keys.append(keys_of(batch))
            # A view would keep the whole batch in memory.
            molecules.append(_numpy(batch, "molecule").copy())
            unparseable.append(_numpy(batch, "unparseable"))
    unordered = _whole(keys, np.int64)
    order = np.argsort(unordered, kind="stable")
    return unordered[order], _whole(molecules, np.uint64)[order], _whole(unparseable, np.bool_)[order]


def _read_rewards(queries: Sequence[PartQuery], wanted: TrainableRows, keys: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the newest reward of each key [n], NaN without a reward; the keys must ascend."""
    values = np.full(len(keys), np.nan)
    created = np.full(len(keys), np.iinfo(np.int64).min)
    for query in queries if len(keys) else ():
        for batch in query.read(_REWARDS.replace("[since]", query.added("rewards")), wanted.objective_sha256):
            of, stamps = keys_of(batch), _numpy(batch, "created")
            positions = np.searchsorted(keys, of)
            # The oldest first: if a row occurs twice, the last assignment counts.
            order = np.argsort(stamps, kind="stable")
            newest = (keys.take(positions, mode="clip") == of) & (stamps >= created.take(positions, mode="clip"))
            order = order[newest[order]]
            values[positions[order]] = _numpy(batch, "value")[order]
            created[positions[order]] = stamps[order]
        if wanted.more_rewards is not None:
            more = query.store.read_arrow(_MORE_REWARDS, numbered=query.numbered, given=wanted.more_rewards)
            of = keys_of(more)
            positions = np.searchsorted(keys, of)
            lacking = (keys.take(positions, mode="clip") == of) & np.isnan(values.take(positions, mode="clip"))
            values[positions[lacking]] = _numpy(more, "value")[lacking]
    return values


def _whole(pieces: list[NDArray[Any]], kind: type) -> NDArray[Any]:
    """Return the pieces as one array, and empty the list, so that the pieces do not stay in memory."""
    whole = np.concatenate([np.zeros(0, kind), *pieces])
    pieces.clear()
    return whole


def read_strings(store: OpenStore, parts: Sequence[HistoryPart], rows: ScannedRows, column: str) -> pa.LargeStringArray:
    """Return a text column of ``samples`` [n] for scanned rows, at the snapshots of their parts."""
    keys = _key(rows.build_numbers, rows.row_numbers)
    numbered = _number(rows.builds)
    found = []
    for part in parts:
        of_part = pa.array(np.unique(rows.build_numbers[rows.own == part.own]))
        sql = _STRINGS.format(column=column, samples="{samples}")
        found.append(store.read_arrow(sql, snapshot=part.snapshot, numbered=numbered.take(of_part)))
    table = pa.concat_tables(found)
    of = keys_of(table)
    order = np.argsort(of, kind="stable")
    texts = table["text"].cast(pa.large_string()).combine_chunks()
    return texts.take(pa.array(order[np.searchsorted(of[order], keys)]))


def _number(builds: pa.Table) -> pa.Table:
    return pa.table({"build_id": builds["build_id"], "number": np.arange(builds.num_rows)})


def keys_of(table: pa.Table | pa.RecordBatch) -> NDArray[np.int64]:
    """Return the identity (number, row) of each row of a table as one integer, which sorts in the order of rows."""
    return _key(_numpy(table, "number"), _numpy(table, "row"))


def _key(build_numbers: NDArray[np.integer], row_numbers: NDArray[np.integer]) -> NDArray[np.int64]:
    return (build_numbers.astype(np.int64) << 32) | row_numbers.astype(np.int64)


def _numpy(table: pa.Table | pa.RecordBatch, name: str) -> NDArray[Any]:
    column = table[name]
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return np.asarray(whole.to_numpy(zero_copy_only=False))
