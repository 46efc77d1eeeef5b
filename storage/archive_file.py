"""An archive as files: its checksums, its form as one tar file, and how either is read without trusting it.

    ARCHIVE/
      store.toml, catalog.sqlite, tables/, arrays/, policies/     as in every store
      archive.json      where it came from: source, version, selection, number of rows
      checksums.json    size and sha256 of every other file

A tar file holds these below one folder. It is read header by header: only plain files and folders whose names are
those of an archive are taken, and nothing grows beyond the limits, whatever a header declares. Extended headers, which
can hide names and sizes, are refused together with links and devices.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from storage.checksums import file_sha256
from storage.errors import ArchiveError, StoreNotFoundError
from storage.layout import Layout, write_private
from storage.places import PRIVATE_FOLDER

MANIFEST, CHECKSUMS = "archive.json", "checksums.json"
FORMAT = "molbuffer-archive-1"

_COMPRESSION = {".tar": None, ".tar.gz": "gzip", ".tgz": "gzip", ".tar.zst": "zstd"}
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_MEMBER = re.compile(
    r"store\.toml|archive\.json|checksums\.json|catalog\.sqlite|tables/main/[a-z_]+/[A-Za-z0-9_-]+\.parquet"
    r"|arrays/[0-9a-f]{32}/(zarr\.json|(tokens|lengths|log_probs|latents)/(zarr\.json|c(\.[0-9]+){1,2}))"
    r"|policies/[0-9a-f]{64}/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}"
)
_BLOCK = 512
_COPY_BYTES = 1 << 20
_MAX_LISTING_BYTES = 64 << 20
_LARGEST_MEMBER = 8**11 - 1
_LONGEST_ROOT = 60


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


def is_file_name(path: Path) -> bool:
    """Whether an archive of this name is to be one file."""
    return path.name.endswith(tuple(_COMPRESSION))


def write_checksums(folder: Path) -> str:
    """Lists every file of a finished archive; returns the sha256 of the list, which stands for the whole archive."""
    listed = {
        name: {"bytes": path.stat().st_size, "sha256": file_sha256(path)} for name, path in _files(folder).items()
    }
    content = (json.dumps({"format": FORMAT, "files": listed}, indent=1, sort_keys=True) + "\n").encode()
    write_private(folder / CHECKSUMS, content)
    return hashlib.sha256(content).hexdigest()


def pack(folder: Path, out: Path, root: str) -> None:
    """Writes a folder as a tar file, compressed as the name ``out`` will have says.

    Args:
        root: the name of the archive; the files lie below a folder of this name.

    Raises:
        ArchiveError: a file is larger than tar can say.
    """
    suffix = max((end for end in _COMPRESSION if root.endswith(end)), key=len)
    stem = root.removesuffix(suffix)
    stem = stem if stem.isascii() and 0 < len(stem) <= _LONGEST_ROOT else "archive"
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as plain, pa.output_stream(plain, compression=_COMPRESSION[suffix]) as stream:
        for name, path in sorted((_files(folder) | {CHECKSUMS: folder / CHECKSUMS}).items()):
            _write_member(stream, f"{stem}/{name}", path)
        stream.write(bytes(2 * _BLOCK))


def _write_member(stream: Any, name: str, path: Path) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = path.stat().st_size, 0o400, int(time.time())
    if info.size > _LARGEST_MEMBER:
        raise ArchiveError(
            f"{path} has {info.size} bytes, more than a tar file can hold: write the archive as a folder"
        )
    stream.write(info.tobuf(tarfile.USTAR_FORMAT))
    with path.open("rb") as file:
        while content := file.read(_COPY_BYTES):
            stream.write(content)
    stream.write(bytes(-info.size % _BLOCK))


@contextmanager
def unpacked(archive: Path, limits: ArchiveLimits = ArchiveLimits()) -> Iterator[Path]:
    """The folder of an archive whose files are those it lists; a tar file is unpacked for as long as this lasts.

    Raises:
        StoreNotFoundError: there is nothing at the path.
        ArchiveError: it is no archive, is damaged, or exceeds the limits.
    """
    if archive.is_dir():
        verify_files(archive, limits)
        yield archive.resolve()
    elif archive.is_file():
        with tempfile.TemporaryDirectory(prefix="molbuffer-archive-") as temporary:
            folder = Path(temporary) / "archive"
            Layout(folder).make_folders()
            _unpack(archive, folder, limits)
            verify_files(folder, limits)
            yield folder
    else:
        raise StoreNotFoundError(f"there is no archive at {archive}")


def verify_files(folder: Path, limits: ArchiveLimits = ArchiveLimits()) -> Manifest:
    """Compares every file of an archive with the list of its checksums.

    Raises:
        ArchiveError: naming the file that is wrong, missing, or not listed.
    """
    listed = _listed(folder, limits)
    found = _files(folder)
    for name in sorted(found.keys() ^ listed.keys()):
        raise ArchiveError(f"{folder}: {name!r} is {'missing' if name in listed else 'not listed'} ({CHECKSUMS})")
    for name, path in found.items():
        size, sha256 = listed[name]
        if path.stat().st_size != size or file_sha256(path) != sha256:
            raise ArchiveError(f"{folder}: {name!r} is damaged: it is not the file that {CHECKSUMS} lists")
    return read_manifest(folder)


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
        if not _MEMBER.fullmatch(name) or size < 0:
            raise ArchiveError(f"{folder}: no archive has a file {name!r} of {size} bytes")
    _check_sizes(folder, sum(size for size, _ in listed.values()), len(listed), limits)
    return listed


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        if path.is_symlink() or path.stat().st_size > _MAX_LISTING_BYTES:
            raise ArchiveError(f"{path} is a link, or larger than {_MAX_LISTING_BYTES} bytes: refused")
        said = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ArchiveError(f"{path.parent} is no archive: it has no {path.name}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ArchiveError(f"{path} is damaged: {error}") from error
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        raise ArchiveError(f"{path} is not of the format {FORMAT!r} that this release reads: update molbuffer")
    return said


def _files(folder: Path) -> dict[str, Path]:
    """Every file of an archive but the list itself, by relative name; anything but files and folders is refused."""
    found: dict[str, Path] = {}
    waiting = [folder]
    while waiting:
        for entry in os.scandir(waiting.pop()):
            name = Path(entry.path).relative_to(folder).as_posix()
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))
            elif not entry.is_file(follow_symlinks=False):
                raise ArchiveError(f"{folder}: {name!r} is a link or a device; an archive has files and folders only")
            elif name != CHECKSUMS:
                found[name] = Path(entry.path)
    return found


def _check_sizes(archive: Path, size: int, files: int, limits: ArchiveLimits) -> None:
    if size > limits.bytes or files > limits.files:
        raise ArchiveError(
            f"{archive} takes {size} bytes in {files} files or more, the limits are {limits.bytes} and {limits.files}; "
            "raise them if you trust where it is from"
        )


def _unpack(archive: Path, folder: Path, limits: ArchiveLimits) -> None:
    try:
        with archive.open("rb") as plain:
            start = plain.read(4)
            plain.seek(0)
            compression = next((name for magic, name in _MAGIC.items() if start.startswith(magic)), None)
            with pa.input_stream(plain, compression=compression) as stream:
                _unpack_members(archive, stream, folder, limits)
    except (pa.ArrowException, tarfile.HeaderError, OSError, ValueError) as error:
        raise ArchiveError(f"{archive} is no archive, or is damaged: {error}") from error


def _unpack_members(archive: Path, stream: Any, folder: Path, limits: ArchiveLimits) -> None:
    size, names, members = 0, set[str](), 0
    while (header := _read(stream, _BLOCK)).strip(b"\0"):
        info = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
        members += 1
        _check_sizes(archive, size + max(info.size, 0), members, limits)
        if info.isdir():
            continue
        name = _member_name(archive, info)
        if name in names:
            raise ArchiveError(f"{archive} has {info.name!r} twice: refused")
        names.add(name)
        size += info.size
        target = folder / name
        target.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            _copy(stream, file, info.size)
        _read(stream, -info.size % _BLOCK)


def _member_name(archive: Path, info: tarfile.TarInfo) -> str:
    """The name of a file below the tar's one folder."""
    if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        raise ArchiveError(
            f"{archive}: {info.name!r} has the type {info.type!r}; an archive has files and folders only "
            "(if you packed it yourself, use `tar --format=ustar`)"
        )
    _, _, name = info.name.removeprefix("./").rpartition("/") if "/" not in info.name else info.name.partition("/")
    if not _MEMBER.fullmatch(name) or info.name.startswith("/") or ".." in info.name.split("/") or info.size < 0:
        raise ArchiveError(f"{archive}: no archive has a file {info.name!r}")
    return name


def _copy(stream: Any, file: IO[bytes], size: int) -> None:
    while size:
        content = _read(stream, min(size, _COPY_BYTES))
        file.write(content)
        size -= len(content)


def _read(stream: Any, size: int) -> bytes:
    """Exactly so many bytes."""
    content: bytes = stream.read(size) if size else b""
    if len(content) != size:
        raise ArchiveError(
            f"the archive ends in the middle: expected {size} bytes more, got {len(content)}; truncated?"
        )
    return content
