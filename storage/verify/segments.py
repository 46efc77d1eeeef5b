"""Verification of the arrays: each segment with arrays of builds, and the places of the builds in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from molbuffer.storage.catalog import ReadableCatalog
from molbuffer.storage.errors import ArraysError
from molbuffer.storage.files import Place, entries
from molbuffer.storage.segments import SegmentHeader, inspect_segment, read_segment
from molbuffer.storage.verify.report import FindingKind, first_few
from molbuffer.storage.verify.verification import Look, Verification

_SPANS = """
    SELECT DISTINCT build_id, drawn, vocabulary_sha256, segment, segment_offset AS first FROM {placed_builds} AS builds
    -- A build without rows begins where the next one does.
    ORDER BY segment, first, drawn, build_id"""

# The largest number of rows of a chunk: reading fewer rows at a time would decode a chunk several times.
_PORTION_ROWS = 500_000


@dataclass(frozen=True)
class BuildSpan:
    """The rows [first, first + drawn) of a segment that belong to a build."""

    build_id: str
    drawn: int
    vocabulary_sha256: str
    segment: str
    first: int


def check_segments(of: Verification) -> None:
    """Check that every segment of a build exists, is complete, can be decoded, and has the rows of its builds once.

    If the rows of the catalog cannot be read, every segment in the store's folder is checked by itself.
    """
    named_by_catalog = of.findings.can_read("which builds lie in which segment", "builds", "placements")
    if named_by_catalog:
        spans: Mapping[str, list[BuildSpan]] = _current_spans(of.catalog, of.snapshot)
    else:
        spans = {folder.name: [] for folder in entries(of.layout.arrays)}
    of.findings.expect(len(spans))
    faults: dict[str, str] = {}
    for segment, builds in spans.items():
        if (fault := segment_fault(of, segment, builds)) is not None:
            faults[segment] = fault
        of.findings.done("segments")
    # Since the segment was listed, a compaction may have moved its builds, and a vacuum may have deleted it.
    if faults and named_by_catalog:
        still = _current_spans(of.catalog, of.catalog.newest())
        faults = {segment: fault for segment, fault in faults.items() if segment in still}
    for segment, fault in faults.items():
        build_ids = tuple(build.build_id for build in spans[segment])
        of.findings.error(
            FindingKind.SEGMENT,
            f"{fault}. It holds the arrays of {len(build_ids)} builds ({first_few(build_ids)})",
            advice="Training cannot read them until the segment is restored from a backup; `molbuffer verify "
            "--quarantine` has it leave them out",
            path=f"arrays/{segment}",
            segment=segment,
            build_ids=build_ids,
        )
    _report_quarantine(of)


def _current_spans(catalog: ReadableCatalog, snapshot: int) -> dict[str, list[BuildSpan]]:
    """Return the builds in each segment at a snapshot, in the order of their rows."""
    found: dict[str, list[BuildSpan]] = defaultdict(list)
    for row in catalog.read(_SPANS, snapshot).to_pylist():
        found[row["segment"]].append(BuildSpan(**row))
    return found


def segment_fault(of: Look, segment: str, builds: Sequence[BuildSpan] = ()) -> str | None:
    """Return the first fault of a segment as a sentence; None without a fault."""
    folder = of.layout.arrays / segment
    try:
        header = inspect_segment(folder)
        fault = next(_misplaced(segment, header, builds), None)
        if fault is None and not of.quick:
            fault = _content_fault(of, folder, header)
    except ArraysError as error:
        return str(error)
    if fault is None:
        of.findings.checked["rows of arrays"] += header.rows
    return fault


def _misplaced(segment: str, header: SegmentHeader, builds: Sequence[BuildSpan]) -> Iterator[str]:
    """Yield the faults in the places of builds in a segment, as sentences."""
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
    # A build without rows of its own begins at the first row of another build.
    for before, after in pairwise(build for build in builds if build.drawn):
        if before.first + before.drawn > after.first:
            yield (
                f"the builds {before.build_id} and {after.build_id} both lie in rows {after.first} to "
                f"{min(before.first + before.drawn, after.first + after.drawn)} of segment {segment}, and the arrays "
                "can be those of one only: take the rows of `builds` and `placements` from a backup"
            )


def _content_fault(of: Look, folder: Place, header: SegmentHeader) -> str | None:
    """Return the fault of arrays that can be decoded, but not be read as rows; None without a fault."""
    untidy = 0
    for start in range(0, header.rows, _PORTION_ROWS):
        rows = read_segment(folder, start, min(_PORTION_ROWS, header.rows - start))
        sequences = [("row", rows.tokens, rows.lengths)]
        if rows.source_tokens is not None and rows.source_lengths is not None:
            sequences.append(("the source of row", rows.source_tokens, rows.source_lengths))
        for name, tokens, lengths in sequences:
            width = tokens.shape[1]
            wrong = np.flatnonzero((lengths < 0) | (lengths > width))
            if len(wrong):
                row = start + wrong[0]
                return f"{name} {row} of {folder} is {lengths[wrong[0]]} of {width} tokens long: restore it"
            untidy += _untidy(tokens, lengths)
    if untidy:
        message = f"{untidy} rows of segment {folder.name} have tokens after their end, where their writer should put 0"
        of.findings.warning(FindingKind.SEGMENT, message, path=f"arrays/{folder.name}")
    return None


def _untidy(tokens: NDArray[np.unsignedinteger], lengths: NDArray[np.int32]) -> int:
    """Return the number of rows that have tokens after their end."""
    return int(((tokens != 0) & (np.arange(tokens.shape[1]) >= lengths[:, None])).any(axis=1).sum())


def _report_quarantine(of: Verification) -> None:
    """Report the segments in quarantine as information, and remove the findings of their damage, which is known."""
    if not of.findings.can_read("quarantine", "quarantine"):
        return
    sql = "SELECT segment, any_value(reason) AS reason FROM {quarantine} GROUP BY segment ORDER BY segment"
    known = {row["segment"]: row["reason"] for row in of.catalog.read(sql, of.snapshot).to_pylist()}
    damaged = {finding.segment for finding in of.findings.found if finding.segment in known}
    of.findings.found = [finding for finding in of.findings.found if finding.segment not in known]
    for segment, reason in known.items():
        state = "is damaged" if segment in damaged else "shows no damage now"
        message = f"segment {segment} is in quarantine and {state}; training leaves its rows out. The reason: {reason}"
        of.findings.information(FindingKind.QUARANTINE, message, path=f"arrays/{segment}")
