"""The progress of runs: metrics over iterations, and the best rewards over oracle calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from molbuffer.pages.facts.area import area_under_best
from molbuffer.pages.facts.runs import list_run_facts
from molbuffer.pages.facts.scope import NUMBERED, Scope, bin_sizes

BINS = 200
"""The most points of a curve; more cannot be told apart on a page."""
TOP = 10
REWARDS = {"reward_live": "live", "reward_buffer": "stored"}
"""The metrics with the mean reward of the rows of a batch, and what these rows are."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CallCurve:
    """The rewards of one run over its oracle calls: the different molecules that it asked its objective for.

    Attributes:
        run_id: the id of the run.
        calls: the number of its oracle calls.
        failed: the number of these calls without a reward.
        budget: the number of calls that the area refers to: the budget of the run, or without one its calls.
        auc_top_10: the area under ``top_10`` divided by the budget, as in the benchmark PMO; in [0, 1].
        points: at most 200 rows of ``calls`` (int64), ``best`` and ``top_10`` (float64): the best reward and the mean
            of the ten best up to that call; null before the first reward.
    """

    run_id: str
    calls: int
    failed: int
    budget: int
    auc_top_10: float
    points: pl.DataFrame = field(repr=False)

    @property
    def best(self) -> float | None:
        """The best reward; None without rewards."""
        return None if self.points.is_empty() else self.points["best"][-1]

    @property
    def top_10(self) -> float | None:
        """The mean of the ten best rewards, or of as many as there are; None without rewards."""
        return None if self.points.is_empty() else self.points["top_10"][-1]


def learning_curve(scope: Scope, names: Sequence[str], *, bins: int = BINS) -> pl.DataFrame:
    """Return metrics of the iterations of trainings, such as ``reward_live``, ``reward_buffer`` and ``loss``.

    Returns:
        ``run_id``, ``name``, ``iteration`` (the last of its bin, counted from 0) and ``value``, the mean over a bin of
        iterations. A run has at most ``bins`` bins; with at most ``bins`` iterations, each is a bin.
    """
    wanted_names = pa.table({"name": pa.array(list(names), pa.string())})
    found = scope.read(_METRICS, wanted_names=wanted_names, bin_sizes=bin_sizes(scope, bins))
    return scope.named(found)


def drawn_rewards(scope: Scope, objective_sha256: str, *, bins: int = BINS) -> pl.DataFrame:
    """Return the rewards of drawn rows over iterations.

    Returns:
        ``run_id``, ``event``, ``iteration`` (the last of its bin), ``rows``, ``mean``, and the quantiles ``low`` (10
        %), ``median`` and ``high`` (90 %) of the rewards under the objective.
    """
    found = scope.read(_DRAWN, [objective_sha256], bin_sizes=bin_sizes(scope, bins))
    return scope.named(found)


def rewards_by_calls(scope: Scope, objective_sha256: str) -> list[CallCurve]:
    """Return the curve of each run of a scope with oracle calls of an objective, the oldest run first."""
    budgets = {run.run_id: run.budget for run in list_run_facts(scope)}
    rewards = call_rewards(scope, objective_sha256)
    return [_curve(run_id, values, budgets[run_id]) for run_id, values in rewards.items()]


def call_rewards(scope: Scope, objective_sha256: str) -> dict[str, Floats]:
    """Return the rewards of the oracle calls of each run, by its id, the oldest run first.

    Returns:
        The rewards of a run are float64 [calls], in the order of the calls; NaN is a call without a reward.
    """
    parts = scope.read(_CALLS, [objective_sha256]).partition_by("run", as_dict=True)
    by_number = {int(number): rows["value"].fill_null(np.nan).to_numpy() for (number,), rows in parts.items()}
    return {scope.run_ids[number]: by_number[number] for number in sorted(by_number)}


def _curve(run_id: str, rewards: Floats, budget: int | None) -> CallCurve:
    calls = len(rewards)
    over = max(calls, 1) if budget is None else budget
    ends = np.unique(np.linspace(1, calls, min(BINS, calls)).round().astype(np.int64))
    best, means, top = [], [], np.empty(0)
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        part = rewards[start:end]
        top = np.sort(np.concatenate([top, part[~np.isnan(part)]]))[-TOP:]
        best.append(float(top[-1]) if len(top) else None)
        means.append(float(top.mean()) if len(top) else None)
    points = pl.DataFrame(
        {"calls": ends, "best": pl.Series(best, dtype=pl.Float64), "top_10": pl.Series(means, dtype=pl.Float64)}
    )
    area = area_under_best(rewards.tolist(), over, TOP)
    return CallCurve(
        run_id=run_id, calls=calls, failed=int(np.isnan(rewards).sum()), budget=over, auc_top_10=area, points=points
    )


_METRICS = """
SELECT wanted.number AS run, metrics.name, max(metrics.iteration) AS iteration, avg(metrics.value) AS value
FROM {metrics} AS metrics JOIN wanted ON wanted.run_id = metrics.run_id
JOIN bin_sizes ON bin_sizes.run = wanted.number
SEMI JOIN wanted_names ON wanted_names.name = metrics.name
WHERE metrics.sampler IS NULL AND isfinite(metrics.value)
GROUP BY wanted.number, metrics.name, metrics.iteration // bin_sizes.size
ORDER BY run, metrics.name, iteration
"""

_DRAWN = f"""
WITH {NUMBERED}
SELECT run, event, max(iteration) AS iteration, count(*) AS rows, avg(value) AS mean,
    quantile_cont(value, 0.1) AS low, quantile_cont(value, 0.5) AS median, quantile_cont(value, 0.9) AS high
FROM (
    SELECT numbered.run, numbered.event, numbered.iteration, bin_sizes.size, rewards.value
    FROM {{rewards}} AS rewards JOIN numbered ON numbered.build_id = rewards.build_id
    JOIN bin_sizes ON bin_sizes.run = numbered.run
    WHERE rewards.objective_sha256 = ? AND rewards.status = 'ok'
) GROUP BY run, event, iteration // size
ORDER BY run, event, iteration
"""

_CALLS = f"""
WITH {NUMBERED}
SELECT run, max(value) FILTER (status = 'ok') AS value
FROM (
    SELECT numbered.run, samples.smiles, rewards.value, rewards.status,
        numbered.number * 2147483648 + samples."row" AS place
    FROM {{rewards}} AS rewards JOIN numbered ON numbered.build_id = rewards.build_id
    JOIN {{samples}} AS samples ON samples.build_id = rewards.build_id AND samples."row" = rewards."row"
    WHERE rewards.objective_sha256 = ? AND rewards.status <> 'pending' AND samples.smiles IS NOT NULL
) GROUP BY run, smiles ORDER BY run, min(place)
"""
