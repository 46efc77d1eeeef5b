"""Read which rows of the history a training may use, as columns, in the history's order.

Rows are ordered by (iteration, event, place of the sampler in the configuration, chunk, row), those of the run in
training first, those of other runs after them by (start of the run, run_id). Commits are made by many processes in any
order, so the order of a scan says nothing; and ids are new in every run, so that own rows must not be ordered by them:
two runs of one seed would draw different batches.
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
    """The rows of some runs as of one snapshot.

    Attributes:
        snapshot: the snapshot.
        own: whether these count as the reader's own rows.
        run_id: the run whose rows these are, or when ``others`` are not; None is all runs.
        others: whether these are the rows of all runs but that one.
        up_to_iteration: the last iteration that counts; None is all.
        runs: the only runs that count; None is all.
        with_actors: whether the runs whose parent is ``run_id`` are one with it.
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
        """The SQL condition on ``builds`` with ``run_id`` for its only ``?``."""
        if self.with_actors:
            return f"builds.run_id {'NOT IN' if self.others else 'IN'} {RUN_AND_ACTORS}"
        # A bare comparison, so that Parquet files of other runs are known by their statistics and not opened.
        return f"builds.run_id {'<>' if self.others else '='} ?"


@dataclass(frozen=True)
class TrainableRows:
    """Which rows a training may use: kept ones with a good reward under the objective.

    Attributes:
        objective_sha256: the objective.
        where: a predicate over ``sample_history`` that must be true as well.
        include_unparseable: rows that are no molecule too, with reward 0.
        more_rewards: columns build_id, row, value of rewards of rows that have none in the store; None without any.
    """

    objective_sha256: str
    where: str | None = None
    include_unparseable: bool = False
    more_rewards: pa.Table | None = None


@dataclass(frozen=True, eq=False)
class ScannedRows:
    """The columns of n rows from b builds, in order.

    Attributes:
        builds: columns of the table ``builds`` [b], in order; some may have no row here. ``run_created`` is when the
            run began, and ``added`` the snapshot that added the build.
        build_numbers: int32 [n] into ``builds``, ascending.
        row_numbers: int32 [n] in a build, ascending in each.
        rewards: float64 [n].
        molecules: uint64 [n], a hash of the canonical SMILES.
        own: bool [n], whether the row is the reader's own.
        builds_of_parts: how many of the builds each part has.
    """

    builds: pa.Table
    build_numbers: NDArray[np.int32]
    row_numbers: NDArray[np.int32]
    rewards: NDArray[np.float64]
    molecules: NDArray[np.uint64]
    own: NDArray[np.bool_]
    builds_of_parts: tuple[int, ...] = ()


# The bits of a key that are the row; those above are the build.
_ROW = 2**32 - 1
# Columns are named, since each that is read costs an access to every Parquet file. The events' names happen to sort as
# they must: build_buffer before sample_batch. What a policy is evaluated by is not what others learn from.
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
        PredicateError: ``where`` is no predicate over a row.
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
        since: a condition on ``builds``, of ours, that must hold as well.
        values: for each ``?`` in it.
        added: what stands for tables of which only rows that were added count, as of ``ReadableCatalog.added``.
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
        numbered: the builds, by id and number.
        since: the snapshot before which none of their rows was added; None when all builds of the part are asked for.
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
        """Return the condition on a table by which files without a row of the builds are not opened."""
        return "true" if self.since is None else f"{table}.snapshot_id >= {int(self.since)}"

    def matching(self, where: str) -> pa.Table:
        """Return the rows (build_id, row) of the builds, or of more, for which a predicate is true."""
        some = None if self.since is None else SomeBuilds(self.numbered["build_id"].to_pylist(), self.since)
        return matching_rows(self.store.catalog, where, self.part.snapshot, of=some)


@dataclass(frozen=True, eq=False)
class ReadRows:
    """Some columns of ``ScannedRows``."""

    build_numbers: NDArray[np.int32]
    row_numbers: NDArray[np.int32]
    rewards: NDArray[np.float64]
    molecules: NDArray[np.uint64]


def read_rows(queries: Sequence[PartQuery], wanted: TrainableRows) -> ReadRows:
    """Return the rows of some builds of each part that a training may use, in the order of the builds' numbers.

    The store's answers are taken a portion at a time, and columns are given up as soon as what is made of them is
    there, so that reading the rows takes little more memory than having them.

    Raises:
        PredicateError: ``where`` is no predicate over a row.
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
    """Return the keys of the wanted samples [n], ascending, their molecules, and which of them are no molecule."""
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
            # A view would keep the whole portion.
            molecules.append(_numpy(batch, "molecule").copy())
            unparseable.append(_numpy(batch, "unparseable"))
    unordered = _whole(keys, np.int64)
    order = np.argsort(unordered, kind="stable")
    return unordered[order], _whole(molecules, np.uint64)[order], _whole(unparseable, np.bool_)[order]


def _read_rewards(queries: Sequence[PartQuery], wanted: TrainableRows, keys: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the newest reward of each key [n], NaN where there is none; the keys ascend."""
    values = np.full(len(keys), np.nan)
    created = np.full(len(keys), np.iinfo(np.int64).min)
    for query in queries if len(keys) else ():
        for batch in query.read(_REWARDS.replace("[since]", query.added("rewards")), wanted.objective_sha256):
            of, stamps = keys_of(batch), _numpy(batch, "created")
            positions = np.searchsorted(keys, of)
            # The oldest first: where a row occurs twice, what is assigned last stays.
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
    """Return the pieces as one array, and empty the list, so that they are not in memory beside what is made of it."""
    whole = np.concatenate([np.zeros(0, kind), *pieces])
    pieces.clear()
    return whole


def read_strings(store: OpenStore, parts: Sequence[HistoryPart], rows: ScannedRows, column: str) -> pa.LargeStringArray:
    """Return a text column of ``samples`` [n] for scanned rows, as of the snapshots they were scanned at."""
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
    """Return the identity of each row (number, row) of a table as one number that sorts as rows are ordered."""
    return _key(_numpy(table, "number"), _numpy(table, "row"))


def _key(build_numbers: NDArray[np.integer], row_numbers: NDArray[np.integer]) -> NDArray[np.int64]:
    return (build_numbers.astype(np.int64) << 32) | row_numbers.astype(np.int64)


def _numpy(table: pa.Table | pa.RecordBatch, name: str) -> NDArray[Any]:
    column = table[name]
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return np.asarray(whole.to_numpy(zero_copy_only=False))
