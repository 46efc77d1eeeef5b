"""Verifies the arrays: each segment that a build lies in, one after the other, and where the builds lie in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from molbuffer.storage.catalog.readable import ReadableCatalog
from molbuffer.storage.errors import ArraysError
from molbuffer.storage.files.places import Place, entries
from molbuffer.storage.layout import Layout
from molbuffer.storage.segments.segment import SegmentHeader, inspect_segment, read_segment
from molbuffer.storage.verify.report import Kind, Notes, listed

_PLACES = """
    SELECT DISTINCT build_id, drawn, vocabulary_sha256, segment, segment_offset AS first FROM {placed_builds} AS builds
    -- A build without rows begins where the next one does.
    ORDER BY segment, first, drawn, build_id"""

# As many rows as a chunk has at most: reading less would decode a chunk several times.
_PORTION_ROWS = 500_000


@dataclass(frozen=True)
class BuildPlace:
    """Where a build lies: in the rows [first, first + drawn) of a segment."""

    build_id: str
    drawn: int
    vocabulary_sha256: str
    segment: str
    first: int


def current_places(catalog: ReadableCatalog, snapshot: int) -> dict[str, list[BuildPlace]]:
    """The builds in each segment as of a version, in the order of their rows."""
    found: dict[str, list[BuildPlace]] = defaultdict(list)
    for row in catalog.read(_PLACES, snapshot).to_pylist():
        found[row["segment"]].append(BuildPlace(**row))
    return found


def check_segments(catalog: ReadableCatalog, layout: Layout, snapshot: int, notes: Notes, *, quick: bool) -> None:
    """Every segment that a build lies in is there, whole, decodes, and holds the rows of its builds once.

    When the catalog's rows cannot be read, every segment in the store's folder is checked by itself.
    """
    listed_by_catalog = notes.readable("which builds lie in which segment", "builds", "placements")
    if listed_by_catalog:
        places: Mapping[str, list[BuildPlace]] = current_places(catalog, snapshot)
    else:
        places = {folder.name: [] for folder in entries(layout.arrays)}
    notes.expect(len(places))
    faults: dict[str, str] = {}
    for segment, builds in places.items():
        fault = _fault(layout, segment, builds, notes, quick=quick)
        if fault is not None:
            faults[segment] = fault
        notes.done("segments")
    # A compaction beside us may have moved builds elsewhere, and a vacuum deleted the segment, since it was listed.
    if faults and listed_by_catalog:
        still = current_places(catalog, catalog.newest())
        faults = {segment: fault for segment, fault in faults.items() if segment in still}
    for segment, fault in faults.items():
        _note(segment, fault, [place.build_id for place in places[segment]], notes)
    _note_quarantine(catalog, snapshot, notes)


def _note(segment: str, fault: str, build_ids: list[str], notes: Notes) -> None:
    notes.error(
        Kind.SEGMENT,
        f"{fault}. It holds the arrays of {len(build_ids)} builds ({listed(build_ids)}), which training cannot read "
        "until it is restored; `molbuffer verify --quarantine` has training leave them out",
        path=f"arrays/{segment}",
        segment=segment,
        build_ids=tuple(build_ids),
    )


def _fault(layout: Layout, segment: str, builds: list[BuildPlace], notes: Notes, *, quick: bool) -> str | None:
    """What is wrong with a segment, as a sentence; the first thing found."""
    folder = layout.arrays / segment
    try:
        header = inspect_segment(folder)
        fault = next(_misplaced(segment, header, builds), None)
        if fault is None and not quick:
            fault = _wrong_content(folder, header, notes)
    except ArraysError as error:
        return str(error)
    if fault is None:
        notes.checked["rows of arrays"] += header.rows
    return fault


def _wrong_content(folder: Place, header: SegmentHeader, notes: Notes) -> str | None:
    """What decodes and yet cannot be read as rows."""
    untidy = 0
    for start in range(0, header.rows, _PORTION_ROWS):
        rows = read_segment(folder, start, min(_PORTION_ROWS, header.rows - start))
        width = rows.tokens.shape[1]
        wrong = np.flatnonzero((rows.lengths < 0) | (rows.lengths > width))
        if len(wrong):
            return f"row {start + wrong[0]} of {folder} is {rows.lengths[wrong[0]]} of {width} tokens long: restore it"
        untidy += _untidy(rows.tokens, rows.lengths)
        if rows.source_tokens is not None and rows.source_lengths is not None:
            lengths, width = rows.source_lengths, rows.source_tokens.shape[1]
            wrong = np.flatnonzero((lengths < 0) | (lengths > width))
            if len(wrong):
                source = f"the source of row {start + wrong[0]} of {folder}"
                return f"{source} is {lengths[wrong[0]]} of {width} tokens long: restore it"
            untidy += _untidy(rows.source_tokens, lengths)
    if untidy:
        message = f"{untidy} rows of segment {folder.name} have tokens after their end, where their writer should put 0"
        notes.warning(Kind.SEGMENT, message, path=f"arrays/{folder.name}")
    return None


def _untidy(tokens: NDArray[np.unsignedinteger], lengths: NDArray[np.int32]) -> int:
    """How many rows have tokens after their end."""
    return int(((tokens != 0) & (np.arange(tokens.shape[1]) >= lengths[:, None])).any(axis=1).sum())


def _misplaced(segment: str, header: SegmentHeader, builds: list[BuildPlace]) -> Iterator[str]:
    """What is wrong with where builds lie in a segment."""
    for build in builds:
        if build.vocabulary_sha256 != header.vocabulary_sha256:
            yield (
                f"segment {segment} names the vocabulary {header.vocabulary_sha256}, its build {build.build_id} "
                f"{build.vocabulary_sha256}; restore the folder from a backup"
            )
        if not 0 <= build.first <= build.first + build.drawn <= header.rows:
            yield (
                f"segment {segment} has {header.rows} rows, its build {build.build_id} should lie in rows "
                f"{build.first} to {build.first + build.drawn}; restore the folder from a backup"
            )
    # A build that drew nothing, or only refers to stored rows, lies at the first row of another one.
    for before, after in pairwise(build for build in builds if build.drawn):
        if before.first + before.drawn > after.first:
            yield (
                f"the builds {before.build_id} and {after.build_id} both lie in rows {after.first} to "
                f"{min(before.first + before.drawn, after.first + after.drawn)} of segment {segment}, and the arrays "
                "can be those of one only: take the rows of `builds` and `placements` from a backup"
            )


def _note_quarantine(catalog: ReadableCatalog, snapshot: int, notes: Notes) -> None:
    """Damage that is in quarantine is known, and no error any more."""
    if not notes.readable("quarantine", "quarantine"):
        return
    sql = "SELECT segment, any_value(reason) AS reason FROM {quarantine} GROUP BY segment ORDER BY segment"
    known = {row["segment"]: row["reason"] for row in catalog.read(sql, snapshot).to_pylist()}
    faulty = {found.segment for found in notes.findings if found.segment in known}
    notes.findings = [found for found in notes.findings if found.segment is None or found.segment not in faulty]
    for segment, reason in known.items():
        state = "is damaged" if segment in faulty else "shows no damage now"
        message = f"segment {segment} is in quarantine and {state}; training leaves its rows out. The reason: {reason}"
        notes.information(Kind.QUARANTINE, message, path=f"arrays/{segment}")
