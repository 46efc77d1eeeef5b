"""The manifest of a decoded cache: which rows file exists, the shape of its records, and where its segments are."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from molbuffer.storage.files.durable import sync_paths
from molbuffer.storage.history.record_layout import RowLayout

FORMAT = "molbuffer-cache-2"
NAME = "manifest.json"


@dataclass(frozen=True)
class CachedSegment:
    """Where the rows of a segment are in the cache.

    Attributes:
        position: of its first row.
        rows: how many there are.
        vocabulary_sha256: what its tokens belong to.
        optional: its columns that not all rows have, as of ``Rows.optional_widths``.
    """

    position: int
    rows: int
    vocabulary_sha256: str
    optional: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """What exists of a cache.

    Attributes:
        file: the name of the rows file, never used twice: a reader may still have an older one mapped.
        segments: by name, at positions that follow each other.
    """

    file: str = field(default_factory=lambda: f"rows-{uuid.uuid4().hex}.bin")
    layout: RowLayout = RowLayout()
    segments: Mapping[str, CachedSegment] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return max((segment.position + segment.rows for segment in self.segments.values()), default=0)

    @property
    def total_bytes(self) -> int:
        """The listed length of the rows file; what lies beyond was left by a killed writer."""
        return self.rows * self.layout.record_bytes


def read_manifest(folder: Path) -> Manifest:
    """Reads the manifest of a cache.

    Raises:
        FileNotFoundError: there is none.
        ValueError, KeyError, TypeError: it is damaged or of another format, or its rows file is missing or too short.
    """
    values = json.loads((folder / NAME).read_text(encoding="utf-8"))
    if values["format"] != FORMAT:
        raise ValueError(f"expected {FORMAT}, got {values['format']}")
    segments = {name: CachedSegment(*segment) for name, segment in values["segments"].items()}
    manifest = Manifest(values["file"], RowLayout(**values["layout"]), segments)
    rows_file = folder / manifest.file
    if not rows_file.exists() or rows_file.stat().st_size < manifest.total_bytes:
        raise ValueError(f"{rows_file} is missing or shorter than {manifest.total_bytes} bytes")
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replaces the manifest in one step, once the rows are on the disk, and deletes the rows files it does not list."""
    segments = {name: list(vars(segment).values()) for name, segment in manifest.segments.items()}
    layout = {"dtypes": manifest.layout.dtypes, "widths": manifest.layout.widths}
    values = {"format": FORMAT, "file": manifest.file, "layout": layout, "segments": segments}
    aside = folder / f"{NAME}.new"
    aside.write_text(json.dumps(values), encoding="utf-8")
    # Were the name on the disk before the rows, a power cut would leave rows of zeros that are taken for data.
    sync_paths([folder / manifest.file, aside])
    os.replace(aside, folder / NAME)
    sync_paths([folder])
    for leftover in folder.glob("rows-*.bin"):
        if leftover.name != manifest.file:
            leftover.unlink()
