"""Reads a committed build back as it was drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from molbuffer.storage.catalog.catalog import Catalog
from molbuffer.storage.commits.commit import RECEIPT_COLUMNS, receipt_of
from molbuffer.storage.commits.tables import OTHER_TABLES
from molbuffer.storage.errors import ArraysError, PartialBuildError, UnknownBuildError
from molbuffer.storage.layout import Layout
from molbuffer.storage.records import Build, Event, Metric, Reward, RowId, Samples, ScoreStatus, StoredBuild
from molbuffer.storage.segments.segment import SegmentRows, read_segment

_REWARDS = """SELECT "row", objective_sha256,
        arg_max({'value': value, 'status': status}, (status = 'ok', created)) AS last
    FROM {rewards} WHERE build_id = ? AND objective_sha256 = ? AND status <> 'pending'
    GROUP BY ALL ORDER BY "row" """
_BUILD = """SELECT builds.* REPLACE (coalesce(moved.segment, builds.segment) AS segment,
        coalesce(moved.segment_offset, builds.segment_offset) AS segment_offset), bad.reason AS quarantined
    FROM {builds} AS builds LEFT JOIN {current_placements} AS moved USING (build_id)
    LEFT JOIN {quarantine} AS bad ON bad.segment = coalesce(moved.segment, builds.segment)
    WHERE build_id = ?"""
_REFERENCES = "SELECT source_build_id, source_row FROM {readmitted} WHERE build_id = ? ORDER BY position"


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
    fields = {name: row[name] for name in Build.__dataclass_fields__ if name not in OTHER_TABLES}
    build = Build(
        **(fields | {"event": Event(row["event"])}),
        samples=_samples(samples, arrays),
        references=_references(catalog, build_id) if row["readmitted"] else (),
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
        latents=_latents(arrays.latents),
        latent_log_probs=_given(arrays.latent_log_probs),
        source_smiles=columns["source_smiles"] if has_sources else None,
        source_rows=sources if any(sources) else None,
        **_sources(arrays),
    )


def _sources(arrays: SegmentRows) -> dict[str, Any]:
    """The tokens of the sources of a build, nothing where they are those of other builds in its segment."""
    tokens, lengths = arrays.source_tokens, arrays.source_lengths
    if tokens is None or lengths is None or not lengths.any():
        return {}
    return {"source_tokens": tokens[:, : int(lengths.max())], "source_lengths": lengths}


def _given(numbers: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
    """The numbers of a build, None where they are those of other builds in its segment."""
    return None if numbers is None or np.isnan(numbers).all() else numbers


def _latents(latents: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
    """The latents of a build, without the columns that only wider builds of its segment have."""
    if (latents := _given(latents)) is None:
        return None
    return latents[:, : int(np.flatnonzero(~np.isnan(latents).all(0))[-1]) + 1]


def _references(catalog: Catalog, build_id: str) -> tuple[RowId, ...]:
    found = catalog.read(_REFERENCES, parameters=[build_id]).to_pylist()
    return tuple(RowId(row["source_build_id"], row["source_row"]) for row in found)


def _rewards(catalog: Catalog, build_id: str, objective_sha256: str | None) -> list[Reward]:
    found = catalog.read(_REWARDS, parameters=[build_id, objective_sha256]).to_pylist()
    return [
        Reward(row["row"], row["objective_sha256"], row["last"]["value"], ScoreStatus(row["last"]["status"]))
        for row in found
    ]


def _metrics(catalog: Catalog, build_id: str) -> list[Metric]:
    found = catalog.read("SELECT name, value FROM {metrics} WHERE build_id = ? ORDER BY name", parameters=[build_id])
    return [Metric(row["name"], row["value"]) for row in found.to_pylist()]
