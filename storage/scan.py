"""Reads which rows of the history can be trained on, as columns, in the history's order.

Rows are ordered by (iteration, event, place of the sampler in the configuration, chunk, row), those of the run in
training first, those of other runs after them by (start of the run, run_id). Commits are made by many processes in any
order, so the order of a scan says nothing; and ids are new in every run, so that own rows must not be ordered by them:
two runs of one seed would draw different batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


class ReadableStore(Protocol):
    """What is needed of a store."""

    def snapshot(self) -> int:
        """The newest version."""

    def read_arrow(
        self, sql: str, *, snapshot: int | None = None, parameters: Sequence[Any] | None = None, **tables: pa.Table
    ) -> pa.Table:
        """The result of SQL over the version."""

    def matching_rows(self, where: str, snapshot: int | None = None) -> pa.Table:
        """The rows (build_id, row) for which a user's predicate is true."""


@dataclass(frozen=True)
class Part:
    """The rows of some runs as of one version.

    Attributes:
        own: whether these count as the reader's own rows.
        run_id: whose rows: that run's, or when ``others`` all but that run's; None is all rows.
        up_to_iteration: the last iteration that counts; None is all.
    """

    snapshot: int
    own: bool
    run_id: str | None = None
    others: bool = False
    up_to_iteration: int | None = None


@dataclass(frozen=True)
class Filter:
    """Which rows can be trained on: kept ones with a good reward under the objective.

    Attributes:
        where: a predicate over ``sample_history`` that must be true as well.
        include_unparseable: rows that are no molecule too, with reward 0.
    """

    objective_sha256: str
    where: str | None = None
    include_unparseable: bool = False


@dataclass(frozen=True, eq=False)
class ScannedRows:
    """The columns of n rows from b builds, in order.

    Attributes:
        builds: columns of the table ``builds`` [b], in order; some may have no row here.
        build_numbers: int32 [n] into ``builds``, ascending; row_numbers: int32 [n] in a build, ascending in each.
        rewards: float64 [n]; molecules: uint64 [n], a hash of the canonical SMILES.
        own: bool [n], whether the row is the reader's own.
    """

    builds: pa.Table
    build_numbers: NDArray[np.int32]
    row_numbers: NDArray[np.int32]
    rewards: NDArray[np.float64]
    molecules: NDArray[np.uint64]
    own: NDArray[np.bool_]


# Columns are named, since each that is read costs an access to every Parquet file. The events' names happen to sort as
# they must: build_buffer before sample_batch.
_BUILDS = """
    SELECT builds.build_id, builds.run_id, builds.iteration, builds.event, builds.sampler, builds.sampler_kind,
        builds.sampler_order, builds.chunk, builds.policy_sha256, builds.temperature, builds.top_k, builds.top_p,
        builds.drawn, builds.vocabulary_sha256, coalesce(moved.segment, builds.segment) AS segment,
        coalesce(moved.segment_offset, builds.segment_offset) AS segment_offset
    FROM {builds} AS builds LEFT JOIN {runs} AS runs USING (run_id)
    LEFT JOIN {current_placements} AS moved ON moved.build_id = builds.build_id
    WHERE coalesce(moved.segment, builds.segment) NOT IN (SELECT segment FROM {quarantine}) AND [condition]
    ORDER BY runs.created NULLS LAST, builds.run_id, builds.iteration, builds.event, builds.sampler_order, builds.chunk,
        builds.sampler"""

_SAMPLES = """
    SELECT number, samples."row" AS "row", hash(samples.smiles) AS molecule, samples.smiles IS NULL AS unparseable
    FROM {samples} AS samples JOIN numbered USING (build_id)
    WHERE samples.kept OR ($1 AND samples.smiles IS NULL)"""
_MATCHING = ' SEMI JOIN matching ON matching.build_id = samples.build_id AND matching."row" = samples."row"'
_STRINGS = """
    SELECT number, samples."row" AS "row", samples.{column} AS text
    FROM {samples} AS samples JOIN numbered USING (build_id)"""
_REWARDS = """
    SELECT number, rewards."row" AS "row", rewards.value AS value, rewards.created AS created
    FROM {rewards} AS rewards JOIN numbered USING (build_id)
    WHERE rewards.objective_sha256 = $1 AND rewards.status = 'ok'"""


