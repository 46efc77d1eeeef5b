"""The runs of a store, with their status and what they have drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from molbuffer.storage import SampleStore, shown_event

if TYPE_CHECKING:
    import polars

_RUNS = """
SELECT r.run_id, r.name, r.kind, e.status, coalesce(s.samples, 0) AS samples, coalesce(s.kept, 0) AS kept,
       c.oracle_calls, s.mean_reward, s.iterations, r.seed, r.created AS started, e.changed, e.detail
FROM runs AS r
LEFT JOIN (
    SELECT run_id, max(created) AS changed, unnest(arg_max({'status': status, 'detail': detail}, created))
    FROM run_events WHERE status <> 'given' GROUP BY run_id
) AS e ON e.run_id = r.run_id
LEFT JOIN (
    SELECT run_id, sum(drawn)::BIGINT AS samples, sum(kept)::BIGINT AS kept,
           sum(mean_reward * kept) / sum(kept) FILTER (mean_reward IS NOT NULL) AS mean_reward,
           max(iteration) + 1 AS iterations
    FROM builds GROUP BY run_id
) AS s ON s.run_id = r.run_id
LEFT JOIN (
    SELECT run_id, max(value)::BIGINT AS oracle_calls FROM metrics WHERE name = 'oracle_calls' GROUP BY run_id
) AS c ON c.run_id = r.run_id
ORDER BY r.created DESC, r.run_id
"""


def list_runs(store: SampleStore, timeout_seconds: float = 300.0) -> polars.DataFrame:
    """Return a row for each run, the newest first; one whose process is gone without a word is ``lost``."""
    import polars

    found = store.query(_RUNS, timeout_seconds=timeout_seconds)
    shown = [shown_event(*event) for event in found.select("status", "detail").rows()]
    return found.with_columns(
        polars.Series("status", [status for status, _ in shown], polars.String),
        polars.Series("detail", [detail for _, detail in shown], polars.String),
    )
