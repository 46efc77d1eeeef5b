"""The scope of a page: some runs of a store at one snapshot, with the SQL reader of all facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import pyarrow as pa

from molbuffer.storage import SampleStore, UnknownRunError

SHORT_ID = 8
"""The number of characters of an id that pages show."""

NUMBERED = """numbered AS MATERIALIZED (
        SELECT builds.*, wanted.number AS run,
            coalesce(builds.objective_sha256, runs.objective_sha256) AS rewarded_by,
            row_number() OVER (
                ORDER BY wanted.number, builds.iteration, builds.event, builds.sampler_order, builds.chunk,
                    builds.build_id
            ) AS number
        FROM {builds} AS builds JOIN wanted ON wanted.run_id = builds.run_id
        JOIN {runs} AS runs ON runs.run_id = builds.run_id
    )"""
"""A common table expression of SQL for ``Scope.read``: the builds of the scope, numbered in the order of their rows."""

OWN_REWARDS = """own_rewards AS (
        SELECT numbered.number, rewards."row", max(rewards.value) FILTER (rewards.status = 'ok') AS value,
            CASE WHEN bool_or(rewards.status = 'ok') THEN 'ok' ELSE arg_max(rewards.status, rewards.created) END
            AS status
        FROM {rewards} AS rewards JOIN numbered
            ON numbered.build_id = rewards.build_id AND numbered.rewarded_by = rewards.objective_sha256
        GROUP BY numbered.number, rewards."row"
    )"""
"""A common table expression after ``NUMBERED``: the reward of each row under the objective of its own build."""


@dataclass(frozen=True)
class Scope:
    """Some runs of a store at one snapshot. ``scope_of`` makes a scope.

    Attributes:
        store: the store at the snapshot, for reading.
        snapshot: the number of the snapshot.
        run_ids: the ids of the runs, the oldest first.
        whole: whether these are all runs of the store.
        actors: the id of the training of each actor, by the id of the actor; rows of the actor count as rows of the
            training.
    """

    store: SampleStore
    snapshot: int
    run_ids: tuple[str, ...]
    whole: bool
    actors: Mapping[str, str] = field(default_factory=dict)

    @property
    def all_ids(self) -> tuple[str, ...]:
        """The ids of the runs and of their actors."""
        return (*self.run_ids, *self.actors)

    def read(self, sql: str, parameters: Sequence[Any] | None = None, **tables: pa.Table) -> pl.DataFrame:
        """Return the result of trusted SQL as a frame.

        Args:
            sql: the SQL, as for ``SampleStore.read_arrow``. It may use the table ``wanted`` (run_id, number, acts),
                which has the runs of the scope, numbered from 0 in their order, and their actors, each with the number
                of its training.
            parameters: the value of each ``?`` in the SQL.
            tables: further Arrow tables that the SQL names.
        """
        numbers = {run_id: number for number, run_id in enumerate(self.run_ids)}
        of_actors = [numbers[training] for training in self.actors.values()]
        wanted = pa.table(
            {
                "run_id": pa.array(self.all_ids, pa.string()),
                "number": pa.array([*numbers.values(), *of_actors], pa.int64()),
                "acts": pa.array([False] * len(numbers) + [True] * len(of_actors), pa.bool_()),
            }
        )
        found = pl.from_arrow(self.store.read_arrow(sql, parameters=parameters, wanted=wanted, **tables))
        assert isinstance(found, pl.DataFrame)
        return found

    def named(self, found: pl.DataFrame) -> pl.DataFrame:
        """Replace the column ``run`` of a frame, numbers of ``wanted``, by a first column ``run_id``."""
        ids = pl.Series("run_id", [self.run_ids[number] for number in found["run"].to_list()], pl.String)
        return found.drop("run").insert_column(0, ids)


def scope_of(
    store: SampleStore, runs: Sequence[str] = (), *, snapshot: int | None = None, actors_apart: bool = False
) -> Scope:
    """Return the scope of some runs.

    Args:
        store: the store, which must stay open while the scope is used.
        runs: the runs, each by its name or the start of its id; a name of several runs selects all of them. Empty
            selects all runs of the store.
        snapshot: the snapshot to read; None is the newest.
        actors_apart: treat actors as separate runs; false counts them as parts of their training if the scope has it.

    Raises:
        UnknownRunError: the store has no run with a name, or with an id that starts with it.
        UnknownSnapshotError: the store has no such snapshot.
    """
    number = store.snapshot() if snapshot is None else snapshot
    pinned = store.at(number)
    known = pinned.read_arrow(_KNOWN).to_pylist()
    chosen = set() if runs else {row["run_id"] for row in known}
    for run in runs:
        found = {row["run_id"] for row in known if row["name"] == run or row["run_id"].startswith(run)}
        if not found:
            newest = ", ".join(f"{row['name']} ({row['run_id'][:SHORT_ID]})" for row in known[:-6:-1]) or "none"
            raise UnknownRunError(
                f"no run in {store.path} has the name, or an id that starts with, {run!r}; newest: {newest}"
            )
        chosen |= found
    actors = {row["run_id"]: row["training"] for row in known if not actors_apart and row["training"] in chosen}
    run_ids = tuple(row["run_id"] for row in known if row["run_id"] in chosen - actors.keys())
    return Scope(pinned, number, run_ids, len(run_ids) + len(actors) == len(known), actors)


_KNOWN = """
SELECT run_id, name, CASE kind WHEN 'build' THEN parent_run_id END AS training
FROM {runs} AS runs ORDER BY created, run_id
"""


def bin_sizes(scope: Scope, bins: int) -> pa.Table:
    """Return the number of iterations in a bin of each run: columns ``run`` (a number of ``wanted``) and ``size``.

    Args:
        scope: the runs.
        bins: the most bins of a run; a run with at most ``bins`` iterations has bins of one iteration.
    """
    last = scope.read(_LAST)
    sizes = [max(1, -(-(iteration + 1) // bins)) for iteration in last["last"].to_list()]
    return pa.table({"run": last["run"].to_arrow(), "size": pa.array(sizes, pa.int64())})


_LAST = """
SELECT wanted.number AS run, max(greatest(
        coalesce((SELECT max(iteration) FROM {builds} AS builds WHERE builds.run_id = wanted.run_id), 0),
        coalesce((SELECT max(iteration) FROM {metrics} AS metrics WHERE metrics.run_id = wanted.run_id), 0)
    ))::BIGINT AS last
FROM wanted GROUP BY wanted.number ORDER BY run
"""