def scan(store: ReadableStore, part: Part, wanted: Filter) -> ScannedRows:
    """The rows of a part that can be trained on.

    Raises:
        PredicateError: ``where`` is no predicate over a row.
        StoreError: the store cannot be read.
    """
    builds = _read_builds(store, part)
    numbered = _number(builds)
    samples_sql, tables = _SAMPLES, {"numbered": numbered}
    if wanted.where is not None:
        samples_sql = samples_sql.replace("WHERE", f"{_MATCHING} WHERE")
        tables["matching"] = store.matching_rows(wanted.where, part.snapshot)
    unparseable = [wanted.include_unparseable]
    samples = store.read_arrow(samples_sql, snapshot=part.snapshot, parameters=unparseable, **tables)
    objective = [wanted.objective_sha256]
    rewards = store.read_arrow(_REWARDS, snapshot=part.snapshot, parameters=objective, numbered=numbered)
    return _join(builds, samples, rewards, own=part.own)


def _read_builds(store: ReadableStore, part: Part) -> pa.Table:
    # Bare comparisons, so that Parquet files of other runs are known by their statistics and not opened.
    conditions: dict[str, str | int | None] = {
        f"builds.run_id {'<>' if part.others else '='} ?": part.run_id,
        "builds.iteration <= ?": part.up_to_iteration,
    }
    given = {condition: value for condition, value in conditions.items() if value is not None}
    sql = _BUILDS.replace("[condition]", " AND ".join(given) or "true")
    return store.read_arrow(sql, snapshot=part.snapshot, parameters=list(given.values()))


def concatenate(parts: Sequence[ScannedRows]) -> ScannedRows:
    """The rows of all parts, one part after another."""
    offsets = np.cumsum([0, *(part.builds.num_rows for part in parts[:-1])]).tolist()
    numbers = [part.build_numbers + np.int32(offset) for part, offset in zip(parts, offsets, strict=True)]
    return ScannedRows(
        builds=pa.concat_tables([part.builds for part in parts]).combine_chunks(),
        build_numbers=np.concatenate(numbers),
        row_numbers=np.concatenate([part.row_numbers for part in parts]),
        rewards=np.concatenate([part.rewards for part in parts]),
        molecules=np.concatenate([part.molecules for part in parts]),
        own=np.concatenate([part.own for part in parts]),
    )


def read_strings(store: ReadableStore, parts: Sequence[Part], rows: ScannedRows, column: str) -> pa.LargeStringArray:
    """A text column of ``samples`` [n] for scanned rows, read again as of the versions they were scanned at."""
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


def _join(builds: pa.Table, samples: pa.Table, rewards: pa.Table, *, own: bool) -> ScannedRows:
    """Puts samples in order and gives each its reward, by identity; those without one are left out."""
    keys = keys_of(samples)
    order = np.argsort(keys, kind="stable")
    values = _rewards_of(keys[order], rewards)
    values[_numpy(samples, "unparseable")[order]] = 0.0
    found = ~np.isnan(values)
    order = order[found]
    return ScannedRows(
        builds=builds,
        build_numbers=_numpy(samples, "number").astype(np.int32)[order],
        row_numbers=_numpy(samples, "row").astype(np.int32)[order],
        rewards=values[found],
        molecules=_numpy(samples, "molecule")[order],
        own=np.full(len(order), own),
    )


def _rewards_of(keys: NDArray[np.int64], rewards: pa.Table) -> NDArray[np.float64]:
    """The newest reward of each key, NaN where there is none."""
    if rewards.num_rows == 0:
        return np.full(len(keys), np.nan)
    of = keys_of(rewards)
    # By key, then age: the last of a key is its newest.
    order = np.lexsort((_numpy(rewards, "created"), of))
    of = of[order]
    last = np.searchsorted(of, keys, side="right") - 1
    values = _numpy(rewards, "value")[order][last]
    return np.where((last >= 0) & (of[last] == keys), values, np.nan)


def keys_of(table: pa.Table) -> NDArray[np.int64]:
    """The identity of each row (number, row) of a table as one number that sorts as rows are ordered."""
    return _key(_numpy(table, "number"), _numpy(table, "row"))


def _key(build_numbers: NDArray[np.integer], row_numbers: NDArray[np.integer]) -> NDArray[np.int64]:
    return (build_numbers.astype(np.int64) << 32) | row_numbers.astype(np.int64)


def _numpy(table: pa.Table, name: str) -> NDArray[Any]:
    return np.asarray(table[name].combine_chunks().to_numpy(zero_copy_only=False))
