"""Pages of the molecules that pass a filter, which SQL counts, orders and cuts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
import pyarrow as pa

from molbuffer.pages.explorer.filters import MoleculeFilter, Order
from molbuffer.pages.facts import Scope
from molbuffer.storage import check_predicate

PAGE = 24
SECONDS = 60.0


@dataclass(frozen=True)
class FoundMolecule:
    """A molecule of a page.

    Attributes:
        smiles: the canonical SMILES.
        reward: the best reward; None without a reward.
        iteration: the iteration in which it was first drawn.
        run_name: the name of the run of its row with the best reward.
        sampler: the sampler of its row with the best reward.
        times_drawn: the number of rows of the molecule.
        created: the time at which the first of these rows was stored, in UTC.
    """

    smiles: str
    reward: float | None
    iteration: int
    run_name: str
    sampler: str
    times_drawn: int
    created: datetime


@dataclass(frozen=True)
class MoleculePage:
    """A page of the molecules that pass a filter.

    Attributes:
        total: the number of molecules that pass the filter.
        first: the place of the first molecule of the page among these, from 0.
        molecules: the molecules of the page, in order.
    """

    total: int
    first: int
    molecules: Sequence[FoundMolecule]


def find_molecules(scope: Scope, wanted: MoleculeFilter, *, page: int = 0, size: int = PAGE) -> MoleculePage:
    """Return a page of the molecules that pass a filter, each once.

    The condition of a reader is checked, and applied by the query engine of the store, which can only read.

    Args:
        scope: the runs.
        wanted: the filter.
        page: the number of the page, from 0; a page beyond the last one is empty.
        size: the number of molecules of a page.

    Raises:
        PredicateError: the condition is not a predicate.
        QueryError: the condition cannot be applied, such as for an unknown column, or takes too long.
    """
    sql, parameters = _statement(scope, wanted)
    rows = _read(scope, f"{sql} LIMIT {int(size)} OFFSET {int(page) * int(size)}", parameters, wanted.where)
    total = int(rows["total"][0]) if len(rows) else 0
    molecules = [FoundMolecule(**row) for row in rows.drop("total").to_dicts()]
    return MoleculePage(total, page * size, molecules)


def _read(scope: Scope, sql: str, parameters: Sequence[Any], where: str) -> pl.DataFrame:
    if not where.strip():
        found: pl.DataFrame = scope.read(sql.replace("[condition]", "true"), parameters)
        return found
    bare = sql.replace("{", "").replace("}", "").replace("[condition]", check_predicate(where.strip()))
    return scope.store.query(bare, list(parameters), snapshot=scope.snapshot, timeout_seconds=SECONDS)


def _statement(scope: Scope, wanted: MoleculeFilter) -> tuple[str, list[Any]]:
    """Return the SELECT statement of a filter without a limit, and the values of its parameters."""
    conditions, having, parameters = ["kept"], list[str](), list[Any]()
    if not scope.whole:
        conditions.append(f"run_id IN ({', '.join('?' * len(scope.all_ids)) or 'NULL'})")
        parameters += scope.all_ids
    if wanted.objective_sha256 is not None:
        conditions.append("reward_status = 'ok' AND objective_sha256 = ?")
        parameters.append(wanted.objective_sha256)
        for component, interval in wanted.components.items():
            conditions.append(_OF_COMPONENT)
            parameters += [wanted.objective_sha256, component, interval.low, interval.high]
    for column, between in (("max(reward)", wanted.reward), ("min(iteration)", wanted.iteration)):
        if between is not None:
            having.append(f"{column} BETWEEN ? AND ?")
            parameters += [between.low, between.high]
    order = _ORDERS[wanted.order if wanted.objective_sha256 is not None or wanted.order != Order.BEST else Order.NEWEST]
    sql = _FOUND.format(conditions=" AND ".join(conditions), having=" AND ".join(having) or "true", order=order)
    return sql, parameters


def found_of(scope: Scope, objective_sha256: str, smiles: Sequence[str]) -> list[FoundMolecule]:
    """Return the molecules among some SMILES that have a reward under an objective, in no particular order."""
    sql, parameters = _statement(scope, MoleculeFilter(objective_sha256))
    few = pa.table({"smiles": pa.array(list(smiles), pa.string())})
    sql = sql.replace("[condition]", "smiles IN (SELECT few.smiles FROM few)")
    return [FoundMolecule(**row) for row in scope.read(sql, parameters, few=few).drop("total").to_dicts()]


def molecule_values(scope: Scope, objective_sha256: str, smiles: str) -> pl.DataFrame:
    """Return the values of the components of an objective for a molecule, in the order of the objective.

    Returns:
        ``component``, ``raw_value``, ``transformed_value`` and ``status``; no rows for a molecule without a reward
        under the objective.
    """
    found: pl.DataFrame = scope.read(_VALUES, [objective_sha256, smiles])
    return found


_OF_COMPONENT = """smiles IN (
        SELECT smiles FROM {molecule_scores}
        WHERE objective_sha256 = ? AND component = ? AND transformed_value BETWEEN ? AND ?
    )"""

_ORDERS = {
    Order.BEST: "reward DESC, smiles",
    # All rows of a commit have the same time: within a commit, the order is that of the rows.
    Order.NEWEST: "min(row(history.created, history.iteration, history.event, history.sampler_order, history.chunk, "
    'history."row")) DESC, smiles',
    Order.OFTEN: "times_drawn DESC, smiles",
}

_FOUND = """
SELECT smiles, max(reward) AS reward, min(iteration) AS iteration,
    coalesce(arg_max(run_name, reward), any_value(run_name)) AS run_name,
    coalesce(arg_max(sampler, reward), any_value(sampler)) AS sampler, count(*) AS times_drawn,
    min(created) AS created, count(*) OVER () AS total
FROM (SELECT * FROM {{sample_history}} WHERE ([condition]
)) AS history
WHERE {conditions} AND smiles IS NOT NULL
GROUP BY smiles HAVING {having} ORDER BY {order}
"""

_VALUES = """
SELECT component, raw_value, transformed_value, status FROM {molecule_scores}
WHERE objective_sha256 = ? AND smiles = ? ORDER BY position, component
"""
