"""Conversion of records to rows of the tables, by columns: inserting row by row would be a hundred times slower."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from molbuffer.storage.records import (
    BucketedMolecule,
    Build,
    Consumed,
    Metric,
    ObjectiveDefinition,
    PolicyVersion,
    Reward,
    Run,
    Score,
    ScoreStatus,
)
from molbuffer.storage.stored import BuildReceipt

OTHER_TABLES = ("samples", "references", "rewards", "scores", "metrics")
"""The fields of a build that are not in its row of ``builds``."""
OF_OTHER_TABLES = ("definition",)
"""The fields of a run that are not in its row of ``runs``."""
_STRING = pa.string()
_TIMESTAMP = pa.timestamp("us")


@dataclass(frozen=True)
class PlacedBuild:
    """A build with the place of its arrays: a segment, and the row ``offset`` of the segment at which they start."""

    build: Build
    segment: str
    offset: int


def rows_in_order(builds: Sequence[Build]) -> list[Build]:
    """Return builds in the order of rows: by iteration, event, sampler (as configured) and chunk."""
    return sorted(builds, key=lambda build: (build.iteration, build.event, build.sampler_order, build.chunk))


def run_row(run: Run, created: datetime) -> pa.Table:
    """Return the row of ``runs`` for a run."""
    row = {name: getattr(run, name) for name in run.__dataclass_fields__ if name not in OF_OTHER_TABLES}
    row |= {"libraries": json.dumps(dict(run.libraries), sort_keys=True), "config_sha256": config_sha256(run)}
    return pa.Table.from_pylist([row | {"created": created}])


def objective_rows(sha256: str, definition: ObjectiveDefinition, created: datetime) -> pa.Table:
    """Return the rows of ``objectives`` for an objective."""
    shared = {"objective_sha256": sha256, "aggregation": definition.aggregation, "created": created}
    return _table([{"position": at, **asdict(part), **shared} for at, part in enumerate(definition.components)])


def config_sha256(run: Run) -> str:
    """Return the sha256 of a run's configuration, by which configurations are compared."""
    return hashlib.sha256(run.config.encode()).hexdigest()


def build_tables(placed: Sequence[PlacedBuild], created: datetime) -> dict[str, pa.Table]:
    """Return the rows that are inserted for builds, by table; empty without builds."""
    if not placed:
        return {}
    builds = [place.build for place in placed]
    return {
        "builds": build_rows(placed, created),
        "samples": sample_rows(builds, created),
        "readmitted": pa.concat_tables(_readmitted_rows(build, created) for build in builds),
        "rewards": pa.concat_tables(reward_rows(b.build_id, b.run_id, b.rewards, created) for b in builds),
        "scores": pa.concat_tables(score_rows(b.scores, b.run_id, created) for b in builds),
        "metrics": metric_rows(builds, created),
    }


def united(parts: Sequence[Mapping[str, pa.Table]]) -> dict[str, pa.Table]:
    """Return the joined rows of several commits, by table; tables without rows are left out."""
    rows: dict[str, list[pa.Table]] = {}
    for part in parts:
        for name, table in part.items():
            if table.num_rows:
                rows.setdefault(name, []).append(table)
    # A column with nulls only has no type in its own commit, so that the types are unified.
    return {name: pa.concat_tables(of, promote_options="permissive") for name, of in rows.items()}


def build_rows(placed: Sequence[PlacedBuild], created: datetime) -> pa.Table:
    """Return the rows of ``builds`` for builds."""
    fields = [name for name in Build.__dataclass_fields__ if name not in OTHER_TABLES]
    rows = []
    for place in placed:
        build = place.build
        row, counts = {name: getattr(build, name) for name in fields}, receipt(build, snapshot=0)
        row |= {name: getattr(counts, name) for name in ("drawn", "parseable", "kept", "mean_reward", "readmitted")}
        row |= {"build_id": build.build_id, "vocabulary_sha256": build.samples.vocabulary_sha256, "created": created}
        rows.append(row | {"segment": place.segment, "segment_offset": place.offset})
    return pa.Table.from_pylist(rows)


def receipt(build: Build, snapshot: int) -> BuildReceipt:
    """Return the receipt of a build that a snapshot has added."""
    samples = build.samples
    return BuildReceipt(
        build_id=build.build_id,
        run_id=build.run_id,
        iteration=build.iteration,
        event=build.event,
        sampler=build.sampler,
        drawn=len(samples),
        parseable=len(samples) - samples.smiles.count(None),
        kept=samples.rejected_by.count(None),
        mean_reward=mean_reward(build),
        snapshot=snapshot,
        readmitted=len(build.references),
    )


