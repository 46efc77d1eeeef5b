"""The best molecules, each with the values of the components of its reward, and with its origin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
import pyarrow as pa

from molbuffer.pages.facts.scope import NUMBERED, Scope

_RAW, _TRANSFORMED = "raw_", "transformed_"


@dataclass(frozen=True)
class ComponentValue:
    """The values of a component of the objective for a molecule.

    Attributes:
        component: the name of the component.
        raw: the raw value; None without a good score, or if the molecule is gated.
        transformed: the transformed value, in [0, 1]; None without one.
    """

    component: str
    raw: float | None
    transformed: float | None


@dataclass(frozen=True)
class BestMolecule:
    """A molecule with its reward and its first appearance in the scope.

    Attributes:
        smiles: the canonical SMILES.
        reward: the best reward under the objective.
        components: the values of the components, in the order of the objective.
        times_drawn: the number of kept rows of the molecule.
        run_id: the id of the run that drew it first; the following attributes are of this first row.
        run_name: the name of this run.
        iteration: the iteration, counted from 0.
        event: the event: "build_buffer", "sample_batch" or "evaluation".
        sampler: the name of the sampler.
        policy_sha256: the version of the policy that drew it; None without a policy.
        raw: the string as it was drawn.
        made_of: the molecules that it was made of: the source of a pair, or the parents of a child or mutant; None if
            its sampler names none.
        file: the file that it was read from, with line and identifier; None if it was not read from a file.
        created: the time at which the row was stored, in UTC.
    """

    smiles: str
    reward: float
    components: tuple[ComponentValue, ...]
    times_drawn: int
    run_id: str
    run_name: str
    iteration: int
    event: str
    sampler: str
    policy_sha256: str | None
    raw: str | None
    made_of: Sequence[str] | None
    file: str | None
    created: datetime


def best_molecules(scope: Scope, objective_sha256: str, n: int = 10) -> list[BestMolecule]:
    """Return the n best molecules of a scope under an objective, the best first; equal rewards in alphabetical order.

    Raises:
        UnknownObjectiveError: no run or reward of the store has the objective.
    """
    runs: Sequence[str | None] = [None] if scope.whole else scope.all_ids
    frames = [scope.store.best_molecules(n, run=run, objective_sha256=objective_sha256) for run in runs]
    if not frames:
        return []
    best = (
        pl.concat(frames, how="diagonal_relaxed")
        .sort(["reward", "smiles"], descending=[True, False])
        .unique("smiles", keep="first", maintain_order=True)
        .head(n)
    )
    firsts = {row["smiles"]: row for row in first_rows(scope, best["smiles"].to_list())}
    names = [name.removeprefix(_RAW) for name in best.columns if name.startswith(_RAW)]
    found = []
    for row in best.iter_rows(named=True):
        values = tuple(ComponentValue(name, row[_RAW + name], row[_TRANSFORMED + name]) for name in names)
        found.append(BestMolecule(reward=row["reward"], components=values, **firsts[row["smiles"]]))
    return found


def first_rows(scope: Scope, smiles: Sequence[str]) -> list[dict[str, Any]]:
    """Return the first kept row in a scope of each of some molecules, with the fields of ``BestMolecule``."""
    few = pa.table({"smiles": pa.array(list(smiles), pa.string())})
    return scope.read(_FIRST, few=few).to_dicts()


_FIRST = f"""
WITH {NUMBERED},
drawn AS (
    SELECT samples.smiles, count(*) AS times_drawn,
        arg_min(
            {{'number': numbered.number, 'raw': samples.raw,
                'made_of': CASE WHEN samples.source_smiles IS NOT NULL THEN [samples.source_smiles]
                    ELSE string_split(samples.parents, ' ') END,
                'file': samples.file, 'file_line': samples.file_line, 'file_id': samples.file_id,
                'created': samples.created}},
            numbered.number * 2147483648 + samples."row"
        ) AS first
    FROM {{samples}} AS samples SEMI JOIN few ON few.smiles = samples.smiles
    JOIN numbered ON numbered.build_id = samples.build_id
    WHERE samples.kept GROUP BY samples.smiles
)
SELECT drawn.smiles, drawn.times_drawn, numbered.run_id, runs.name AS run_name, numbered.iteration, numbered.event,
    numbered.sampler, numbered.policy_sha256, drawn.first.raw AS raw, drawn.first.made_of AS made_of,
    CASE WHEN drawn.first.file IS NOT NULL THEN concat_ws(', ', drawn.first.file,
        'line ' || drawn.first.file_line, drawn.first.file_id) END AS file, drawn.first.created AS created
FROM drawn JOIN numbered ON numbered.number = drawn.first.number
JOIN {{runs}} AS runs ON runs.run_id = numbered.run_id
"""
