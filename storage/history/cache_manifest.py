"""The manifest of a decoded cache: which rows file exists, the shape of its records, and where its segments are."""

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
    """Where the rows of a segment are in the cache.

    Attributes:
        position: of its first row.
        rows: how many there are.
        vocabulary_sha256: the vocabulary that its tokens belong to.
        optional: its columns that not all rows have, as of ``Rows.optional_widths``.
    """

    __pydantic_config__ = _STRICT

    position: int
    rows: int
    vocabulary_sha256: str
    optional: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CacheManifest:
    """What exists of a cache.

    Attributes:
        format: the name and version of the format.
        file: the name of the rows file, never used twice: a reader may still have an older one mapped.
        layout: the shape of its records.
        segments: by name, at positions that follow each other.
        sha256: of all this, as JSON without this; a bit that flips in a position would give the rows of another.
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
        """The listed length of the rows file; what lies beyond was left by a killed writer."""
        return self.rows * self.layout.record_bytes


_CONTENT = TypeAdapter(CacheManifest)


def _sha256(manifest: CacheManifest) -> str:
    return hashlib.sha256(_CONTENT.dump_json(replace(manifest, sha256=""))).hexdigest()


def read_manifest(folder: Path) -> CacheManifest | None:
    """Read the manifest of a cache; None when there is no cache.

    Raises:
        ValueError: it is damaged or of another format, or its rows file is missing or too short.
        OSError: it cannot be read.
    """
    try:
        content = (folder / MANIFEST_NAME).read_bytes()
    except FileNotFoundError:
        return None
    manifest = _CONTENT.validate_json(content)
    if manifest.sha256 != _sha256(manifest):
        raise ValueError(f"{folder / MANIFEST_NAME} does not have the content that it was written with")
    rows_file = folder / manifest.file
    if not rows_file.exists() or rows_file.stat().st_size < manifest.total_bytes:
        raise ValueError(f"{rows_file} is missing or shorter than {manifest.total_bytes} bytes")
    return manifest


def write_manifest(folder: Path, manifest: CacheManifest) -> None:
    """Replace the manifest in one step, once the rows are on the disk, and delete the rows files it does not list."""
    content = _CONTENT.dump_json(replace(manifest, sha256=_sha256(manifest)))
    # Were the name on the disk before the rows, a power cut would leave rows of zeros that are taken for data.
    write_aside(folder / MANIFEST_NAME, content, sync_paths, after=[folder / manifest.file])
    for leftover in folder.glob("rows-*.bin"):
        if leftover.name != manifest.file:
            leftover.unlink()