def mean_reward(build: Build) -> float | None:
    """Return the mean of the good rewards under the build's own objective; None if there are none."""
    values = [r.value for r in build.rewards if r.value is not None and r.objective_sha256 == build.objective_sha256]
    return math.fsum(values) / len(values) if values else None


def sample_rows(builds: Sequence[Build], created: datetime) -> pa.Table:
    """Return the rows of ``samples`` for builds, in the order in which each build drew them."""
    return pa.concat_tables([_sample_rows(build, created) for build in builds])


def _sample_rows(build: Build, created: datetime) -> pa.Table:
    samples, n = build.samples, len(build.samples)
    sources = samples.source_rows or [None] * n
    parents = samples.parents or [()] * n
    origins = samples.origins or [None] * n
    screened = samples.screened or [None] * n
    rejected_by = pa.array(samples.rejected_by, _STRING)
    return pa.table(
        {
            "build_id": _repeat(build.build_id, n, _STRING),
            "row": np.arange(n, dtype=np.int32),
            "smiles": pa.array(samples.smiles, _STRING),
            "raw": pa.array(samples.raw, _STRING),
            "source_smiles": pa.array(samples.source_smiles or [None] * n, _STRING),
            "source_build_id": pa.array([source and source.build_id for source in sources], _STRING),
            "source_row": pa.array([source and source.row for source in sources], pa.int32()),
            "kept": rejected_by.is_null(),
            "rejected_by": rejected_by,
            "iteration": _repeat(build.iteration, n, pa.int64()),
            "created": _repeat(created, n, _TIMESTAMP),
            "file": pa.array([origin and origin.file for origin in origins], _STRING),
            "file_line": pa.array([origin and origin.line for origin in origins], pa.int64()),
            "file_id": pa.array([origin and origin.id for origin in origins], _STRING),
            "predicted_reward": pa.array([each and each.mean for each in screened], pa.float64()),
            "predicted_sd": pa.array([each and each.sd for each in screened], pa.float64()),
            "acquisition": pa.array([each and each.acquisition for each in screened], pa.float64()),
            "picked_by": pa.array([each and each.picked_by for each in screened], _STRING),
            # No SMILES has a space.
            "parents": pa.array([" ".join(each) or None for each in parents], _STRING),
        }
    )


def _readmitted_rows(build: Build, created: datetime) -> pa.Table:
    n = len(build.references)
    return pa.table(
        {
            "build_id": _repeat(build.build_id, n, _STRING),
            "position": np.arange(n, dtype=np.int32),
            "source_build_id": pa.array([row.build_id for row in build.references], _STRING),
            "source_row": pa.array([row.row for row in build.references], pa.int32()),
            "created": _repeat(created, n, _TIMESTAMP),
        }
    )


def reward_rows(build_id: str, run_id: str, rewards: Sequence[Reward], created: datetime) -> pa.Table:
    """Return the rows of ``rewards`` for the rewards of a build."""
    n = len(rewards)
    return pa.table(
        {
            "build_id": _repeat(build_id, n, _STRING),
            "row": pa.array([reward.row for reward in rewards], pa.int32()),
            "objective_sha256": pa.array([reward.objective_sha256 for reward in rewards], _STRING),
            "value": pa.array([reward.value for reward in rewards], pa.float64()),
            "status": pa.array([reward.status for reward in rewards], _STRING),
            "run_id": _repeat(run_id, n, _STRING),
            "created": _repeat(created, n, _TIMESTAMP),
        }
    )


def score_rows(scores: Sequence[Score], run_id: str | None, created: datetime) -> pa.Table:
    """Return the rows of ``scores`` for scores."""
    n = len(scores)
    return pa.table(
        {
            "smiles": pa.array([score.smiles for score in scores], _STRING),
            "component": pa.array([score.component for score in scores], _STRING),
            "version": pa.array([score.version for score in scores], _STRING),
            "value": pa.array([score.value for score in scores], pa.float64()),
            "status": pa.array([score.status for score in scores], _STRING),
            "error": pa.array([score.error for score in scores], _STRING),
            "seconds": pa.array([score.seconds for score in scores], pa.float64()),
            "run_id": _repeat(run_id, n, _STRING),
            "created": _repeat(created, n, _TIMESTAMP),
            "std": pa.array([score.std for score in scores], pa.float64()),
        }
    )


