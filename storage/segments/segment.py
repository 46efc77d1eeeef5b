"""The only Zarr code: one immutable segment of token arrays per commit.

A segment is a Zarr v3 group with the rows of the blocks of one commit, one block after another:

    zarr.json     attributes: format, segment (its own name, which reveals exchanged folders), vocabulary_sha256, rows,
                  arrays (their names, which reveal a lost array), headers (the sha256 of the zarr.json of each array),
                  checksum (of all these attributes)
    tokens, …     one array for each stored column of ``Rows`` that a block has, as wide as the widest block

It is created at its final shape by one writer and never appended to: an append resizes before it writes, so that a
kill in between leaves zeros inside the shape, and appends from two processes lose rows without an error.

Each array is stored as one chunk (up to a bound), with chunk files directly in the array's folder: commits are small, a
reader decodes whole segments into its cache, and every further file or directory needs one more fsync. The lowest zstd
level takes no longer than no compression and saves a third of the space. Each chunk carries a CRC32C, and every chunk
is written, even if it has only zeros: Zarr reads an absent chunk as zeros, which would hide a lost file. The
descriptions have checksums too, since one flipped bit in them changes the numbers (another type, another byte order).

Zarr is imported when the first segment is written or read: the import would take a third of the start time of a command
that only reads the catalog.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from molbuffer.storage.errors import ArraysError
from molbuffer.storage.files import Place, file_sha256, sync_paths, write_files
from molbuffer.storage.rows import STORED, Rows, check_complete

if TYPE_CHECKING:
    import zarr
    from zarr.abc.store import Store

SEGMENT_FORMAT = "molbuffer-segment-1"

ARRAYS: Mapping[str, tuple[str, ...]] = {
    name: tuple(str(dtype) for dtype in column.dtypes) for name, column in STORED.items()
}
"""The arrays that a segment can have, and the types of each."""

_HEADER = "zarr.json"
_COMPRESSION_LEVEL = -5
# A chunk is decoded whole: this bounds the memory it takes (160 MB at 80 tokens) when segments are merged.
_MAX_CHUNK_ROWS = 500_000


def write_segment(folder: Place, blocks: Sequence[Rows]) -> list[int]:
    """Write the rows of all blocks as a new segment and return once it is on the disk.

    Args:
        folder: the folder of the new segment, which must not exist.
        blocks: the rows, at least one block, all of one vocabulary; a block may be empty.

    Returns:
        The row of the segment at which each block starts.

    Raises:
        ArraysError: the folder exists, there is no block, or vocabularies differ.
        OSError: the disk is full or failed.
    """
    vocabulary_sha256 = _one_vocabulary(folder, blocks)
    if folder.exists():
        raise ArraysError(f"segment {folder} exists; segments are written once, each under a new name")
    write_files(folder, _encode(folder.name, vocabulary_sha256, blocks), sync_paths, named_in=[folder.parent])
    ends = np.cumsum([len(block) for block in blocks])
    return [0, *ends[:-1].tolist()]


def read_segment(folder: Place, offset: int = 0, n: int | None = None) -> Rows:
    """Return the rows [offset, offset + n) of a segment; if ``n`` is None, all rows from ``offset`` on.

    Raises:
        ArraysError: the segment or one of its arrays is missing, damaged, of another format, or has fewer rows.
    """
    group, header = _open_segment(folder)
    stop = header.rows if n is None else offset + n
    if not 0 <= offset <= stop <= header.rows:
        raise ArraysError(f"segment {folder} has {header.rows} rows, asked for rows {offset} to {stop}")
    arrays = {name: _read_array(group, folder, name, header, slice(offset, stop)) for name in header.arrays}
    try:
        return Rows(**arrays, vocabulary_sha256=header.vocabulary_sha256)
    except ValueError as error:
        raise ArraysError(f"segment {folder} does not hold rows: {error}; restore the folder from a backup") from error


@dataclass(frozen=True)
class SegmentHeader:
    """The header of a segment.

    Attributes:
        segment: the name under which the segment was written.
        vocabulary_sha256: the vocabulary of its tokens.
        rows: the number of rows.
        arrays: the names of its arrays.
        headers: the sha256 of the description of each array; empty in a segment of an earlier release.
    """

    segment: str
    vocabulary_sha256: str
    rows: int
    arrays: tuple[str, ...]
    headers: Mapping[str, str] = field(default_factory=dict)


def inspect_segment(folder: Place) -> SegmentHeader:
    """Return the header of a segment, after a check that each array has the right number of rows and all its chunks.

    Nothing is decoded, so that a damaged chunk is not noticed.

    Raises:
        ArraysError: the segment, an array or a chunk is missing, or their descriptions are damaged.
    """
    group, header = _open_segment(folder)
    for name in header.arrays:
        with _named_in_errors(folder, name):
            _find_array(group, folder, name, header)
    return header


def _store(folder: Place) -> Store:
    """Return the read-only Zarr store of a segment."""
    from zarr.storage import LocalStore, ObjectStore

    if isinstance(folder, Path):
        return LocalStore(folder, read_only=True)
    return ObjectStore(folder.client(), read_only=True)


def _encode(segment: str, vocabulary_sha256: str, blocks: Sequence[Rows]) -> dict[str, bytes]:
    """Return the content of the files of a segment by their paths in its folder, with the segment's zarr.json last.

    Zarr encodes into memory: encoding into a folder takes twice as long, since each step reads from the disk first.
    """
    import zarr
    from zarr.core.buffer import Buffer
    from zarr.storage import MemoryStore

    joined = Rows.concat(blocks)
    arrays = {name: array for name, array in joined.columns().items() if name in STORED}
    held: dict[str, Buffer] = {}
    group = zarr.create_group(store=MemoryStore(held), zarr_format=3)
    for name, array in arrays.items():
        _create_array(group, name, array)
    attributes: dict[str, Any] = {
        "format": SEGMENT_FORMAT,
        "segment": segment,
        "vocabulary_sha256": vocabulary_sha256,
        "rows": len(joined),
        "arrays": list(arrays),
        "headers": {name: hashlib.sha256(held[f"{name}/{_HEADER}"].to_bytes()).hexdigest() for name in arrays},
    }
    group.update_attributes({**attributes, "checksum": _checksum(attributes)})
    own = held.pop(_HEADER)
    return {path: held.pop(path).to_bytes() for path in list(held)} | {_HEADER: own.to_bytes()}


def _one_vocabulary(folder: Place, blocks: Sequence[Rows]) -> str:
    match list({block.vocabulary_sha256 for block in blocks}):
        case [str(vocabulary_sha256)]:
            return vocabulary_sha256
        case found:
            raise ArraysError(f"segment {folder} needs blocks of exactly one vocabulary, got {found or 'no block'}")


def _create_array(group: zarr.Group, name: str, data: NDArray[Any]) -> None:
    from zarr.codecs import Crc32cCodec, ZstdCodec

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
    import zarr

    try:
        group = zarr.open_group(store=_store(folder), mode="r", zarr_format=3)
        said: dict[str, Any] = group.attrs.asdict()
        found = said["format"]
        header = SegmentHeader(
            said["segment"],
            said["vocabulary_sha256"],
            int(said["rows"]),
            tuple(map(str, said["arrays"])),
        )
        if lost := {name for name, column in STORED.items() if column.required}.difference(header.arrays):
            raise ValueError(f"it does not name the arrays {sorted(lost)}")
        if unknown := set(header.arrays).difference(STORED):
            raise ValueError(f"it names the arrays {sorted(unknown)}, which this release does not know")
        check_complete(header.arrays)
        # Another format may compute the checksum in another way; it is reported below as another format.
        if found == SEGMENT_FORMAT:
            header = replace(header, headers=_headers(said))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ArraysError(f"segment {folder} is missing: restore the folder from a backup") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ArraysError(f"segment {folder} has a damaged zarr.json: {error!r}; restore it from a backup") from error
    if found != SEGMENT_FORMAT:
        raise ArraysError(f"segment {folder} has format {found!r}, expected {SEGMENT_FORMAT!r}; update molbuffer")
    if header.segment != folder.name:
        raise ArraysError(
            f"segment {folder} was written as {header.segment!r}: folders were exchanged or renamed, and this folder "
            "has the rows of another segment; give each folder the name under which it was written"
        )
    return group, header


def _checksum(attributes: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(attributes, sort_keys=True).encode()).hexdigest()


def _headers(attributes: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the checksums of the descriptions of arrays, after a check of the checksum of the attributes.

    Raises:
        ValueError: the attributes differ from those that were written.
    """
    own = dict(attributes)
    # Segments of an earlier release have no checksum.
    if (checksum := own.pop("checksum", None)) is None:
        return {}
    if checksum != _checksum(own) or own["headers"].keys() != set(own["arrays"]):
        raise ValueError("its attributes differ from those that were written: the checksum does not match")
    headers: Mapping[str, str] = own["headers"]
    return headers


def _read_array(group: zarr.Group, folder: Place, name: str, header: SegmentHeader, selected: slice) -> NDArray[Any]:
    with _named_in_errors(folder, name):
        return np.asarray(_find_array(group, folder, name, header)[selected])


def _find_array(group: zarr.Group, folder: Place, name: str, header: SegmentHeader) -> zarr.Array[Any]:
    """Return an array that has the right number of rows and all its chunks.

    Errors are of the types that ``_named_in_errors`` translates.
    """
    import zarr

    if header.headers and file_sha256(folder / name / _HEADER) != header.headers[name]:
        raise ValueError(f"{name}/{_HEADER} differs from the file that was written")
    array = group[name]
    if not isinstance(array, zarr.Array) or array.shape[0] != header.rows:
        raise ValueError(f"expected an array of {header.rows} rows, got {array}")
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
