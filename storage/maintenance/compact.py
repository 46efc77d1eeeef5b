"""Compaction of a store: many small files become few large ones, and every snapshot stays the same.

    Parquet   each commit leaves one small file in each table that it adds to. DuckLake merges adjacent files; each row
              keeps the number of the snapshot that added it, so that older snapshots read a part of the merged file.
    Zarr      each commit leaves one small segment. The rows of small segments are written again as large segments, and
              then a row in ``placements`` for each build names the new place of its arrays. Older snapshots use the old
              segments, which are kept until no existing snapshot refers to them (``maintenance.vacuum``).

Other processes can write meanwhile: the commit lock is taken for one limited step at a time. A kill leaves files that
no row names, as with any commit.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar
from uuid import uuid4

import pyarrow as pa

from molbuffer.storage.catalog import QUERYABLE_TABLES, Catalog, Transaction
from molbuffer.storage.errors import ArraysError
from molbuffer.storage.layout import Layout
from molbuffer.storage.maintenance.gaps import give_way
from molbuffer.storage.records import now
from molbuffer.storage.rows import STORED, Rows
from molbuffer.storage.segments import read_segment, write_segment

MERGE_BYTES = (256_000, 8_000_000, 32_000_000)
"""The sizes in bytes to which Parquet files are merged, in stages: a row is written about once in each stage."""

STEP_BYTES = 8_000_000
STEP_FILES = 200
STEP_SHARE = 0.01
"""A step under the commit lock merges ``STEP_FILES`` small files, or ``STEP_SHARE`` of all files if that is more, but
at most ``STEP_BYTES``, or one merged file.

