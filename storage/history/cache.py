"""The decoded cache: the rows of a store's segments, decoded once, in one memory-mapped file.

A training batch is a few hundred rows from anywhere in the history. Zarr would decode a whole chunk for each of them
(186 ms for 256 rows over 100 segments). Segments are therefore decoded once into records of fixed width, in the order
in which they were first requested, and batches are gathered from a memory map of these records.

    CACHE/decoded/<store uuid>/manifest.json       the name of the rows file, and the place of each segment in it
    CACHE/decoded/<store uuid>/rows-<random>.bin   the records
    CACHE/decoded/<store uuid>.lock                held while these are changed; outside, so that eviction leaves it

CACHE is an argument, the environment variable MOLBUFFER_CACHE, or the user's cache folder; it never lies in the store,
so that read-only and remote stores have a cache too.

Only the rows that the manifest lists are valid, and the manifest is replaced in one step after the rows are on the
disk. A killed writer leaves a tail or a file that is not listed, which the next writer overwrites or deletes. A rows
file is only ever extended; wider rows, or the limit on the size, lead to a new file, and readers keep the map of the
old one. The cache can be deleted at any time, and any damage to it leads to decoding again: the manifest and every
record have a checksum, which is compared when they are read.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import BinaryIO

import numpy as np
import platformdirs
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from molbuffer.storage.errors import CacheError
from molbuffer.storage.files import PRIVATE_FOLDER, Place, system_advice
from molbuffer.storage.history.cache_manifest import (
    MANIFEST_NAME,
    CachedSegment,
    CacheManifest,
    read_manifest,
    write_manifest,
)
from molbuffer.storage.history.mapped_rows import MappedRows
from molbuffer.storage.history.record_checksums import damaged, seal
from molbuffer.storage.history.record_layout import RowLayout
from molbuffer.storage.rows import Rows
from molbuffer.storage.segments import read_segment

LOCATION_VARIABLE = "MOLBUFFER_CACHE"
SUBFOLDER = "decoded"
DEFAULT_LIMIT_BYTES = 32 * 10**9
_ROWS_FILE = re.compile(r"rows-.*\.bin")

# New segments are decoded and listed in portions of about this many rows, which limits the memory (86 MB at 80 tokens)
# and the rows that the next process decodes again after a kill.
_PORTION_ROWS = 200_000

_logger = logging.getLogger("molbuffer.storage.cache")


def default_folder() -> Path:
    """Return the default folder for caches: $MOLBUFFER_CACHE, or else the user's cache folder."""
    return Path(os.environ.get(LOCATION_VARIABLE) or platformdirs.user_cache_dir("molbuffer"))


class DamagedRecordsError(Exception):
    """A record of the cache is damaged; the callers in this package catch the error and make the cache again.

    Attributes:
        file: the rows file with the record.
    """

    def __init__(self, file: Path) -> None:
        super().__init__(f"a record of the decoded cache {file} is damaged")
        self.file = file


@dataclass(frozen=True)
class CachedRows:
    """A memory map of decoded rows, which later changes of the cache do not affect.

    Attributes:
        segments: the place of the rows of each segment, by the name of the segment.
        layout: the shape of a record.
        records: the records of the rows.
    """

    segments: Mapping[str, CachedSegment]
    layout: RowLayout
    records: MappedRows

    def take(self, positions: NDArray[np.int64]) -> NDArray[np.uint32]:
        """Return a copy of the records at positions [n].

        Raises:
            DamagedRecordsError: a record is damaged.
        """
        records = self.records.take(positions)
        if damaged(records, positions):
            raise DamagedRecordsError(self.records.path)
        return records

    def gather(self, positions: NDArray[np.int64]) -> Rows:
        """Return the rows at positions [n], as views of a new block of memory.

        Raises:
            DamagedRecordsError: a record is damaged.
        """
        return self.layout.split(self.take(positions))


