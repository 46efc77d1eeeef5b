"""An archive as files: what it lists of itself, and how its files are compared with that.

    ARCHIVE/
      store.toml, catalog.sqlite, tables/, arrays/, policies/     as in every store
      archive.json      where it came from: source, version, selection, number of rows
      checksums.json    size and sha256 of every other file

Nothing is read but plain files whose names are those of an archive: no link is followed, no pipe or device opened.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from molbuffer.storage.errors import ArchiveError
from molbuffer.storage.files.checksums import file_sha256
from molbuffer.storage.files.durable import write_private
from molbuffer.storage.segments.segment import ARRAYS

MANIFEST, CHECKSUMS = "archive.json", "checksums.json"
FORMAT = "molbuffer-archive-1"

MEMBER = re.compile(
    r"store\.toml|archive\.json|checksums\.json|catalog\.sqlite|tables/main/[a-z_]+/[A-Za-z0-9_-]+\.parquet"
    rf"|arrays/[0-9a-f]{{32}}/(zarr\.json|({'|'.join(ARRAYS)})/(zarr\.json|c(\.[0-9]+){{1,2}}))"
    r"|policies/[0-9a-f]{64}/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}"
)
"""The names of the files of an archive."""
_MAX_LISTING_BYTES = 64 << 20


@dataclass(frozen=True)
class ArchiveLimits:
    """What an archive may take, so that a small file cannot fill a disk or the memory.

    Attributes:
        bytes: of all its files together, and again of its arrays when they are decoded.
        files: how many.
    """

    bytes: int = 200 * 10**9
    files: int = 200_000


@dataclass(frozen=True)
class Manifest:
    """What ``archive.json`` says.

    Attributes:
        uuid: of the archive; source_uuid, snapshot: the store it is from, and which version of it.
        runs, where: the selection; no run is all runs. rows, builds: how many it has.
        molbuffer: the release that made it; created: when, in UTC.
    """

    uuid: str
    source_uuid: str
    snapshot: int
    runs: tuple[str, ...]
    where: str | None
    rows: int
    builds: int
    molbuffer: str
    created: str

    def to_bytes(self) -> bytes:
        """The content of ``archive.json``."""
        return (json.dumps({"format": FORMAT} | asdict(self), indent=1) + "\n").encode()


def write_checksums(folder: Path) -> str:
    """Lists every file of a finished archive; returns the sha256 of the list, which stands for the whole archive."""
    found = archive_files(folder)
    listed = {name: {"bytes": path.stat().st_size, "sha256": file_sha256(path)} for name, path in found.items()}
    content = (json.dumps({"format": FORMAT, "files": listed}, indent=1, sort_keys=True) + "\n").encode()
    write_private(folder / CHECKSUMS, content)
    return hashlib.sha256(content).hexdigest()


def verify_files(folder: Path, limits: ArchiveLimits = ArchiveLimits()) -> Manifest:
    """Compares every file of an archive with the list of its checksums.

    Raises:
        ArchiveError: naming the file that is wrong, missing, or not listed.
    """
    for name, fault in wrong_files(folder, limits):
        raise ArchiveError(f"{folder}: {name!r} {fault}")
    return read_manifest(folder)


def wrong_files(
    folder: Path, limits: ArchiveLimits = ArchiveLimits(), *, sizes_only: bool = False
) -> Iterator[tuple[str, str]]:
    """The files of an archive that are not those it lists, and what is wrong with each.

    Raises:
        ArchiveError: it has no list, or exceeds the limits.
    """
    listed = _listed(folder, limits)
    found = archive_files(folder)
    for name in sorted(found.keys() ^ listed.keys()):
        yield name, f"is {'missing' if name in listed else 'not listed'} ({CHECKSUMS})"
    for name in sorted(found.keys() & listed.keys()):
        size, sha256 = listed[name]
        if found[name].stat().st_size != size or not (sizes_only or file_sha256(found[name]) == sha256):
            yield name, f"is damaged: it is not the file that {CHECKSUMS} lists"


def read_manifest(folder: Path) -> Manifest:
    """Reads ``archive.json``.

    Raises:
        ArchiveError: it is missing or damaged.
    """
    said = _read_json(folder / MANIFEST)
    try:
        fields = {name: said[name] for name in Manifest.__dataclass_fields__}
        return Manifest(**(fields | {"runs": tuple(said["runs"])}))
    except (KeyError, TypeError) as error:
        raise ArchiveError(f"{folder / MANIFEST} is damaged: {error!r}") from error


def _listed(folder: Path, limits: ArchiveLimits) -> dict[str, tuple[int, str]]:
    """Size and sha256 of each file, as the list says."""
    said = _read_json(folder / CHECKSUMS)
    try:
        listed = {str(name): (int(each["bytes"]), str(each["sha256"])) for name, each in said["files"].items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ArchiveError(f"{folder / CHECKSUMS} is damaged: {error!r}") from error
    for name, (size, _) in listed.items():
        if not MEMBER.fullmatch(name) or size < 0:
            raise ArchiveError(f"{folder}: no archive has a file {name!r} of {size} bytes")
    check_sizes(folder, sum(size for size, _ in listed.values()), len(listed), limits)
    return listed


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        found = path.lstat()
        # Reading a pipe or a device would never end.
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MAX_LISTING_BYTES:
            raise ArchiveError(f"{path} is no plain file, or larger than {_MAX_LISTING_BYTES} bytes: refused")
        said = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ArchiveError(f"{path.parent} is no archive: it has no {path.name}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ArchiveError(f"{path} is damaged: {error}") from error
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        raise ArchiveError(f"{path} is not of the format {FORMAT!r} that this release reads: update molbuffer")
    return said


def archive_files(folder: Path) -> dict[str, Path]:
    """Every file of an archive but the list itself, by relative name; anything but files and folders is refused."""
    found: dict[str, Path] = {}
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as scanned:
            entries = list(scanned)
        for entry in entries:
            name = Path(entry.path).relative_to(folder).as_posix()
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))
            elif not entry.is_file(follow_symlinks=False):
                raise ArchiveError(f"{folder}: {name!r} is a link or a device; an archive has files and folders only")
            elif name != CHECKSUMS:
                found[name] = Path(entry.path)
    return found


def check_sizes(archive: Path, size: int, files: int, limits: ArchiveLimits) -> None:
    """Refuses what exceeds the limits.

    Raises:
        ArchiveError: it does.
    """
    if size > limits.bytes or files > limits.files:
        raise ArchiveError(
            f"{archive} takes {size} bytes in {files} files or more, the limits are {limits.bytes} (of a tar file also "
            f"what is free in the folder for temporary files, TMPDIR) and {limits.files}; raise them if you trust it"
        )
