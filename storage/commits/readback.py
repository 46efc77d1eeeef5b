"""Committed builds, read back as they were drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from molbuffer.storage.catalog import ReadableCatalog
from molbuffer.storage.commits.commit import RECEIPT_COLUMNS, receipt_of
from molbuffer.storage.commits.tables import OTHER_TABLES
from molbuffer.storage.errors import ArraysError, PartialBuildError, UnknownBuildError
from molbuffer.storage.layout import Layout
from molbuffer.storage.records import (
    Build,
    Event,
    FileOrigin,
    Metric,
    PickedBy,
    Reward,
    RowId,
    Samples,
    ScoreStatus,
    ScreenedRow,
)
from molbuffer.storage.rows import BY_AXIS, COLUMNS, Axis, Rows
from molbuffer.storage.segments import read_segment
from molbuffer.storage.stored import StoredBuild

_REWARDS = """SELECT "row", objective_sha256,
        arg_max({'value': value, 'status': status}, (status = 'ok', created)) AS last
    FROM {rewards} WHERE build_id = ? AND objective_sha256 = ? AND status <> 'pending'
    GROUP BY ALL ORDER BY "row" """
_BUILD = """SELECT builds.*, bad.reason AS quarantined
    FROM {placed_builds} AS builds LEFT JOIN {quarantine} AS bad ON bad.segment = builds.segment
    WHERE build_id = ?"""
_REFERENCES = "SELECT source_build_id, source_row FROM {readmitted} WHERE build_id = ? ORDER BY position"


def read_build(catalog: ReadableCatalog, layout: Layout, build_id: str) -> StoredBuild:
    """Return a committed build with its arrays, as ``SampleStore.build`` does.

    Raises:
        UnknownBuildError: the build is not committed.
        PartialBuildError: the store has only some of its rows.
        ArraysError: its segment is missing, damaged or in quarantine.
    """
    receipts = catalog.read(f"{RECEIPT_COLUMNS} WHERE build_id = ?", parameters=[build_id]).to_pylist()
    if not receipts:
        raise UnknownBuildError(f"no build {build_id!r} in {layout.root}; it was never committed")
    row = catalog.read(_BUILD, parameters=[build_id]).to_pylist()[0]
    if row["quarantined"] is not None:
        raise ArraysError(
            f"the arrays of build {build_id} are in segment {row['segment']}, which was quarantined: "
            f"{row['quarantined']}"
        )
    samples = catalog.read('SELECT * FROM {samples} WHERE build_id = ? ORDER BY "row"', parameters=[build_id])
    if samples.num_rows != row["drawn"]:
        raise PartialBuildError(
            f"{layout.root} has only {samples.num_rows} of the {row['drawn']} rows of build {build_id}: an archive may "
            "have a part of a build; read its rows with HistoryIndex, or merge an archive with the other rows"
        )
    rows = read_segment(layout.arrays / row["segment"], row["segment_offset"], row["drawn"])
    fields = {name: row[name] for name in Build.__dataclass_fields__ if name not in OTHER_TABLES}
    build = Build(
        **(fields | {"event": Event(row["event"])}),
        samples=_samples(samples, rows),
        references=_references(catalog, build_id) if row["readmitted"] else (),
        rewards=_rewards(catalog, build_id, row["objective_sha256"]),
        metrics=_metrics(catalog, build_id),
    )
    return StoredBuild(build, receipt_of(receipts[0]), row["segment"], row["segment_offset"])


def _samples(table: pa.Table, rows: Rows) -> Samples:
    columns: dict[str, list[Any]] = {name: table[name].to_pylist() for name in table.column_names}
    has_sources = any(text is not None for text in columns["source_smiles"])
    sources = [
        None if build_id is None else RowId(build_id, row)
        for build_id, row in zip(columns["source_build_id"], columns["source_row"], strict=True)
    ]
    places = zip(columns["file"], columns["file_line"], columns["file_id"], strict=True)
    said = (columns[name] for name in ("predicted_reward", "predicted_sd", "acquisition", "picked_by"))
    screened = [_screened(*row) for row in zip(*said, strict=True)]
    parents = [tuple(text.split()) if text else () for text in columns["parents"]]
    origins = [None if file is None else FileOrigin(file, line, name) for file, line, name in places]
    return Samples(
        raw=columns["raw"],
        smiles=columns["smiles"],
        rejected_by=columns["rejected_by"],
        rows=_own(rows),
        source_smiles=columns["source_smiles"] if has_sources else None,
        source_rows=sources if any(sources) else None,
        parents=parents if any(parents) else None,
        origins=origins if any(origins) else None,
        screened=screened if any(screened) else None,
    )


def _screened(
    mean: float | None, sd: float | None, acquisition: float | None, picked_by: str | None
) -> ScreenedRow | None:
    if mean is None and picked_by is None:
        return None
    return ScreenedRow(mean, sd, acquisition, None if picked_by is None else PickedBy(picked_by))


def _own(rows: Rows) -> Rows:
    """Return the rows of a build without the columns, and the width, that only other builds of its segment have."""
    columns, given, widths = rows.trimmed().columns(), set[str](), dict[Axis, int]()
    for name, array in columns.items():
        column = COLUMNS[name]
        filled = ~np.isnan(array) if np.isnan(column.fill) else array != column.fill
        if column.required or filled.any():
            given |= {name, *column.needs}
            if column.axis is not None and column.axis.lengths is None:
                last = int(np.flatnonzero(filled.any(0))[-1])
                widths[column.axis] = max(last + 1, widths.get(column.axis, 0))
    own = {name: array for name, array in columns.items() if name in given}
    for axis, width in widths.items():
        own |= {name: own[name][:, :width] for name in BY_AXIS[axis] if name in own}
    return Rows(**own, vocabulary_sha256=rows.vocabulary_sha256)


def _references(catalog: ReadableCatalog, build_id: str) -> tuple[RowId, ...]:
    found = catalog.read(_REFERENCES, parameters=[build_id]).to_pylist()
    return tuple(RowId(row["source_build_id"], row["source_row"]) for row in found)


def _rewards(catalog: ReadableCatalog, build_id: str, objective_sha256: str | None) -> list[Reward]:
    found = catalog.read(_REWARDS, parameters=[build_id, objective_sha256]).to_pylist()
    return [
        Reward(row["row"], row["objective_sha256"], row["last"]["value"], ScoreStatus(row["last"]["status"]))
        for row in found
    ]


def _metrics(catalog: ReadableCatalog, build_id: str) -> list[Metric]:
    found = catalog.read("SELECT name, value FROM {metrics} WHERE build_id = ? ORDER BY name", parameters=[build_id])
    return [Metric(row["name"], row["value"]) for row in found.to_pylist()]