@dataclass(frozen=True)
class DecodedCache:
    """The decoded cache of one store.

    Attributes:
        store_uuid: the identity of the store, by which a moved store finds its cache again.
        arrays: the folder of the store's segments.
        folder: the folder CACHE of the caches of all stores.
        limit_bytes: the size limit of all caches together, in bytes. The caches of the stores not used for longest are
            evicted first, and then the rows of this store that were not requested. Requested rows are cached even if
            they alone exceed the limit.
    """

    store_uuid: str
    arrays: Place
    folder: Path = field(default_factory=default_folder)
    limit_bytes: int = DEFAULT_LIMIT_BYTES

    def pin(self, segments: Sequence[str]) -> CachedRows:
        """Return a map of the rows of the named segments, after decoding those that the cache lacks.

        Raises:
            ArraysError: a segment to decode is missing or damaged in the store.
            CacheError: the disk is full, or the folder cannot be written.
        """
        wanted = list(dict.fromkeys(segments))
        if (rows := self._pin_decoded(wanted)) is not None:
            return rows
        with self._writing():
            return self._decoded(self._current(), wanted)

    def rebuild(self, segments: Sequence[str], damaged_file: Path) -> CachedRows:
        """Make the cache again without a damaged file, unless another process has done so, and return as ``pin`` does.

        Raises:
            ArraysError: a segment to decode is missing or damaged in the store.
            CacheError: the disk is full, or the folder cannot be written.
        """
        with self._writing():
            manifest = self._current()
            if manifest.file == damaged_file.name:
                _logger.warning("the decoded cache %s is damaged on the disk; decoding again", damaged_file)
                manifest = CacheManifest()
            return self._decoded(manifest, list(dict.fromkeys(segments)))

    def _decoded(self, manifest: CacheManifest, wanted: Sequence[str]) -> CachedRows:
        try:
            return self._map(self._shrink(self._extend(manifest, wanted), wanted))
        except DamagedRecordsError as error:
            _logger.warning("%s; decoding again", error)
            return self._map(self._shrink(self._extend(CacheManifest(), wanted), wanted))

    @property
    def _own(self) -> Path:
        """The folder of this store's cache."""
        return self.folder / SUBFOLDER / self.store_uuid

    def _pin_decoded(self, wanted: Sequence[str]) -> CachedRows | None:
        """Return a map of the wanted segments without taking the lock; None if the cache lacks one or is damaged."""
        try:
            manifest = read_manifest(self._own)
            if manifest is None or not manifest.segments.keys() >= set(wanted):
                return None
            rows = self._map(manifest)
        except (OSError, ValueError):
            # The cache is damaged, or another process has replaced it in the meantime: the caller takes the lock.
            return None
        # The time of use only determines the order of eviction; a cache on a read-only disk can be used as well.
        with suppress(OSError):
            os.utime(self._own / MANIFEST_NAME)
        return rows

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the lock of this store's cache, and raise errors of the disk as a ``CacheError``."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._own.parent.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
            with _lock(self._own):
                self._own.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
                yield
        except OSError as error:
            advice = system_advice(error) or "Correct the cause"
            raise CacheError(
                f"cannot write the decoded cache in {self.folder}: {error}. {advice}, or set {LOCATION_VARIABLE} to "
                "another folder"
            ) from error

    def _current(self) -> CacheManifest:
        try:
            return read_manifest(self._own) or CacheManifest()
        except ValueError as error:
            _logger.warning("the decoded cache %s is damaged (%s); decoding again", self._own, error)
            return CacheManifest()

    def _map(self, manifest: CacheManifest) -> CachedRows:
        records = MappedRows(self._own / manifest.file, manifest.rows, manifest.layout.words)
        return CachedRows(manifest.segments, manifest.layout, records)

    def _extend(self, manifest: CacheManifest, wanted: Sequence[str]) -> CacheManifest:
        """Decode the wanted segments that are not in the cache."""
        for portion in self._decode([name for name in wanted if name not in manifest.segments]):
            layout = reduce(RowLayout.covering, portion.values(), manifest.layout)
            if layout != manifest.layout:
                manifest = self._rewrite(manifest, layout, manifest.segments)
            manifest = self._append(manifest, portion)
        return manifest

    def _decode(self, names: Sequence[str]) -> Iterator[dict[str, Rows]]:
        portion: dict[str, Rows] = {}
        for name in names:
            portion[name] = read_segment(self.arrays / name)
            if sum(map(len, portion.values())) >= _PORTION_ROWS:
                yield portion
                portion = {}
        if portion:
            yield portion

    def _append(self, manifest: CacheManifest, portion: Mapping[str, Rows]) -> CacheManifest:
        segments, position = dict(manifest.segments), manifest.rows
        with _open_at(self._own / manifest.file, manifest.total_bytes) as file:
            for name, rows in portion.items():
                file.write(seal(manifest.layout.pack(rows), position).data)
                segments[name] = CachedSegment(position, len(rows), str(rows.vocabulary_sha256), rows.optional_widths())
                position += len(rows)
        manifest = replace(manifest, segments=segments)
        write_manifest(self._own, manifest)
        return manifest

    def _rewrite(self, manifest: CacheManifest, layout: RowLayout, keep: Iterable[str]) -> CacheManifest:
        """Copy the segments to keep into a new rows file of the given layout."""
        old, fresh, segments, position = self._records(manifest), CacheManifest(layout=layout), {}, 0
        with _open_at(self._own / fresh.file, 0) as file:
            for name in keep:
                cached = manifest.segments[name]
                for start in range(cached.position, cached.position + cached.rows, _PORTION_ROWS):
                    stop = min(start + _PORTION_ROWS, cached.position + cached.rows)
                    # New checksums would make damaged records look sound.
                    if damaged(old[start:stop], np.arange(start, stop)):
                        raise DamagedRecordsError(self._own / manifest.file)
                    records = layout.repack(old[start:stop], manifest.layout)
                    file.write(seal(records, position + start - cached.position).data)
                segments[name] = replace(cached, position=position)
                position += cached.rows
        fresh = replace(fresh, segments=segments)
        write_manifest(self._own, fresh)
        return fresh

    def _records(self, manifest: CacheManifest) -> NDArray[np.uint32]:
        """Return a map of the records of the file, for reading them in order."""
        shape = (manifest.rows, manifest.layout.words)
        if not manifest.rows:  # An empty file cannot be mapped.
            return np.zeros(shape, np.uint32)
        return np.memmap(self._own / manifest.file, np.uint32, "r", shape=shape)

    def _shrink(self, manifest: CacheManifest, wanted: Sequence[str]) -> CacheManifest:
        """Evict rows beyond the limit: the caches of other stores by age, then unwanted rows of this store."""
        others = evict(self.folder, self.limit_bytes - manifest.total_bytes, spare=self.store_uuid)
        if others + manifest.total_bytes <= self.limit_bytes:
            return manifest
        if manifest.segments.keys() > set(wanted):
            manifest = self._rewrite(manifest, manifest.layout, wanted)
        if others + manifest.total_bytes > self.limit_bytes:
            _logger.warning("rows in use take %d bytes, over the limit of %d", manifest.total_bytes, self.limit_bytes)
        return manifest


