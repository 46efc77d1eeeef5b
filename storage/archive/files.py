"""The comparison of the files of an archive with its manifest.

Only files that the manifest lists are read, and only plain files: links are not followed, and pipes and devices are not
opened.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
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
from molbuffer.storage.archive.problem import Problem
from molbuffer.storage.errors import ArchiveError, ArchiveFault
from molbuffer.storage.files import file_sha256


def listed_files(folder: Path, only: Collection[str] | None = None) -> dict[str, ListedFile]:
    """Return the sizes and checksums of the files of a new archive, for its manifest.

    Args:
        folder: the folder of the archive.
        only: the names of the files; None means all.
    """
    found = _files(folder, ArchiveLimits())
    chosen = {name: path for name, path in sorted(found.items()) if only is None or name in only}
    return {name: ListedFile(path.stat().st_size, file_sha256(path)) for name, path in chosen.items()}


def verify_files(folder: Path, limits: ArchiveLimits = ArchiveLimits(), *, sizes_only: bool = False) -> Manifest:
    """Return the manifest of an archive, after a comparison with its files.

    Args:
        folder: the folder of the archive.
        limits: the limits of its size and number of files.
        sizes_only: whether to compare sizes without checksums.

    Raises:
        ArchiveError: a file is missing, not listed, not plain, or damaged; the error names the file.
    """
    manifest = read_manifest(folder, limits)
    for problem in wrong_files(folder, manifest, limits, sizes_only=sizes_only):
        said = f"{folder}: {problem.name!r} {problem.text}. Take another copy of the archive"
        raise ArchiveError(said, problem.fault)
    return manifest


def wrong_files(
    folder: Path, manifest: Manifest, limits: ArchiveLimits, *, sizes_only: bool = False
) -> Iterator[Problem]:
    """Yield the problem of each file that differs from the manifest.

    Raises:
        ArchiveError: there is a link, a pipe or a device, or there are more files than the limits allow.
    """
    found, listed = _files(folder, limits), manifest.files
    for name in sorted(found.keys() ^ listed.keys()):
        fault, how = (
            (ArchiveFault.MISSING_FILE, "missing") if name in listed else (ArchiveFault.UNLISTED_FILE, "not listed")
        )
        yield Problem(fault, f"is {how} ({MANIFEST})", name)
    for name in sorted(found.keys() & listed.keys()):
        said = f"is damaged: it is not the file that {MANIFEST} lists"
        if found[name].stat().st_size != listed[name].bytes:
            yield Problem(ArchiveFault.SIZE, said, name)
        elif not sizes_only and file_sha256(found[name]) != listed[name].sha256:
            yield Problem(ArchiveFault.CHECKSUM, said, name)


def _files(folder: Path, limits: ArchiveLimits) -> dict[str, Path]:
    """Return every file in an archive's folder except the manifest, by its path in the archive.

    Raises:
        ArchiveError: there is a link or a device, or there are more files than the limits allow.
    """
    found: dict[str, Path] = {}
    waiting, seen = [folder], 0
    while waiting:
        with os.scandir(waiting.pop()) as scanned:
            for entry in scanned:
                seen += 1
                # Each file has at most three folders of its own above it.
                check_limits(folder, 0, seen // 4, limits)
                name = Path(entry.path).relative_to(folder).as_posix()
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                elif not entry.is_file(follow_symlinks=False):
                    raise ArchiveError(
                        f"{folder}: {name!r} is a link or a device; an archive has files and folders only",
                        ArchiveFault.NOT_PLAIN,
                    )
                elif name in OLD_FORM:
                    raise old_form(folder)
                elif name != MANIFEST:
                    found[name] = Path(entry.path)
    return found
