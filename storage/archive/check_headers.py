"""Check the headers of the arrays of an archive, which tell what these take before they are decoded.

A few kilobytes can decode to terabytes. So no array is read whose header names another codec than ours, or a size that
its chunks do not have.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from molbuffer.storage.archive.manifest import strict_json
from molbuffer.storage.archive.problem import Problem
from molbuffer.storage.errors import ArchiveFault
from molbuffer.storage.files import plain_file
from molbuffer.storage.segments import ARRAYS

_WIDEST_ROW = 65_536
# A segment is decoded whole, where it is read. Those of archives have 200,000 rows, or one build that has more.
_LARGEST_SEGMENT_BYTES = 8 * 10**9
_CODECS = ["bytes", "zstd", "crc32c"]
# What molbuffer writes has less than a thousand bytes.
_HEADER_BYTES, _HEADER_STRUCTURE = 16_384, 1_000


def wrong_arrays(folder: Path, most_bytes: int) -> Problem | None:
    """Return why the arrays of an archive are not to be decoded; None when they may be.

    Args:
        folder: of the archive.
        most_bytes: what all of them may take in memory, one after the other.
    """
    decoded = 0
    for segment in sorted((folder / "arrays").glob("*")):
        try:
            decoded += _decoded_bytes(segment)
        except (AttributeError, KeyError, IndexError, TypeError, ValueError, OSError) as error:
            said = f"segment {segment.name!r} has a header that molbuffer does not write: {error!r}"
            return Problem(ArchiveFault.ARRAYS, said)
        if decoded > most_bytes:
            said = f"its arrays take more than the limit of {most_bytes} bytes; raise it if you trust the archive"
            return Problem(ArchiveFault.TOO_LARGE, said)
    return None


def _decoded_bytes(segment: Path) -> int:
    """Return what the arrays of a segment take in memory, from the headers of the segment, its arrays and their chunks.

    Raises:
        AttributeError, KeyError, IndexError, TypeError, ValueError, OSError: a header is not as molbuffer writes it.
    """
    group = _header(segment)
    names = group["attributes"]["arrays"]
    # Headers repeated in the group's would be used in place of those that are checked here.
    if group.keys() != {"attributes", "zarr_format", "node_type"} or not {*names} <= ARRAYS.keys():
        raise ValueError(f"a group with {sorted(group)} and the arrays {names}")
    if {path.name for path in segment.iterdir()} != {"zarr.json", *names} or len(names) < 3:
        raise ValueError(f"the folder does not hold the arrays {names}")
    rows = group["attributes"]["rows"]
    if type(rows) is not int:
        raise ValueError(f"the segment has {rows!r} rows")
    size = sum(_array_bytes(segment / str(name), rows) for name in names)
    if size > _LARGEST_SEGMENT_BYTES:
        raise ValueError(f"{size} bytes in memory, at most {_LARGEST_SEGMENT_BYTES} are expected")
    return size


def _header(folder: Path) -> Any:
    content = plain_file(folder / "zarr.json", _HEADER_BYTES)
    return strict_json(content, structure=_HEADER_STRUCTURE, fractions=True)


def _array_bytes(folder: Path, rows: int) -> int:
    header = _header(folder)
    shape, chunks = header["shape"], header["chunk_grid"]["configuration"]["chunk_shape"]
    storage = (header["zarr_format"], header["node_type"], header["chunk_grid"]["name"], header["storage_transformers"])
    if storage != (3, "array", "regular", []) or [codec["name"] for codec in header["codecs"]] != _CODECS:
        raise ValueError(
            f"{folder.name} is stored in another way than molbuffer's arrays: {storage}, {header['codecs']}"
        )
    if header["data_type"] not in ARRAYS[folder.name] or not all(type(size) is int for size in (*shape, *chunks)):
        raise ValueError(f"{folder.name} has the type {header['data_type']} and the shape {shape}")
    wide = [max(1, size) for size in shape[1:]]
    if shape[0] != rows or rows < 0 or len(shape) > 2 or max(wide, default=1) > _WIDEST_ROW or chunks[1:] != wide:
        raise ValueError(f"{folder.name} has the shape {shape} in chunks of {chunks}, the segment has {rows} rows")
    if not 1 <= chunks[0] <= max(1, rows):
        raise ValueError(f"{folder.name} has chunks of {chunks}")
    row_bytes = int(math.prod(wide)) * np.dtype(str(header["data_type"])).itemsize
    _check_chunks(folder, expected=math.ceil(rows / chunks[0]), size=chunks[0] * row_bytes)
    return int(rows * row_bytes)


def _check_chunks(folder: Path, *, expected: int, size: int) -> None:
    """Check that an array has as many chunks as it should, each of the size that its header gives it when decoded."""
    chunks = [path for path in folder.iterdir() if path.name != "zarr.json"]
    if len(chunks) != expected:
        raise ValueError(f"{folder.name} has {len(chunks)} chunks, expected {expected}")
    for chunk in chunks:
        with chunk.open("rb") as file:
            found = zstd_content_bytes(file.read(_LONGEST_FRAME_HEADER))
        if found != size:
            raise ValueError(f"{folder.name}/{chunk.name} decodes to {found} bytes, expected {size}")


_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_LONGEST_FRAME_HEADER = 18


def zstd_content_bytes(frame: bytes) -> int:
    """Return the size that a zstd frame states, for which the decoder makes room (RFC 8878, section 3.1.1.1).

    Raises:
        ValueError: it is no such frame, or states no size.
    """
    if len(frame) < 5 or frame[:4] != _ZSTD_MAGIC:
        raise ValueError("a chunk is no zstd frame")
    descriptor = frame[4]
    single_segment = descriptor >> 5 & 1
    field_bytes = (single_segment, 2, 4, 8)[descriptor >> 6]
    start = 5 + (1 - single_segment) + (0, 1, 2, 4)[descriptor & 3]
    field = frame[start : start + field_bytes]
    if not field_bytes or len(field) != field_bytes:
        raise ValueError("a chunk does not say how large it is when decoded")
    return int.from_bytes(field, "little") + (256 if field_bytes == 2 else 0)
