"""The only Zarr code: one immutable segment of token arrays per commit.

A segment is a Zarr v3 group with the rows of the blocks of one commit, one block after another:

    zarr.json     attributes: format, segment (its own name, so that folders that were exchanged are noticed),
                  vocabulary_sha256, rows, arrays (their names, so that a lost one is noticed)
    tokens        uint8 or uint16 [n, L], 0 after the end of a row; L is the widest block's
    lengths       int32 [n]
    log_probs     float32 [n, L], 0 after the end of a row
    latents       float32 [n, d], only when a block has latents; NaN for the rows (and columns) of blocks without
    latent_log_probs    float32 [n], only when a block has them; NaN for the rows of blocks without
    source_tokens       as tokens [n, S], and
    source_lengths      int32 [n], only when a block has sources; of length 0 in the rows of blocks without

It is created at its final shape by one writer and never appended to: an append resizes before it writes, so that a
kill in between leaves zeros inside the shape, and appends from two processes lose rows without an error.

Whole arrays are stored as one chunk each (up to a bound), with chunk files directly in the array's folder: commits
are small, a reader decodes whole segments into its cache, and every further file or directory is one more fsync. The
lowest zstd setting costs no time over no compression and saves a third. Each chunk carries a CRC32C, and every chunk
is written, even one of zeros only: Zarr reads an absent chunk as zeros, which would hide a lost file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import Store
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.storage import LocalStore, ObjectStore

from molbuffer.storage.errors import ArraysError
from molbuffer.storage.files.durable import sync_tree
from molbuffer.storage.files.places import Place

FORMAT = "molbuffer-segment-1"

ARRAYS: Mapping[str, tuple[str, ...]] = {
    "tokens": ("uint8", "uint16"),
    "lengths": ("int32",),
    "log_probs": ("float32",),
    "latents": ("float32",),
    "latent_log_probs": ("float32",),
    "source_tokens": ("uint8", "uint16"),
    "source_lengths": ("int32",),
}
"""The arrays that a segment can have, and the types of each."""
_ALWAYS = ("tokens", "lengths", "log_probs")
_TOGETHER = {"source_tokens", "source_lengths"}

_COMPRESSION_LEVEL = -5
# A chunk is decoded whole: this bounds the memory it takes (160 MB at 80 tokens) when segments are merged.
_MAX_CHUNK_ROWS = 500_000


@dataclass(frozen=True)
class SegmentRows:
    """Rows read from a segment.

    Attributes:
        tokens: uint8 or uint16 [n, L]; lengths: int32 [n]; log_probs: float32 [n, L].
        latents: float32 [n, d], None when no row of the segment has any; latent_log_probs: float32 [n], likewise.
        vocabulary_sha256: what the tokens belong to.
        source_tokens: as ``tokens`` [n, S]; source_lengths: int32 [n], 0 for rows without a source. None when no row
            of the segment has one.
    """

    tokens: NDArray[np.unsignedinteger]
    lengths: NDArray[np.int32]
    log_probs: NDArray[np.float32]
    latents: NDArray[np.float32] | None
    vocabulary_sha256: str
    latent_log_probs: NDArray[np.float32] | None = None
    source_tokens: NDArray[np.unsignedinteger] | None = None
    source_lengths: NDArray[np.int32] | None = None

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], vocabulary_sha256: str) -> SegmentRows:
        """The rows that arrays have, by name."""
        found: dict[str, Any] = {name: arrays.get(name) for name in ARRAYS}
        return cls(**found, vocabulary_sha256=vocabulary_sha256)

    def __len__(self) -> int:
        return len(self.lengths)

    def part(self, rows: slice) -> SegmentRows:
        """Some of the rows, as views."""
        there = {name: array[rows] for name in ARRAYS if (array := getattr(self, name)) is not None}
        return replace(self, **there)


class Block(Protocol):
    """What is needed of the rows of a block: ``Samples`` and ``SegmentRows`` have it."""

    @property
    def tokens(self) -> NDArray[np.unsignedinteger]: ...
    @property
    def lengths(self) -> NDArray[np.int32]: ...
    @property
    def log_probs(self) -> NDArray[np.float32]: ...
    @property
    def latents(self) -> NDArray[np.float32] | None: ...
    @property
    def latent_log_probs(self) -> NDArray[np.float32] | None: ...
    @property
    def source_tokens(self) -> NDArray[np.unsignedinteger] | None: ...
    @property
    def source_lengths(self) -> NDArray[np.int32] | None: ...
    @property
    def vocabulary_sha256(self) -> str: ...
    def __len__(self) -> int: ...


def write_segment(folder: Place, blocks: Sequence[Block]) -> list[int]:
    """Writes the rows of all blocks as a new segment and returns once it is on the disk.

    Args:
        folder: where the segment will be; must not exist.
        blocks: at least one, all of one vocabulary; a block may be empty.

    Returns:
        The row of the segment at which each block starts.

    Raises:
        ArraysError: the folder exists, there is no block, or vocabularies differ.
        OSError: the disk is full or failed.
    """
    vocabulary_sha256 = _one_vocabulary(folder, blocks)
    if folder.exists():
        raise ArraysError(f"segment {folder} exists; segments are written once, each under a new name")
    arrays = _join(blocks)
    rows = len(arrays["lengths"])
    attributes = {"format": FORMAT, "segment": folder.name, "vocabulary_sha256": vocabulary_sha256, "rows": rows}
    attributes["arrays"] = list(arrays)
    group = zarr.create_group(store=_store(folder), zarr_format=3, attributes=attributes)
    for name, array in arrays.items():
        _create_array(group, name, array)
    sync_tree(folder)
    ends = np.cumsum([len(block) for block in blocks])
    return [0, *ends[:-1].tolist()]


def read_segment(folder: Place, offset: int = 0, n: int | None = None) -> SegmentRows:
    """Reads the rows [offset, offset + n) of a segment, or all from ``offset`` on.

    Raises:
        ArraysError: the segment or one of its arrays is missing, damaged, of another format, or has fewer rows.
    """
    group, header = _open_segment(folder)
    stop = header.rows if n is None else offset + n
    if not 0 <= offset <= stop <= header.rows:
        raise ArraysError(f"segment {folder} has {header.rows} rows, asked for rows {offset} to {stop}")
    arrays = {name: _read_array(group, folder, name, header.rows, slice(offset, stop)) for name in header.arrays}
    return SegmentRows.of(arrays, header.vocabulary_sha256)


@dataclass(frozen=True)
class SegmentHeader:
    """What a segment says of itself.

    Attributes:
        segment: the name under which it was written.
        arrays: the names of its arrays.
    """

    segment: str
    vocabulary_sha256: str
    rows: int
    arrays: tuple[str, ...]


def inspect_segment(folder: Place) -> SegmentHeader:
    """What a segment says of itself, after its arrays were found to have its rows and all their chunks.

    Nothing is decoded: a chunk that is there may yet be damaged.

    Raises:
        ArraysError: the segment, an array or a chunk is missing, or their descriptions are damaged.
    """
    group, header = _open_segment(folder)
    for name in header.arrays:
        with _named_in_errors(folder, name):
            _find_array(group, name, header.rows)
    return header


def _store(folder: Place, *, read_only: bool = False) -> Store:
    """Where Zarr finds a segment."""
    if isinstance(folder, Path):
        return LocalStore(folder, read_only=read_only)
    return ObjectStore(folder.client(), read_only=read_only)


def _one_vocabulary(folder: Place, blocks: Sequence[Block]) -> str:
    vocabularies = sorted({block.vocabulary_sha256 for block in blocks})
    if len(vocabularies) != 1:
        raise ArraysError(f"segment {folder} needs blocks of exactly one vocabulary, got {vocabularies or 'no block'}")
    return vocabularies[0]


def _join(blocks: Sequence[Block]) -> dict[str, NDArray[Any]]:
    """The arrays of a segment, by name: the blocks below one another, padded to the widest."""
    sizes = [len(block) for block in blocks]
    arrays = {}
    for name in ARRAYS:
        parts = [getattr(block, name) for block in blocks]
        if name in _ALWAYS or any(part is not None for part in parts):
            arrays[name] = _stack(parts, sizes, array_type(name, parts), empty_value(name))
    return arrays


def array_type(name: str, parts: Iterable[NDArray[Any] | None]) -> np.dtype[Any]:
    """The type of an array that has room for the numbers of all parts."""
    smallest = np.dtype(ARRAYS[name][0])
    if len(ARRAYS[name]) == 1:
        return smallest
    return np.result_type(smallest, *(part.dtype for part in parts if part is not None))


def empty_value(name: str) -> float:
    """What stands in an array for rows that have nothing there."""
    return np.nan if name in ("latents", "latent_log_probs") else 0


def _stack(
    parts: Sequence[NDArray[Any] | None], sizes: Sequence[int], dtype: np.dtype[Any], fill: float
) -> NDArray[Any]:
    """One array [sum of sizes, widest] of parts [size, width], or [size]; what no part covers is ``fill``."""
    widths = zip(*(part.shape[1:] for part in parts if part is not None), strict=True)
    joined = np.full((sum(sizes), *map(max, widths)), fill, dtype)
    start = 0
    for part, size in zip(parts, sizes, strict=True):
        if part is not None:
            put_rows(joined, slice(start, start + size), part)
        start += size
    return joined


def put_rows(array: NDArray[Any], rows: slice | NDArray[np.integer], values: NDArray[Any]) -> None:
    """Writes values [n] or [n, width] into some rows of an array that is as wide or wider."""
    if array.ndim == 1:
        array[rows] = values
    else:
        array[rows, : values.shape[1]] = values


def _create_array(group: zarr.Group, name: str, data: NDArray[Any]) -> None:
    group.create_array(
        name,
        data=data,
        # Zarr has no chunk of size 0, though an array may be empty.
        chunks=(max(1, min(len(data), _MAX_CHUNK_ROWS)), *(max(1, width) for width in data.shape[1:])),
        compressors=[ZstdCodec(level=_COMPRESSION_LEVEL), Crc32cCodec()],
        chunk_key_encoding={"name": "default", "separator": "."},
        config={"write_empty_chunks": True},
    )


def _open_segment(folder: Place) -> tuple[zarr.Group, SegmentHeader]:
    try:
        group = zarr.open_group(store=_store(folder, read_only=True), mode="r", zarr_format=3)
        said: dict[str, Any] = group.attrs.asdict()
        found = said["format"]
        header = SegmentHeader(
            said["segment"], said["vocabulary_sha256"], int(said["rows"]), tuple(map(str, said["arrays"]))
        )
        if lost := set(_ALWAYS).difference(header.arrays):
            raise ValueError(f"it does not name the arrays {sorted(lost)}")
        if unknown := set(header.arrays).difference(ARRAYS):
            raise ValueError(f"it names the arrays {sorted(unknown)}, which this release does not know")
        if len(_TOGETHER.intersection(header.arrays)) == 1:
            raise ValueError(f"it names one of the arrays {sorted(_TOGETHER)} without the other")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ArraysError(f"segment {folder} is missing: restore the folder from a backup") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ArraysError(f"segment {folder} has a damaged zarr.json: {error!r}; restore it from a backup") from error
    if found != FORMAT:
        raise ArraysError(f"segment {folder} has format {found!r}, expected {FORMAT!r}; update molbuffer")
    if header.segment != folder.name:
        raise ArraysError(
            f"segment {folder} was written as {header.segment!r}: folders were exchanged or renamed, and its rows are "
            "not those that belong here; give each folder the name it was written under"
        )
    return group, header


def _read_array(group: zarr.Group, folder: Place, name: str, rows: int, selected: slice) -> NDArray[Any]:
    with _named_in_errors(folder, name):
        return np.asarray(_find_array(group, name, rows)[selected])


def _find_array(group: zarr.Group, name: str, rows: int) -> zarr.Array[Any]:
    """An array that has all its chunks; raises what ``_named_in_errors`` knows."""
    array = group[name]
    if not isinstance(array, zarr.Array) or array.shape[0] != rows:
        raise ValueError(f"expected an array of {rows} rows, got {array}")
    # Zarr reads an absent chunk as zeros.
    if (absent := array.nchunks - array.nchunks_initialized) > 0:
        raise ValueError(f"{absent} of {array.nchunks} chunks are missing")
    return array


@contextmanager
def _named_in_errors(folder: Place, name: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise ArraysError(
            f"array {name!r} of segment {folder} is missing or damaged: {error}; restore the folder from a backup"
        ) from error
