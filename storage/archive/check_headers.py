"""Checks of the headers of the arrays of an archive, which give the size of the decoded arrays before decoding.

A few kilobytes can decode to terabytes. An array is therefore read only if its header names the codecs of molbuffer and
the size that its chunks have.
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
# A segment is decoded as a whole. Segments of archives have at most 200,000 rows, or one larger build.
_LARGEST_SEGMENT_BYTES = 8 * 10**9
_CODECS = ["bytes", "zstd", "crc32c"]
# Headers that molbuffer writes have less than a thousand bytes.
_HEADER_BYTES, _HEADER_STRUCTURE = 16_384, 1_000


def wrong_arrays(folder: Path, most_bytes: int) -> Problem | None:
    """Return the reason why the arrays of an archive must not be decoded; None if they may be.

    Args:
        folder: the folder of the archive.
        most_bytes: the limit of the size of all decoded arrays together, in bytes.
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
    """Return the size of the decoded arrays of a segment in bytes, from the headers of segment, arrays and chunks.

    Raises:
        AttributeError, KeyError, IndexError, TypeError, ValueError, OSError: molbuffer does not write such a header.
    """
    group = _header(segment)
    names = group["attributes"]["arrays"]
    # Zarr would use headers that are repeated in the header of the group in place of those that are checked here.
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
    """Check that an array has the expected number of chunks, and that each decodes to the expected size in bytes.

    Raises:
        ValueError: the number or the size of chunks is another one.
    """
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
    """Return the size that a zstd frame states, which the decoder allocates (RFC 8878, section 3.1.1.1).

    Raises:
        ValueError: the bytes are no zstd frame, or the frame states no size.
    """
    if len(frame) < 5 or frame[:4] != _ZSTD_MAGIC:
        raise ValueError("a chunk is no zstd frame")
    descriptor = frame[4]
    single_segment = descriptor >> 5 & 1
    field_bytes = (single_segment, 2, 4, 8)[descriptor >> 6]
    start = 5 + (1 - single_segment) + (0, 1, 2, 4)[descriptor & 3]
    field = frame[start : start + field_bytes]
    if not field_bytes or len(field) != field_bytes:
        raise ValueError("a chunk does not state its decoded size")
    return int.from_bytes(field, "little") + (256 if field_bytes == 2 else 0)
