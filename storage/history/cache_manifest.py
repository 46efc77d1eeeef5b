"""The manifest of a decoded cache: the name of the rows file, the shape of its records, and the places of segments."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, TypeAdapter

from molbuffer.storage.files import sync_paths, write_aside
from molbuffer.storage.history.record_layout import RowLayout

MANIFEST_NAME = "manifest.json"
_STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True)
class CachedSegment:
    """The place of the rows of a segment in the cache.

    Attributes:
        position: the position of its first row.
        rows: the number of its rows.
        vocabulary_sha256: the vocabulary of its tokens.
        optional: the widths of its optional columns, from ``Rows.optional_widths``.
    """

    __pydantic_config__ = _STRICT

    position: int
    rows: int
    vocabulary_sha256: str
    optional: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CacheManifest:
    """The valid content of a cache.

    Attributes:
        format: the name and version of the format.
        file: the name of the rows file, never used twice, since a reader may still have an older file mapped.
        layout: the shape of its records.
        segments: the places of segments by name; their positions follow one another.
        sha256: the hash of the other fields as JSON, since a flipped bit in a position would give the rows of another
            segment.
    """

    __pydantic_config__ = _STRICT

    format: Literal["molbuffer-cache-4"] = "molbuffer-cache-4"
    file: str = field(default_factory=lambda: f"rows-{uuid.uuid4().hex}.bin")
    layout: RowLayout = RowLayout()
    segments: Mapping[str, CachedSegment] = field(default_factory=dict)
    sha256: str = ""

    @property
    def rows(self) -> int:
        """The number of rows that are listed."""
        return max((segment.position + segment.rows for segment in self.segments.values()), default=0)

    @property
    def total_bytes(self) -> int:
        """The listed length of the rows file in bytes; a killed writer may have left more."""
        return self.rows * self.layout.record_bytes


_CONTENT = TypeAdapter(CacheManifest)


def _sha256(manifest: CacheManifest) -> str:
    return hashlib.sha256(_CONTENT.dump_json(replace(manifest, sha256=""))).hexdigest()


def read_manifest(folder: Path) -> CacheManifest | None:
    """Return the manifest of a cache; None if there is no cache.

    Raises:
        ValueError: the manifest is damaged or of another format, or its rows file is missing or too short.
        OSError: the manifest cannot be read.
    """
    try:
        content = (folder / MANIFEST_NAME).read_bytes()
    except FileNotFoundError:
        return None
    manifest = _CONTENT.validate_json(content)
    if manifest.sha256 != _sha256(manifest):
        raise ValueError(f"{folder / MANIFEST_NAME} does not match its checksum")
    rows_file = folder / manifest.file
    if not rows_file.exists() or rows_file.stat().st_size < manifest.total_bytes:
        raise ValueError(f"{rows_file} is missing or shorter than {manifest.total_bytes} bytes")
    return manifest


def write_manifest(folder: Path, manifest: CacheManifest) -> None:
    """Sync the rows file, replace the manifest in one step, and delete the rows files that it does not list."""
    content = _CONTENT.dump_json(replace(manifest, sha256=_sha256(manifest)))
    # If the manifest reached the disk before the rows, a power cut could leave rows of zeros that count as data.
    write_aside(folder / MANIFEST_NAME, content, sync_paths, after=[folder / manifest.file])
    for leftover in folder.glob("rows-*.bin"):
        if leftover.name != manifest.file:
            leftover.unlink()
