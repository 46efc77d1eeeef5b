"""Pending rewards, of rows that were committed before all of their scores were known.

A reward is pending while the table ``rewards`` has a row with the status pending and no later row with another status
for the same row and objective. A reward is completed by such a later row (``SampleStore.add_rewards_of_builds``); the
pending row is never changed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from molbuffer.storage.catalog import ReadableCatalog


@dataclass(frozen=True)
class PendingRow:
    """A row whose reward under an objective is pending.

    Attributes:
        build_id: the build of the row.
        row: the number of the row in the build.
        run_id: the run that drew the row.
        objective_sha256: the hash of the objective, or of the objective of pairs.
        smiles: the canonical SMILES of the molecule, or of the target of a pair.
        source_smiles: the source of a pair; None for a row that is no pair.
    """

    build_id: str
    row: int
    run_id: str
    objective_sha256: str
    smiles: str
    source_smiles: str | None = None

    @property
    def molecules(self) -> tuple[str, ...]:
        """The molecules of the row: one, or target and source of a pair."""
        return (self.smiles,) if self.source_smiles is None else (self.smiles, self.source_smiles)


@dataclass(frozen=True)
class PendingCount:
    """The numbers of rewards of a run under an objective that are or were pending.

    Attributes:
        run_id: the run that drew the rows.
        objective_sha256: the hash of the objective.
        rows: the number of pending rewards.
        since: the time since which the oldest of them is pending, in UTC; None if none is pending.
        completed: the number of formerly pending rewards that are good.
        failed: the number of formerly pending rewards that are missing, since a score failed or was lost.
        mean_reward: the mean of the completed rewards; None without any.
    """

    run_id: str
    objective_sha256: str
    rows: int
    since: datetime | None
    completed: int
    failed: int
    mean_reward: float | None = None


# A completed reward has a later time than the pending one (``scores.add_rewards``), so that files from before the first
# pending reward need not be read.
_FIRST = "SELECT min(created) AS first FROM {rewards} WHERE status = 'pending' AND [which]"
_WAITING = """
    WITH begun AS (
        SELECT build_id, "row", objective_sha256, any_value(run_id) AS run_id, min(created) AS created
        FROM {rewards} WHERE status = 'pending' AND [which] GROUP BY ALL
    ),
    settled AS (
        SELECT build_id, "row", objective_sha256, bool_or(status = 'ok') AS good, max(value) AS reward
        FROM {rewards} SEMI JOIN begun USING (build_id) WHERE status <> 'pending' AND created >= ? GROUP BY ALL
    ),
    waiting AS (
        SELECT begun.*, settled.good, settled.reward
        FROM begun LEFT JOIN settled USING (build_id, "row", objective_sha256)
    )"""
_COUNTS = """
    SELECT run_id, objective_sha256, count(*) FILTER (good IS NULL) AS "rows",
        min(created) FILTER (good IS NULL) AS since, count(*) FILTER (good) AS completed,
        count(*) FILTER (NOT good) AS failed, avg(reward) AS mean_reward
    FROM waiting GROUP BY run_id, objective_sha256 ORDER BY since NULLS LAST, run_id, objective_sha256"""
# Runs take turns, so that no run waits for the many rows of another run.
_ROWS = """
    SELECT samples.build_id, samples."row", open.run_id, open.objective_sha256, samples.smiles, samples.source_smiles
    FROM {samples} AS samples JOIN (FROM waiting WHERE good IS NULL) AS open USING (build_id, "row")
    WHERE samples.smiles NOT IN (SELECT smiles FROM put_off)
        AND coalesce(samples.source_smiles NOT IN (SELECT smiles FROM put_off), true)
    ORDER BY row_number() OVER (PARTITION BY open.run_id ORDER BY open.created, samples.build_id, samples."row"),
        open.run_id LIMIT ?"""


def count_pending(
    catalog: ReadableCatalog, run_id: str | None = None, objectives: Collection[str] | None = None
) -> list[PendingCount]:
    """Return the numbers of pending and formerly pending rewards, those that have waited longest first.

    Args:
        catalog: the catalog of the store.
        run_id: the run that drew the rows; None means every run.
        objectives: the sha256 of the objectives; None means every objective.
    """
    found = _read(catalog, _COUNTS, run_id, objectives, [])
    return [PendingCount(**row) for row in found]


def pending_rows(
    catalog: ReadableCatalog,
    run_id: str | None = None,
    objectives: Collection[str] | None = None,
    *,
    most: int,
    put_off: Sequence[str] = (),
) -> list[PendingRow]:
    """Return rows with a pending reward, the oldest first, with the runs that drew them taking turns.

    Args:
        catalog: the catalog of the store.
        run_id: the run that drew the rows; None means every run.
        objectives: the sha256 of the objectives; None means every objective.
        most: the largest number of rows.
        put_off: molecules whose rows are left out.
    """
    molecules = pa.table({"smiles": pa.array(put_off, pa.string())})
    return [PendingRow(**row) for row in _read(catalog, _ROWS, run_id, objectives, [most], put_off=molecules)]


def _read(
    catalog: ReadableCatalog,
    sql: str,
    run_id: str | None,
    objectives: Collection[str] | None,
    parameters: Sequence[Any],
    **tables: pa.Table,
) -> list[dict[str, Any]]:
    which, given = "true", list[Any]()
    if run_id is not None:
        which, given = f"{which} AND run_id = ?", [*given, run_id]
    if objectives is not None:
        which, given = f"{which} AND list_contains(?, objective_sha256)", [*given, list(objectives)]
    first = catalog.read(_FIRST.replace("[which]", which), parameters=given)["first"][0].as_py()
    if first is None:
        return []
    waiting = _WAITING.replace("[which]", which)
    found = catalog.read(waiting + sql, parameters=[*given, first, *parameters], **tables)
    return list(found.to_pylist())