In each step, DuckLake reads its lists of all files and of their statistics, which takes about as long as merging a
hundredth of the files (0.1 s of processor time each with 30,000 files). Steps are therefore short if there are few
files, and their number does not grow if there are many."""

SEGMENT_ROWS = 200_000
"""The approximate number of rows of a large segment, which limits the memory (some 90 MB at 80 tokens, and three times
as much while writing)."""

_logger = logging.getLogger("molbuffer.storage.compact")
Result = TypeVar("Result")

# Builds with the present places of their arrays, in the order of the history.
_PLACED = """SELECT build_id, drawn, generation, segment, segment_offset FROM {placed_builds} AS builds
    WHERE segment NOT IN (SELECT segment FROM {quarantine})
    ORDER BY run_id, iteration, event, sampler_order, chunk"""
# The number of files of all tables, and the number and bytes of the small files of one table.
_FILES = """SELECT count(*), count(*) FILTER (small), coalesce(sum(file_size_bytes) FILTER (small), 0)::BIGINT FROM (
        SELECT file_size_bytes, file_size_bytes < $size AND table_name = $name AND tables.end_snapshot IS NULL AS small
        FROM METADATA.ducklake_data_file AS files JOIN METADATA.ducklake_table AS tables USING (table_id)
        WHERE files.end_snapshot IS NULL)"""
# The copied builds whose arrays are still at the place from which they were copied.
_STILL_THERE = f"""SELECT copied.* FROM copied JOIN ({_PLACED}) AS placed
    ON placed.build_id = copied.build_id AND placed.generation = copied.generation - 1"""


@dataclass(frozen=True)
class CompactReport:
    """The result of a compaction.

    Attributes:
        merged_files: the number of merged Parquet files of each table; a file merged in two stages counts twice.
        files: the number of Parquet files of the newest snapshot.
        segments_replaced: the number of small segments that were replaced.
        segments_written: the number of large segments that replace them.
        unreadable: the error of each small segment that is missing or damaged and was left unchanged.
        longest_lock_seconds: the longest time for which the commit lock was held, in seconds.
    """

    merged_files: Mapping[str, int]
    files: int
    segments_replaced: int
    segments_written: int
    unreadable: Mapping[str, str]
    longest_lock_seconds: float


@dataclass(frozen=True)
class _BuildSpan:
    """The rows [offset, offset + drawn) of a segment that belong to a build, by its placement ``generation``."""

    build_id: str
    drawn: int
    generation: int
    offset: int


@dataclass
class _Group:
    """Rows that can be written to one segment.

    Attributes:
        segments: the segments of the rows.
        builds: the builds of the rows.
        blocks: the rows of each build.
    """

    segments: list[str] = field(default_factory=list)
    builds: list[_BuildSpan] = field(default_factory=list)
    blocks: list[Rows] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(map(len, self.blocks))

    def add(self, segment: str, rows: Rows, builds: list[_BuildSpan]) -> None:
        """Add the builds of a segment, given the rows of the segment."""
        self.segments.append(segment)
        for build in builds:
            self.builds.append(build)
            self.blocks.append(rows.take(slice(build.offset, build.offset + build.drawn)))


def _kind(rows: Rows) -> tuple[object, ...]:
    """Return the properties that the rows of one segment must share, since other rows would make its arrays larger."""
    alike = []
    for name, width in rows.optional_widths().items():
        axis = STORED[name].axis
        alike.append((name, width if axis is not None and axis.lengths is None else 1))
    return (rows.vocabulary_sha256, rows.tokens.dtype, *alike)


class _Compaction:
    """A compaction in progress, with the counts of its work so far."""

    def __init__(self, catalog: Catalog, layout: Layout, segment_rows: int) -> None:
        self._catalog = catalog
        self._layout = layout
        self._segment_rows = segment_rows
        self.merged_files: dict[str, int] = {}
        self.segments_replaced = 0
        self.segments_written = 0
        self.unreadable: dict[str, str] = {}
        self.longest_lock_seconds = 0.0

    def merge_parquet_files(self, tables: Iterable[str]) -> None:
        """Merge the small files of tables, stage by stage."""
        for table in tables:
            for target_bytes in MERGE_BYTES:
                # Each merge leaves fewer files, so that this ends unless other processes write faster.
                while merged := self._merge_some(table, target_bytes):
                    self.merged_files[table] = self.merged_files.get(table, 0) + merged

    def _merge_some(self, table: str, target_bytes: int) -> int:
        # Checked without the lock: a step without work must not make writers wait.
        if not (merges := self._merges(table, target_bytes)):
            return 0
        body = partial(Transaction.merge_files, table=table, target_bytes=target_bytes, merges=merges)
        return self._step(f"merge files of {table}", body)

    def _merges(self, table: str, target_bytes: int) -> int:
        """Return the number of merged files that a step makes from the table's small files; 0 for fewer than two."""
        (files, small, small_bytes), *_ = self._catalog.metadata(_FILES, {"name": table, "size": target_bytes})
        if small < 2:
            return 0
        step_bytes: float = max(STEP_FILES, STEP_SHARE * files) * small_bytes / small
        return max(1, math.ceil(min(step_bytes, STEP_BYTES) / target_bytes))

    def rewrite_segments(self) -> None:
        """Read small segments one after another, and write a large segment whenever there are enough rows."""
        groups: dict[tuple[object, ...], _Group] = {}
        for segment, builds in self._small_segments():
            try:
                rows = self._read(segment, builds)
            except ArraysError as error:
                _logger.warning("not compacted: %s", error)
                self.unreadable[segment] = str(error)
                continue
            group = groups.setdefault(_kind(rows), _Group())
            group.add(segment, rows, builds)
            if sum(map(len, groups.values())) >= self._segment_rows:
                largest = max(groups, key=lambda key: len(groups[key]))
                self._write(groups.pop(largest))
        for group in groups.values():
            self._write(group)

    def _read(self, segment: str, builds: list[_BuildSpan]) -> Rows:
        rows = read_segment(self._layout.arrays / segment)
        # Without this check, builds would silently get the rows of the builds after them.
        if (needed := max(build.offset + build.drawn for build in builds)) > len(rows):
            raise ArraysError(
                f"segment {self._layout.arrays / segment} has {len(rows)} rows, its builds expect {needed}: restore "
                "the folder from a backup"
            )
        return rows

    def _small_segments(self) -> Iterator[tuple[str, list[_BuildSpan]]]:
        segments: dict[str, list[_BuildSpan]] = {}
        for row in self._catalog.read(_PLACED).to_pylist():
            build = _BuildSpan(row["build_id"], row["drawn"], row["generation"], row["segment_offset"])
            segments.setdefault(row["segment"], []).append(build)
        for segment, builds in segments.items():
            if sum(build.drawn for build in builds) < self._segment_rows // 2:
                yield segment, builds

    def _write(self, group: _Group) -> None:
        if len(group.segments) < 2:
            return
        self._catalog.check_there()
        segment = uuid4().hex
        offsets = write_segment(self._layout.arrays / segment, group.blocks)
        rows = [
            {"build_id": build.build_id, "generation": build.generation + 1, "segment": segment}
            | {"segment_offset": offset, "created": now()}
            for build, offset in zip(group.builds, offsets, strict=True)
        ]
        copied = pa.Table.from_pylist(rows)

        def place(transaction: Transaction) -> None:
            # Since the builds were read, a merge may have moved them, or they were put in quarantine.
            transaction.insert("placements", transaction.read(_STILL_THERE, copied=copied))

        self._step(f"rewrite {len(group.segments)} segments", place)
        self.segments_replaced += len(group.segments)
        self.segments_written += 1

    def _step(self, message: str, body: Callable[[Transaction], Result]) -> Result:
        start = time.monotonic()

        def timed(transaction: Transaction) -> Result:
            nonlocal start
            start = time.monotonic()
            return body(transaction)

        result, _ = self._catalog.transact("molbuffer", message, {"maintenance": "compact"}, timed)
        held = time.monotonic() - start
        self.longest_lock_seconds = max(self.longest_lock_seconds, held)
        give_way(held)
        return result


def compact(
    catalog: Catalog,
    layout: Layout,
    *,
    segment_rows: int = SEGMENT_ROWS,
) -> CompactReport:
    """Merge small Parquet files and rewrite small segments; the caller must hold the maintenance lock.

    Args:
        catalog: the catalog of the store.
        layout: the paths of the store's files.
        segment_rows: the approximate number of rows of a large segment; segments with less than half are rewritten.

    Raises:
        StoreModeError: the store was opened for reading.
        StoreWriteError: the disk is full or failed; the completed steps are kept.
        StoreError: the store cannot be read or written.
    """
    compaction = _Compaction(catalog, layout, segment_rows)
    # Files are merged first, since reading a table takes 100 KB of memory for each of its files.
    compaction.merge_parquet_files(QUERYABLE_TABLES)
    compaction.rewrite_segments()
    compaction.merge_parquet_files(["placements"])
    files = catalog.files(QUERYABLE_TABLES, catalog.newest()).values()
    return CompactReport(
        merged_files=compaction.merged_files,
        files=sum(len(table.whole) + len(table.partial) for table in files),
        segments_replaced=compaction.segments_replaced,
        segments_written=compaction.segments_written,
        unreadable=compaction.unreadable,
        longest_lock_seconds=compaction.longest_lock_seconds,
    )
