"""The runs of a store as a table, with their status and numbers of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from molbuffer.pages import list_run_facts, scope_of

if TYPE_CHECKING:
    import polars

    from molbuffer.storage import SampleStore


def list_runs(store: SampleStore) -> polars.DataFrame:
    """Return a table with a row for each run, the newest first; a run whose process is gone has the status ``lost``."""
    import polars

    runs = list_run_facts(scope_of(store, actors_apart=True))[::-1]
    # The means of builds do not include rewards that the backlog has completed later.
    later = {(each.run_id, each.objective_sha256): each for each in store.count_pending()}
    counts = [later.get((run.run_id, run.objective_sha256 or "")) for run in runs]
    means = [
        each and each.mean_reward if run.mean_reward is None else run.mean_reward
        for run, each in zip(runs, counts, strict=True)
    ]
    columns: dict[str, tuple[list[Any], type[polars.DataType]]] = {
        "run_id": ([run.run_id for run in runs], polars.String),
        "name": ([run.name for run in runs], polars.String),
        "kind": ([run.kind for run in runs], polars.String),
        "status": ([run.status for run in runs], polars.String),
        "samples": ([run.drawn for run in runs], polars.Int64),
        "kept": ([run.kept for run in runs], polars.Int64),
        "pending": ([each.rows if each else 0 for each in counts], polars.Int64),
        "oracle_calls": ([run.oracle_calls for run in runs], polars.Int64),
        "mean_reward": (means, polars.Float64),
        "iterations": ([run.iterations for run in runs], polars.Int64),
        "seed": ([run.seed for run in runs], polars.Int64),
        "started": ([run.started for run in runs], polars.Datetime),
        "changed": ([run.changed for run in runs], polars.Datetime),
        "detail": ([run.detail for run in runs], polars.String),
    }
    return polars.DataFrame({name: polars.Series(name, values, kind) for name, (values, kind) in columns.items()})
