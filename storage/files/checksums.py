"""Checksums of the files that a snapshot adds, kept in the provenance of the snapshot.

Arrays have a checksum in each chunk, and policies are named by their hash. Parquet files that DuckDB writes and the
files of a checkpoint have no checksum of their own: ``history.verified`` and ``latest_checkpoint`` compare them with
the checksums here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from molbuffer.storage.files.places import Place

CHECKSUMS_KEY = "checksums"
"""The key in a commit's extra info: the sha256 of each file by its path in the store."""


def file_checksums(files: Iterable[str | Path], root: Path) -> dict[str, str]:
    """Return the sha256 of files in hexadecimal, by their path under ``root`` as POSIX writes it."""
    return {place_of(file, root): file_sha256(file) for file in files}


def checksums_in(extras: Iterable[str | None]) -> dict[str, str]:
    """Return the sha256 of each file by its path, from the extra infos of commits.

    An extra info that another program wrote contributes nothing.
    """
    found: dict[str, str] = {}
    for text in extras:
        # A program that attached the catalog may have recorded anything.
        try:
            recorded: Any = json.loads(text) if text else None
        except ValueError:
            continue
        checksums = recorded.get(CHECKSUMS_KEY) if isinstance(recorded, dict) else None
        found.update(checksums if isinstance(checksums, dict) else {})
    return found


def place_of(file: str | Path, root: Path) -> str:
    """Return the path of a file under ``root``, the same wherever the store's folder is."""
    return str(PurePosixPath(*Path(file).relative_to(root).parts))


def file_sha256(file: str | Place) -> str:
    """Return the sha256 of a file's content in hexadecimal, read in portions where that is possible."""
    place = Path(file) if isinstance(file, str) else file
    with place.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