def evict(folder: Path, limit_bytes: int, spare: str | None = None) -> int:
    """Delete the caches of the stores used longest ago until the others take at most ``limit_bytes``.

    Args:
        folder: the folder CACHE of the caches of all stores.
        limit_bytes: the limit in bytes; with a negative one, all caches are deleted that can be.
        spare: the uuid of a store whose cache is neither counted nor deleted. Caches that another process is writing
            are not deleted either.

    Returns:
        The size of the remaining caches, in bytes.
    """
    with os.scandir(folder / SUBFOLDER) as entries:
        stores = [Path(entry) for entry in entries if entry.is_dir() and entry.name != spare]
    sizes = {store: sum(map(_size, _files_of(store))) for store in stores}
    left = sum(sizes.values())
    if left <= limit_bytes:
        return left
    for store in sorted(stores, key=_last_used):
        if left <= limit_bytes:
            break
        with suppress(Timeout), _lock(store, wait=False):
            for file in _files_of(store):
                Path(file).unlink(missing_ok=True)
            left -= sizes[store]
    return left


def _files_of(store: Path) -> list[os.DirEntry[str]]:
    """Return the files of a store's cache, the manifest first, so that files left by a kill are not listed."""
    # Only files with names of the cache: CACHE may be set to a folder with other files, which must stay. Globs would be
    # slow: every decoding lists the caches of all stores, of which there may be thousands.
    with suppress(FileNotFoundError), os.scandir(store) as entries:
        rows = [entry for entry in entries if entry.name == MANIFEST_NAME or _ROWS_FILE.fullmatch(entry.name)]
        return sorted(rows, key=lambda entry: entry.name != MANIFEST_NAME)
    return []


def _size(file: os.DirEntry[str]) -> int:
    # Another process may replace the file at this moment.
    with suppress(FileNotFoundError):
        return file.stat().st_size
    return 0


def _last_used(store: Path) -> float:
    with suppress(FileNotFoundError):
        return (store / MANIFEST_NAME).stat().st_mtime
    return 0.0


def _lock(store: Path, *, wait: bool = True) -> FileLock:
    return FileLock(store.parent / f"{store.name}.lock", timeout=-1 if wait else 0)


@contextmanager
def _open_at(path: Path, position: int) -> Iterator[BinaryIO]:
    """Open a file, which is made if it is missing, to write from a position on; the rest of the file is cut off.

    The file is written to rather than mapped, so that a full disk is an error and not a signal that ends the process.
    """
    path.touch()
    with path.open("r+b") as file:
        file.seek(position)
        yield file
        file.truncate()
