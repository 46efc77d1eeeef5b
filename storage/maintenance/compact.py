"""Compact a store: many small files become few large ones, and every snapshot stays as it was.

    Parquet   each commit leaves one small file in each table that it adds to. DuckLake merges adjacent ones; each row
              keeps the number of the snapshot that added it, so that older ones read a part of the merged file.
    Zarr      each commit leaves one small segment. Their rows are written again as large segments, and once those are
              on the disk, a row in ``placements`` for each build says where its arrays are now. Older snapshots see
              the old segments, which stay until no snapshot that is kept refers to them (``maintenance.vacuum``).

Both go on while others write: the commit lock is taken for one bounded step at a time. A kill leaves files that nothing
names, as with any commit.
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
"""The sizes to which Parquet files are merged, stage by stage: a row is written about once a stage."""

STEP_BYTES = 8_000_000
STEP_FILES = 200
STEP_SHARE = 0.01
"""A step, under the commit lock, merges ``STEP_FILES`` small files, or this share of all files where that is more;
but no more bytes than these, or than those of one merged file.

DuckLake reads its lists of all files and of all their statistics in each step, which takes about as long as to merge
a hundredth of them (0.1 s of the processor each with 30,000 files). So the steps are short while there are few files,
and do not become more where there are many."""

SEGMENT_ROWS = 200_000
"""About how many rows a large segment has; bounds the memory (some 90 MB at 80 tokens, three times while writing)."""

_logger = logging.getLogger("molbuffer.storage.compact")
Result = TypeVar("Result")

# Builds by where their arrays are now, in the order of the history.
_PLACED = """SELECT build_id, drawn, generation, segment, segment_offset FROM {placed_builds} AS builds
    WHERE segment NOT IN (SELECT segment FROM {quarantine})
    ORDER BY run_id, iteration, event, sampler_order, chunk"""
# Of all tables; and of one, those that are too small, with their bytes.
_FILES = """SELECT count(*), count(*) FILTER (small), coalesce(sum(file_size_bytes) FILTER (small), 0)::BIGINT FROM (
        SELECT file_size_bytes, file_size_bytes < $size AND table_name = $name AND tables.end_snapshot IS NULL AS small
        FROM METADATA.ducklake_data_file AS files JOIN METADATA.ducklake_table AS tables USING (table_id)
        WHERE files.end_snapshot IS NULL)"""
# Of the builds whose arrays were copied, those that are still where they were copied from.
_STILL_THERE = f"""SELECT copied.* FROM copied JOIN ({_PLACED}) AS placed
    ON placed.build_id = copied.build_id AND placed.generation = copied.generation - 1"""


@dataclass(frozen=True)
class CompactReport:
    """What a compaction did.

    Attributes:
        merged_files: how many Parquet files of each table were merged; a file merged at two stages counts twice.
        files: how many Parquet files the newest snapshot has.
        segments_replaced: how many small segments were replaced.
        segments_written: how many large ones have their rows now.
        unreadable: small segments that are missing or damaged and were left as they are, with the error.
        longest_lock_seconds: the longest time for which other writers had to wait.
    """

    merged_files: Mapping[str, int]
    files: int
    segments_replaced: int
    segments_written: int
    unreadable: Mapping[str, str]
    longest_lock_seconds: float


@dataclass(frozen=True)
class _BuildSpan:
    """The rows [offset, offset + drawn) of a segment, in which a build lies; by its ``generation``-th placement."""

    build_id: str
    drawn: int
    generation: int
    offset: int


@dataclass
class _Group:
    """Rows that can be in one segment.

    Attributes:
        segments: the segments that the rows are from.
        builds: the builds that they belong to.
        blocks: the rows of each build.
    """

    segments: list[str] = field(default_factory=list)
    builds: list[_BuildSpan] = field(default_factory=list)
    blocks: list[Rows] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(map(len, self.blocks))

    def add(self, segment: str, rows: Rows, builds: list[_BuildSpan]) -> None:
        """Add the builds of a segment, whose rows are given."""
        self.segments.append(segment)
        for build in builds:
            self.builds.append(build)
            self.blocks.append(rows.take(slice(build.offset, build.offset + build.drawn)))


def _kind(rows: Rows) -> tuple[object, ...]:
    """Return what rows must have in common to be in one segment: others would make its arrays larger than their own."""
    alike = []
    for name, width in rows.optional_widths().items():
        axis = STORED[name].axis
        alike.append((name, width if axis is not None and axis.lengths is None else 1))
    return (rows.vocabulary_sha256, rows.tokens.dtype, *alike)


class _Compaction:
    """One compaction, and what it has done so far."""

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
                # A merge that finds two files leaves one less, so this ends unless others write faster.
                while merged := self._merge_some(table, target_bytes):
                    self.merged_files[table] = self.merged_files.get(table, 0) + merged

    def _merge_some(self, table: str, target_bytes: int) -> int:
        # Looked at without the lock: a step that has nothing to do must not make writers wait.
        if not (merges := self._merges(table, target_bytes)):
            return 0
        body = partial(Transaction.merge_files, table=table, target_bytes=target_bytes, merges=merges)
        return self._step(f"merge files of {table}", body)

    def _merges(self, table: str, target_bytes: int) -> int:
        """Return how many merged files a step is to make of the table's files that are too small; 0 without two."""
        (files, small, small_bytes), *_ = self._catalog.metadata(_FILES, {"name": table, "size": target_bytes})
        if small < 2:
            return 0
        step_bytes: float = max(STEP_FILES, STEP_SHARE * files) * small_bytes / small
        return max(1, math.ceil(min(step_bytes, STEP_BYTES) / target_bytes))

    def rewrite_segments(self) -> None:
        """Read small segments one after the other, and write a large one whenever there are rows for it."""
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
        # Copied all the same, its builds would get the rows of those that follow them, and nobody would notice.
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
            # A merge may have united builds with other rows since they were read, or they were put in quarantine.
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
    """Merge small Parquet files and rewrite small segments; the caller holds the maintenance lock.

    Args:
        catalog: of the store.
        layout: of the store.
        segment_rows: about how many rows a large segment has; segments with less than half are rewritten.

    Raises:
        StoreModeError: the store was opened for reading.
        StoreWriteError: the disk is full or failed; what was done until then stands.
        StoreError: the store cannot be read or written.
    """
    compaction = _Compaction(catalog, layout, segment_rows)
    # Files first: to read a table takes 100 KB of memory for each of its files.
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
