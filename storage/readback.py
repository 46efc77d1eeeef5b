"""Reads a committed build back as it was drawn."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from storage.arrays import SegmentRows, read_segment
from storage.catalog import Catalog
from storage.commits import RECEIPT_COLUMNS, receipt_of
from storage.errors import ArraysError, PartialBuildError, UnknownBuildError
from storage.layout import Layout
from storage.records import Build, Event, Metric, Reward, RowId, Samples, ScoreStatus, StoredBuild

_REWARDS = """SELECT "row", objective_sha256,
        arg_max({'value': value, 'status': status}, (status = 'ok', created)) AS last
    FROM {rewards} WHERE build_id = ? AND objective_sha256 = ? AND status <> 'pending'
    GROUP BY ALL ORDER BY "row" """
_BUILD = """SELECT builds.* REPLACE (coalesce(moved.segment, builds.segment) AS segment,
        coalesce(moved.segment_offset, builds.segment_offset) AS segment_offset), bad.reason AS quarantined
    FROM {builds} AS builds LEFT JOIN {current_placements} AS moved USING (build_id)
    LEFT JOIN {quarantine} AS bad ON bad.segment = coalesce(moved.segment, builds.segment)
    WHERE build_id = ?"""
_NOT_COLUMNS = ("samples", "rewards", "scores", "metrics")


def read_build(catalog: Catalog, layout: Layout, build_id: str) -> StoredBuild:
    """What ``SampleStore.build`` returns, and its errors."""
    receipts = catalog.read(f"{RECEIPT_COLUMNS} WHERE build_id = ?", parameters=[build_id]).to_pylist()
    if not receipts:
        raise UnknownBuildError(f"{build_id!r} is no build in {layout.root}; it was never committed")
    row = catalog.read(_BUILD, parameters=[build_id]).to_pylist()[0]
    if row["quarantined"] is not None:
        raise ArraysError(
            f"the arrays of build {build_id} are in segment {row['segment']}, which was quarantined: "
            f"{row['quarantined']}"
        )
    samples = catalog.read('SELECT * FROM {samples} WHERE build_id = ? ORDER BY "row"', parameters=[build_id])
    if samples.num_rows != row["drawn"]:
        raise PartialBuildError(
            f"{samples.num_rows} of the {row['drawn']} rows of build {build_id} are in {layout.root}, for an archive "
            "may hold part of a build: read its rows with HistoryIndex, or merge an archive that has the others"
        )
    arrays = read_segment(layout.arrays / row["segment"], row["segment_offset"], row["drawn"])
    fields = {name: row[name] for name in Build.__dataclass_fields__ if name not in _NOT_COLUMNS}
    build = Build(
        **(fields | {"event": Event(row["event"])}),
        samples=_samples(samples, arrays),
        rewards=_rewards(catalog, build_id, row["objective_sha256"]),
        metrics=_metrics(catalog, build_id),
    )
    return StoredBuild(build, receipt_of(receipts[0]), row["segment"], row["segment_offset"])


def _samples(table: pa.Table, arrays: SegmentRows) -> Samples:
    columns: dict[str, list[Any]] = {name: table[name].to_pylist() for name in table.column_names}
    # A segment is as wide as its longest build.
    width = int(arrays.lengths.max(initial=1))
    has_sources = any(text is not None for text in columns["source_smiles"])
    sources = [
        None if build_id is None else RowId(build_id, row)
        for build_id, row in zip(columns["source_build_id"], columns["source_row"], strict=True)
    ]
    return Samples(
        raw=columns["raw"],
        smiles=columns["smiles"],
        rejected_by=columns["rejected_by"],
        tokens=arrays.tokens[:, :width],
        lengths=arrays.lengths,
        log_probs=arrays.log_probs[:, :width],
        vocabulary_sha256=arrays.vocabulary_sha256,
        latents=arrays.latents,
        source_smiles=columns["source_smiles"] if has_sources else None,
        source_rows=sources if any(sources) else None,
    )


def _rewards(catalog: Catalog, build_id: str, objective_sha256: str | None) -> list[Reward]:
    found = catalog.read(_REWARDS, parameters=[build_id, objective_sha256]).to_pylist()
    return [
        Reward(row["row"], row["objective_sha256"], row["last"]["value"], ScoreStatus(row["last"]["status"]))
        for row in found
    ]


def _metrics(catalog: Catalog, build_id: str) -> list[Metric]:
    found = catalog.read("SELECT name, value FROM {metrics} WHERE build_id = ? ORDER BY name", parameters=[build_id])
    return [Metric(row["name"], row["value"]) for row in found.to_pylist()]
