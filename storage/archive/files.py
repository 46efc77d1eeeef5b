"""Compare the files of an archive with its manifest.

Only what the manifest lists is read, and only as plain files: a link is not followed, a pipe or a device not opened.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from molbuffer.storage.archive.manifest import (
    MANIFEST,
    OLD_FORM,
    ArchiveLimits,
    ListedFile,
    Manifest,
    check_limits,
    old_form,
    read_manifest,
)
from molbuffer.storage.errors import ArchiveError
from molbuffer.storage.files import file_sha256


def listed_files(folder: Path) -> dict[str, ListedFile]:
    """Return every file of an archive that was just written, as its manifest will list it."""
    found = _files(folder, ArchiveLimits())
    return {name: ListedFile(path.stat().st_size, file_sha256(path)) for name, path in sorted(found.items())}


def verify_files(folder: Path, limits: ArchiveLimits = ArchiveLimits(), *, sizes_only: bool = False) -> Manifest:
    """Return the manifest of an archive whose files are those that it lists.

    Args:
        folder: of the archive.
        limits: what it may take.
        sizes_only: compare sizes and no checksums.

    Raises:
        ArchiveError: naming the file that is missing, not listed, no plain file, or damaged.
    """
    manifest = read_manifest(folder, limits)
    for name, fault in wrong_files(folder, manifest, limits, sizes_only=sizes_only):
        raise ArchiveError(f"{folder}: {name!r} {fault}. Take another copy of the archive")
    return manifest


def wrong_files(
    folder: Path, manifest: Manifest, limits: ArchiveLimits, *, sizes_only: bool = False
) -> Iterator[tuple[str, str]]:
    """Yield the files that are not those which the manifest lists, and what is wrong with each.

    Raises:
        ArchiveError: there is a link, a pipe or a device among them, or there are more than the limits allow.
    """
    found, listed = _files(folder, limits), manifest.files
    for name in sorted(found.keys() ^ listed.keys()):
        yield name, f"is {'missing' if name in listed else 'not listed'} ({MANIFEST})"
    for name in sorted(found.keys() & listed.keys()):
        same_size = found[name].stat().st_size == listed[name].bytes
        if not same_size or not (sizes_only or file_sha256(found[name]) == listed[name].sha256):
            yield name, f"is damaged: it is not the file that {MANIFEST} lists"


def _files(folder: Path, limits: ArchiveLimits) -> dict[str, Path]:
    """Return every file in an archive's folder but the manifest, by its path in the archive."""
    found: dict[str, Path] = {}
    waiting, seen = [folder], 0
    while waiting:
        with os.scandir(waiting.pop()) as scanned:
            for entry in scanned:
                seen += 1
                # Each file has at most three folders above it that no other file has.
                check_limits(folder, 0, seen // 4, limits)
                name = Path(entry.path).relative_to(folder).as_posix()
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                elif not entry.is_file(follow_symlinks=False):
                    raise ArchiveError(
                        f"{folder}: {name!r} is a link or a device; an archive has files and folders only"
                    )
                elif name in OLD_FORM:
                    raise old_form(folder)
                elif name != MANIFEST:
                    found[name] = Path(entry.path)
    return found