def pose_rows(scores: Sequence[Score], run_id: str | None, created: datetime) -> pa.Table:
    """Return the rows of ``poses`` for good scores, one row for each molecule, component and version."""
    posed = {
        (score.smiles, score.component, score.version): score.pose
        for score in scores
        if score.pose is not None and score.status is ScoreStatus.OK
    }
    n = len(posed)
    return pa.table(
        {
            "smiles": pa.array([smiles for smiles, _, _ in posed], _STRING),
            "component": pa.array([component for _, component, _ in posed], _STRING),
            "version": pa.array([version for _, _, version in posed], _STRING),
            "pose": pa.array(list(posed.values()), _STRING),
            "run_id": _repeat(run_id, n, _STRING),
            "created": _repeat(created, n, _TIMESTAMP),
        }
    )


def score_of(row: dict[str, Any], component: str, version: str) -> Score:
    """Return the score in a row of ``scores``."""
    status = ScoreStatus(row["status"])
    return Score(
        smiles=row["smiles"],
        component=component,
        version=version,
        value=row["value"],
        status=status,
        error=row["error"],
        seconds=row["seconds"],
        std=row["std"],
    )


def metric_rows(builds: Sequence[Build], created: datetime) -> pa.Table:
    """Return the rows of ``metrics`` for the metrics of builds."""
    rows = []
    for build in builds:
        about = {"run_id": build.run_id, "build_id": build.build_id, "iteration": build.iteration}
        about |= {"sampler": build.sampler, "event": build.event}
        rows += [about | {"name": m.name, "value": m.value, "created": created} for m in build.metrics]
    return _table(rows)


def run_metric_rows(run_id: str, metrics: Sequence[tuple[int, Metric]], created: datetime) -> pa.Table:
    """Return the rows of ``metrics`` for the metrics (iteration, metric) of a training."""
    return _table(
        [
            {"run_id": run_id, "iteration": iteration, "name": metric.name, "value": metric.value, "created": created}
            for iteration, metric in metrics
        ]
    )


def policy_rows(policies: Sequence[PolicyVersion], created: datetime) -> pa.Table:
    """Return the rows of ``policies`` for versions of policies."""
    fields = PolicyVersion.__dataclass_fields__
    return _table([{name: getattr(policy, name) for name in fields} | {"created": created} for policy in policies])


def consumed_rows(run_id: str, consumed: Sequence[Consumed], created: datetime) -> pa.Table:
    """Return the rows of ``consumed``, one for each sample."""
    sizes = [len(part.rows) for part in consumed]
    n = sum(sizes)
    return pa.table(
        {
            "run_id": _repeat(run_id, n, _STRING),
            "build_id": pa.array(np.repeat(np.array([part.build_id for part in consumed], object), sizes), _STRING),
            "row": pa.array([row for part in consumed for row in part.rows], pa.int32()),
            "iteration": np.repeat(np.array([part.iteration for part in consumed], np.int64), sizes),
            "created": _repeat(created, n, _TIMESTAMP),
        }
    )


def bucketed_rows(
    run_id: str, molecules: Sequence[BucketedMolecule], first_position: int, created: datetime
) -> pa.Table:
    """Return the rows of ``bucketed_molecules``, with positions from ``first_position`` on."""
    n = len(molecules)
    return pa.table(
        {
            "run_id": _repeat(run_id, n, _STRING),
            "position": np.arange(first_position, first_position + n, dtype=np.int64),
            "iteration": pa.array([each.iteration for each in molecules], pa.int64()),
            "smiles": pa.array([each.smiles for each in molecules], _STRING),
            "bucket": pa.array([each.bucket for each in molecules], _STRING),
            "created": _repeat(created, n, _TIMESTAMP),
        }
    )


def check_rows(build: Build) -> None:
    """Refuse a build that contradicts itself.

    Raises:
        ValueError: the build has a reward for a row that it does not have, two rewards for a row under one objective,
            or two references to one row.
    """
    n = len(build.samples)
    given = {(reward.row, reward.objective_sha256) for reward in build.rewards}
    if len(given) != len(build.rewards):
        raise ValueError(f"build of {build.sampler!r} has a row with two rewards under one objective")
    if len(set(build.references)) != len(build.references):
        raise ValueError(f"build of {build.sampler!r} refers to a stored row twice, expected at most once")
    if foreign := [row for row, _ in given if not 0 <= row < n]:
        raise ValueError(f"build of {build.sampler!r} has {n} rows, but rewards for rows {sorted(foreign)[:5]}")


def _repeat(value: Any, n: int, kind: pa.DataType) -> pa.Array:
    return pa.repeat(pa.scalar(value, kind), n)


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    # A table without rows has no column names; ``Transaction.insert`` skips it.
    return pa.Table.from_pylist(rows)
