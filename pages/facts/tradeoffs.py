"""The trade-offs between the components of an objective, with the Pareto front of each pair of components."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from molbuffer.pages.facts.scope import NUMBERED, Scope

MOST_COMPONENTS = 8
MOST_OF_A_FRONT = 100


@dataclass(frozen=True)
class Tradeoffs:
    """The transformed values of molecules by component; more is better for each.

    Attributes:
        components: the names of the components, at most 8.
        total: the number of molecules with a reward.
        points: a part of these molecules, with all molecules of the fronts: ``smiles``, ``reward``, and for component i
            of the list the transformed value ``t<i>`` and the raw value ``r<i>``.
        fronts: the Pareto fronts of all pairs of components: ``x`` and ``y``, the numbers of the two components, and
            ``smiles``, ``tx`` and ``ty`` of each molecule of the front, ordered by ``tx``.
    """

    components: tuple[str, ...]
    total: int
    points: pl.DataFrame = field(repr=False)
    fronts: pl.DataFrame = field(repr=False)


def tradeoffs(scope: Scope, objective_sha256: str, components: Sequence[str], *, most: int = 1500) -> Tradeoffs | None:
    """Return the trade-offs of an objective; None if fewer than two components have values.

    The fronts are of all molecules with a reward. A third of the points are the best molecules, and the others are a
    sample of the rest.

    Args:
        scope: the runs.
        objective_sha256: the objective.
        components: the names of its components, in order; those after the eighth are left out.
        most: the most points, without those of the fronts.
    """
    places = range(min(len(components), MOST_COMPONENTS))
    columns = ", ".join(
        f"max(transformed_value) FILTER (position = {at}) AS t{at}, max(raw_value) FILTER (position = {at}) AS r{at}"
        for at in places
    )
    found = scope.read(_VALUES.format(columns=columns), [objective_sha256, objective_sha256])
    usable = [at for at in places if found[f"t{at}"].null_count() < len(found)]
    if len(usable) < 2:
        return None
    fronts = [_front_of(found, x, y) for x, y in combinations(usable, 2)]
    on_fronts = pl.concat(fronts)
    best, others = found.head(most // 3), found.slice(most // 3).sort("lot").head(most - most // 3)
    of_fronts = found.join(on_fronts.select("smiles").unique(), on="smiles", how="semi")
    points = pl.concat([best, others, of_fronts]).unique("smiles", keep="first", maintain_order=True).drop("lot")
    renamed = {f"{kind}{at}": f"{kind}{new}" for new, at in enumerate(usable) for kind in "tr"}
    kept = points.select("smiles", "reward", *renamed).rename(renamed)
    numbers = {at: new for new, at in enumerate(usable)}
    return Tradeoffs(
        components=tuple(components[at] for at in usable),
        total=len(found),
        points=kept,
        fronts=on_fronts.with_columns(pl.col("x", "y").replace_strict(numbers, return_dtype=pl.Int64)),
    )


def _front_of(found: pl.DataFrame, x: int, y: int) -> pl.DataFrame:
    both = found.select("smiles", tx=f"t{x}", ty=f"t{y}").drop_nulls()
    at = pareto_front(both["tx"].to_numpy(), both["ty"].to_numpy())[:MOST_OF_A_FRONT]
    chosen: pl.DataFrame = both[at.tolist()]
    return chosen.select(pl.lit(x).cast(pl.Int64).alias("x"), pl.lit(y).cast(pl.Int64).alias("y"), pl.all())


def pareto_front(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the positions of the points that no other point dominates, ordered by rising x.

    A point dominates another if it is at least as good in both coordinates and better in one. Of equal points, the
    first is returned.

    Args:
        x: the first coordinate of each point [n]; more is better.
        y: the second coordinate of each point [n]; more is better.
    """
    order = np.lexsort((np.arange(len(x)), -y, -x))
    highest = np.maximum.accumulate(np.concatenate([[-np.inf], y[order]]))[:-1]
    return order[y[order] > highest][::-1].astype(np.int64)


_VALUES = f"""
WITH {NUMBERED},
drawn AS (
    SELECT DISTINCT samples.smiles
    FROM {{{{rewards}}}} AS rewards JOIN numbered ON numbered.build_id = rewards.build_id
    JOIN {{{{samples}}}} AS samples ON samples.build_id = rewards.build_id AND samples."row" = rewards."row"
    WHERE rewards.objective_sha256 = ? AND rewards.status = 'ok'
),
long AS (
    SELECT * FROM {{{{molecule_scores}}}} AS molecule_scores
    WHERE molecule_scores.objective_sha256 = ? AND molecule_scores.reward_status = 'ok'
)
SELECT long.smiles, any_value(long.reward) AS reward, {{columns}}, hash(long.smiles) AS lot
FROM long SEMI JOIN drawn ON drawn.smiles = long.smiles
GROUP BY long.smiles ORDER BY reward DESC, long.smiles
""".replace("{builds}", "{{builds}}").replace("{runs}", "{{runs}}")
