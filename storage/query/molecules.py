"""The molecules of a store, one row for each molecule and objective of a reward, with the values of its components.

A component has two columns, ``raw_NAME`` and ``transformed_NAME``, as in the result of ``molbuffer score``; they are
null for objectives without the component. The view ``molecule_scores`` has the same values with one row for each
component.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from molbuffer.storage.backends import quote
from molbuffer.storage.catalog import molecule_scores
from molbuffer.storage.errors import UnknownObjectiveError, UnknownRunError
from molbuffer.storage.handle import OpenStore
from molbuffer.storage.query.frame import frame

if TYPE_CHECKING:
    import polars as pl

_LEADING: Mapping[str, str] = {
    "smiles": "canonical SMILES of the molecule",
    "reward": "the best reward of the molecule under the objective",
}
_FOLLOWING: Mapping[str, str] = {
    "run_name": "the name of the run that drew the molecule with that reward",
    "sampler": "the sampler that drew the molecule with that reward",
    "iteration": "the first iteration in which the molecule was drawn",
    "objective_sha256": "the objective of the reward",
}
_FROM: Mapping[str, str] = {
    **{name: f"best.{name}" for name in ("smiles", "reward", "iteration")},
    **{name: f"numbered.{name}" for name in ("run_name", "sampler")},
    "objective_sha256": "named.objective_sha256",
}
"""The SQL of each of these columns in ``_SHOWN``."""
_VALUES: Mapping[str, str] = {
    "raw": "the raw value of {name}",
    "transformed": "the transformed value of {name} in [0, 1]",
}
_KEY = ("smiles", "objective_sha256")

_OWN = "rewards.objective_sha256 = builds.rewarded_by"
# Texts that many rows share are replaced by numbers until the end: the states of an aggregation and sorted rows repeat
# the whole text, and DuckDB does not spill the states of an aggregation to disk.
_BEST = """numbered AS MATERIALIZED (
        SELECT builds.build_id, builds.run_id, builds.sampler, builds.iteration, runs.name AS run_name,
            coalesce(builds.objective_sha256, runs.objective_sha256) AS rewarded_by, row_number() OVER () AS number
        FROM {builds} AS builds LEFT JOIN {runs} AS runs ON runs.run_id = builds.run_id
    ),
    named AS MATERIALIZED (
        SELECT objective_sha256, row_number() OVER () AS objective
        FROM (SELECT DISTINCT objective_sha256 FROM {rewards})
    ),
    found AS (
        SELECT named.objective, samples.smiles, max(rewards.value) AS reward,
            arg_max(builds.number, rewards.value) AS number, min(builds.iteration) AS iteration,
            max(rewards.created) AS created
        FROM {rewards} AS rewards
        JOIN named ON named.objective_sha256 = rewards.objective_sha256
        JOIN {samples} AS samples ON samples.build_id = rewards.build_id AND samples."row" = rewards."row"
        JOIN numbered AS builds ON builds.build_id = rewards.build_id
        [join]
        WHERE samples.kept AND rewards.status = 'ok' AND [conditions]
        GROUP BY named.objective, samples.smiles
    ),
    best AS MATERIALIZED (
        SELECT *, max(created) OVER of_objective AS used, row_number() OVER () AS molecule,
            row_number() OVER (of_objective ORDER BY reward DESC, smiles) AS place
        FROM found WINDOW of_objective AS (PARTITION BY objective)
    )"""
_SHOWN = "best JOIN numbered ON numbered.number = best.number JOIN named ON named.objective = best.objective"
_MATCHING = 'SEMI JOIN matching ON matching.build_id = rewards.build_id AND matching."row" = rewards."row"'
_ORDER = "ORDER BY best.used DESC, named.objective_sha256, best.place"
_NAMES = """SELECT component FROM {objective_components} AS components
    WHERE objective_sha256 IN (SELECT DISTINCT objective_sha256 FROM {rewards})
    GROUP BY component ORDER BY min(position), component"""


_OF_RUNS = """builds.run_id IN (
    WITH named AS (SELECT run_id FROM {runs} WHERE name = ? OR starts_with(run_id, ?))
    FROM named UNION SELECT run_id FROM {runs} WHERE kind = 'build' AND parent_run_id IN (FROM named))"""
_RUNS_NAMED = "SELECT run_id FROM {runs} WHERE name = ? OR starts_with(run_id, ?) LIMIT 1"
_OBJECTIVES = """SELECT 1 FROM {runs} WHERE objective_sha256 = ?
    UNION ALL SELECT 1 FROM {rewards} WHERE objective_sha256 = ? LIMIT 1"""


def best_molecules(
    store: OpenStore, n: int, *, run: str | None = None, objective_sha256: str | None = None
) -> pl.DataFrame:
    """Return the n best molecules of each objective; the objective that was used last comes first.

    Args:
        store: the store.
        n: the number of molecules of each objective.
        run: the name of runs, or the beginning of a run_id; only molecules of these runs and of their actors are
            returned. None means all runs.
        objective_sha256: the only objective, also for molecules of runs with another objective; None means the
            objectives of the runs.

    Raises:
        UnknownRunError: no run of the store has the name, or an id with this beginning.
        UnknownObjectiveError: no run or reward of the store has the objective.
    """
    _refuse_unknown(store, run, objective_sha256)
    conditions, given = [_OWN], list[str]()
    if objective_sha256 is not None:
        conditions, given = ["rewards.objective_sha256 = ?"], [objective_sha256]
    if run is not None:
        conditions.append(_OF_RUNS)
        given += [run, run]
    columns, snapshot = ", ".join(_FROM[name] for name in (*_LEADING, *_FOLLOWING)), store.snapshot()
    sql = f"WITH {_BEST} SELECT {columns} FROM {_SHOWN} WHERE best.place <= {int(n)} {_ORDER}"
    sql = sql.replace("[join]", "").replace("[conditions]", " AND ".join(conditions))
    best = store.read_arrow(sql, snapshot=snapshot, parameters=given)
    rewarded = best.select([*_KEY, "reward"]).append_column("reward_status", pa.array(["ok"] * len(best), pa.string()))
    long = store.read_arrow(f"WITH {molecule_scores('rewarded', few=True)}", snapshot=snapshot, rewarded=rewarded)
    return frame(_widened(best, long))


def _refuse_unknown(store: OpenStore, run: str | None, objective_sha256: str | None) -> None:
    """Refuse the name of an unknown run or objective, since an empty result would mean that there are no molecules."""
    if run is not None and not len(store.read_arrow(_RUNS_NAMED, parameters=[run, run])):
        newest = store.read_arrow("SELECT run_id, name FROM {runs} ORDER BY created DESC LIMIT 5").to_pylist()
        known = ", ".join(f"{row['name']} ({row['run_id'][:8]})" for row in newest) or "none"
        raise UnknownRunError(
            f"no run in {store.path} has the name, or an id that starts with, {run!r}; newest: {known}"
        )
    if objective_sha256 is not None and not len(store.read_arrow(_OBJECTIVES, parameters=[objective_sha256] * 2)):
        raise UnknownObjectiveError(f"no run or reward in {store.path} has the objective {objective_sha256!r}")


def _widened(best: pa.Table, long: pa.Table) -> pa.Table:
    """Return molecules with the columns of their components, in the order of the objectives and their components."""
    places = {key: at for at, key in enumerate(zip(*(best[name].to_pylist() for name in _KEY), strict=True))}
    found: list[tuple[int, dict[str, Any]]] = [
        (places[row["smiles"], row["objective_sha256"]], row) for row in long.to_pylist()
    ]
    columns: dict[str, list[float | None]] = {}
    for place, row in sorted(found, key=lambda each: (each[0], each[1]["position"])):
        for kind in _VALUES:
            column = columns.setdefault(f"{kind}_{row['component']}", [None] * len(best))
            column[place] = row[f"{kind}_value"]
    values = {name: pa.array(column, pa.float64()) for name, column in columns.items()}
    return pa.table({name: best[name] for name in _LEADING} | values | {name: best[name] for name in _FOLLOWING})


def component_names(store: OpenStore, snapshot: int) -> list[str]:
    """Return the names of the components of all objectives with rewards, in the order of their positions."""
    names: list[str] = store.read_arrow(_NAMES, snapshot=snapshot)["component"].to_pylist()
    return names


def all_molecules_sql(components: Sequence[str], where: str) -> str:
    """Return the SELECT of all molecules that fulfil a condition, in the order of ``best_molecules``.

    The columns of components have numbers in their names, since names of components may differ only in case;
    ``molecule_columns`` returns the names.

    Args:
        components: the names of the components.
        where: a predicate over ``sample_history`` that at least one sample of each molecule must fulfil.
    """
    numbered = [(kind, at, f"{kind}_{at}") for at, kind in product(range(len(components)), _VALUES)]
    values = "".join(
        f", max({kind}_value) FILTER (component = {quote(components[at])}) AS {column}" for kind, at, column in numbered
    )
    columns = [*(_FROM[name] for name in _LEADING), *(column for *_, column in numbered)]
    columns += [_FROM[name] for name in _FOLLOWING]
    best = _BEST.replace("[join]", _MATCHING).replace("[conditions]", _OWN)
    return f"""WITH matching AS (SELECT build_id, "row" FROM (SELECT * FROM {{sample_history}} WHERE ({where}\n))),
        {best},
        rewarded AS (
            SELECT molecule, smiles, objective_sha256, reward, 'ok' AS reward_status
            FROM best JOIN named ON named.objective = best.objective
        ),
        long AS (WITH {molecule_scores("rewarded", few=False, key="molecule")}),
        wide AS (SELECT molecule{values} FROM long GROUP BY molecule)
        SELECT {", ".join(columns)} FROM {_SHOWN} LEFT JOIN wide ON wide.molecule = best.molecule {_ORDER}"""


def molecule_columns(components: Sequence[str]) -> dict[str, str]:
    """Return the descriptions of the columns of ``all_molecules_sql``, by name."""
    values = {
        f"{kind}_{name}": meaning.format(name=name) for name, (kind, meaning) in product(components, _VALUES.items())
    }
    return {**_LEADING, **values, **_FOLLOWING}
