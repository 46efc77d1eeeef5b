"""The samplers of a scope: their totals, their metrics over iterations, and their shares of batches."""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from molbuffer.pages.facts.learning import BINS
from molbuffer.pages.facts.scope import Scope, bin_sizes

METRICS = ("diversity", "valid", "rewards", "new")
"""The metrics of samplers that charts show; every sampler has them for builds of the buffer and for live draws."""


def sampler_totals(scope: Scope, *, since_iteration: int = 0) -> pl.DataFrame:
    """Return a row for each sampler and event of each run, in the order of the configuration.

    Returns:
        ``run_id``, ``sampler``, ``sampler_kind``, ``event``, ``builds``, ``drawn``, ``parseable``, ``kept``, the means
        over builds of ``diversity``, ``valid``, ``rewards`` and ``new`` (null if no build has the metric), and the
        totals of ``shortfall`` (missing kept rows) and ``seconds`` (from the first draw to the last score).

    Args:
        scope: the runs.
        since_iteration: the first iteration that counts, such as that of the newest build.
    """
    return scope.named(scope.read(_TOTALS, [since_iteration]))


def samplers_over_time(scope: Scope, *, bins: int = BINS) -> pl.DataFrame:
    """Return the metrics of samplers over iterations.

    Returns:
        ``run_id``, ``sampler``, ``event``, ``name`` (of ``METRICS``), ``iteration`` (the last of its bin) and
        ``value``, the mean over the builds of a bin. A run has at most ``bins`` bins.
    """
    names = pa.table({"name": pa.array(METRICS, pa.string())})
    return scope.named(scope.read(_OVER_TIME, wanted_names=names, bin_sizes=bin_sizes(scope, bins)))


def batch_shares(scope: Scope, *, bins: int = BINS) -> pl.DataFrame:
    """Return the realised shares of the training batches over iterations.

    Returns:
        ``run_id``, ``source`` (the name of a sampler that drew live, or "buffer"), ``iteration`` (the last of its bin)
        and ``share``, the mean over a bin of iterations.
    """
    return scope.named(scope.read(_SHARES, bin_sizes=bin_sizes(scope, bins)))


_TOTALS = """
WITH per_metric AS (
    SELECT run_id, sampler, event, avg(value) FILTER (name = 'diversity') AS diversity,
        avg(value) FILTER (name = 'valid') AS valid, avg(value) FILTER (name = 'rewards') AS rewards,
        avg(value) FILTER (name = 'new') AS new, sum(value) FILTER (name = 'shortfall') AS shortfall,
        sum(value) FILTER (name = 'seconds') AS seconds
    FROM {metrics} AS metrics WHERE sampler IS NOT NULL AND iteration >= $1 AND isfinite(value)
    GROUP BY run_id, sampler, event
)
SELECT wanted.number AS run, builds.sampler, any_value(builds.sampler_kind) AS sampler_kind, builds.event,
    count(*) AS builds, sum(builds.drawn)::BIGINT AS drawn, sum(builds.parseable)::BIGINT AS parseable,
    sum(builds.kept)::BIGINT AS kept, any_value(per_metric.diversity) AS diversity,
    any_value(per_metric.valid) AS valid, any_value(per_metric.rewards) AS rewards, any_value(per_metric.new) AS new,
    any_value(per_metric.shortfall)::BIGINT AS shortfall, any_value(per_metric.seconds) AS seconds
FROM {builds} AS builds JOIN wanted ON wanted.run_id = builds.run_id
LEFT JOIN per_metric ON per_metric.run_id = builds.run_id AND per_metric.sampler = builds.sampler
    AND per_metric.event = builds.event
WHERE builds.iteration >= $1
GROUP BY wanted.number, builds.sampler, builds.event
ORDER BY run, min(builds.sampler_order), builds.sampler, builds.event
"""

_OVER_TIME = """
SELECT wanted.number AS run, metrics.sampler, metrics.event, metrics.name, max(metrics.iteration) AS iteration,
    avg(metrics.value) AS value
FROM {metrics} AS metrics JOIN wanted ON wanted.run_id = metrics.run_id
JOIN bin_sizes ON bin_sizes.run = wanted.number
SEMI JOIN wanted_names ON wanted_names.name = metrics.name
WHERE metrics.sampler IS NOT NULL AND isfinite(metrics.value)
GROUP BY wanted.number, metrics.sampler, metrics.event, metrics.name, metrics.iteration // bin_sizes.size
ORDER BY run, metrics.sampler, metrics.event, metrics.name, iteration
"""

_SHARES = """
SELECT wanted.number AS run, substr(metrics.name, 7) AS source, max(metrics.iteration) AS iteration,
    avg(metrics.value) AS share
FROM {metrics} AS metrics JOIN wanted ON wanted.run_id = metrics.run_id
JOIN bin_sizes ON bin_sizes.run = wanted.number
WHERE metrics.sampler IS NULL AND starts_with(metrics.name, 'share_') AND isfinite(metrics.value)
GROUP BY wanted.number, metrics.name, metrics.iteration // bin_sizes.size
ORDER BY run, source, iteration
"""
