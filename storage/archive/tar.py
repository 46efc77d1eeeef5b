"""Packing of an archive into one tar file, and unpacking of untrusted tar files.

The files of the archive are below one folder. A tar file is read header by header: only plain files and folders with
names that an archive may have are unpacked, and the limits apply whatever a header states. Extended headers, which can
hide names and sizes, are refused, and so are links and devices.
"""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from molbuffer.storage.archive.manifest import MANIFEST, MEMBER, OLD_FORM, ArchiveLimits, check_limits, old_form
from molbuffer.storage.errors import ArchiveError, ArchiveFault
from molbuffer.storage.files import PRIVATE_FILE, PRIVATE_FOLDER

_COMPRESSION = {".tar": None, ".tar.gz": "gzip", ".tgz": "gzip", ".tar.zst": "zstd"}
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_BLOCK = 512
_COPY_BYTES = 1 << 20
_LARGEST_MEMBER = 8**11 - 1
_LONGEST_ROOT = 60
_SHARE_OF_FREE = 0.9


def is_file_name(path: Path) -> bool:
    """Return whether an archive of this name is one tar file rather than a folder."""
    return path.name.endswith(tuple(_COMPRESSION))


def pack(folder: Path, out: Path, root: str) -> None:
    """Write an archive as a tar file, its manifest first.

    Args:
        folder: the folder of the archive.
        out: the path of the new file.
        root: the final name of the file; its suffix selects the compression, and its stem names the folder of members.

    Raises:
        ArchiveError: a file is larger than tar allows.
    """
    suffix = max((end for end in _COMPRESSION if root.endswith(end)), key=len)
    stem = root.removesuffix(suffix)
    stem = stem if stem.isascii() and 0 < len(stem) <= _LONGEST_ROOT else "archive"
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    with open(descriptor, "wb") as plain, pa.output_stream(plain, compression=_COMPRESSION[suffix]) as stream:
        files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
        for path in (folder / MANIFEST, *files):
            _write_member(stream, f"{stem}/{path.relative_to(folder).as_posix()}", path)
        stream.write(bytes(2 * _BLOCK))


def _write_member(stream: Any, name: str, path: Path) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = path.stat().st_size, 0o400, int(time.time())
    if info.size > _LARGEST_MEMBER:
        raise ArchiveError(
            f"{path} has {info.size} bytes, more than a tar file can hold: write the archive as a folder",
            ArchiveFault.TOO_LARGE,
        )
    stream.write(info.tobuf(tarfile.USTAR_FORMAT))
    with path.open("rb") as file:
        while content := file.read(_COPY_BYTES):
            stream.write(content)
    stream.write(bytes(-info.size % _BLOCK))


@contextmanager
def unpacked(archive: Path, limits: ArchiveLimits = ArchiveLimits()) -> Iterator[Path]:
    """Unpack a tar file into a temporary folder for the time of the context.

    The files are not compared with the manifest.

    Raises:
        ArchiveError: the file is not a tar file of an archive, ends in the middle, or exceeds the limits.
    """
    with tempfile.TemporaryDirectory(prefix="molbuffer-archive-") as temporary:
        folder = Path(temporary).resolve() / "archive"
        folder.mkdir(mode=PRIVATE_FOLDER)
        _unpack(archive, folder, limits)
        yield folder


def _unpack(archive: Path, folder: Path, limits: ArchiveLimits) -> None:
    try:
        with archive.open("rb") as plain:
            start = plain.read(4)
            plain.seek(0)
            compression = next((name for magic, name in _MAGIC.items() if start.startswith(magic)), None)
            # Not all free space is used, since other programs may write to the disk.
            free = int(shutil.disk_usage(folder).free * _SHARE_OF_FREE)
            limits = replace(limits, bytes=min(limits.bytes, free))
            with pa.input_stream(plain, compression=compression) as stream:
                _unpack_members(archive, stream, folder, limits)
    except (pa.ArrowException, tarfile.HeaderError, OSError, ValueError) as error:
        said = f"{archive} is no archive, or is damaged: {error}"
        raise ArchiveError(said, ArchiveFault.NOT_AN_ARCHIVE) from error


def _unpack_members(archive: Path, stream: Any, folder: Path, limits: ArchiveLimits) -> None:
    size, names, members = 0, set[str](), 0
    while (header := _read(stream, _BLOCK)).strip(b"\0"):
        info = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
        members += 1
        check_limits(archive, size + max(info.size, 0), members, limits)
        if info.isdir():
            continue
        name = _member_name(archive, info)
        if name in names:
            raise ArchiveError(f"{archive} has {info.name!r} twice: refused", ArchiveFault.NAME)
        names.add(name)
        size += info.size
        target = folder / name
        for parent in reversed(Path(name).parents):
            (folder / parent).mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE), "wb") as file:
            for start in range(0, info.size, _COPY_BYTES):
                file.write(_read(stream, min(_COPY_BYTES, info.size - start)))
        _read(stream, -info.size % _BLOCK)


def _member_name(archive: Path, info: tarfile.TarInfo) -> str:
    """Return the name of a member below the one folder of the tar file.

    Raises:
        ArchiveError: the member is not a plain file, or an archive cannot have a file of its name.
    """
    if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        raise ArchiveError(
            f"{archive}: {info.name!r} has the type {info.type!r}; an archive has files and folders only "
            "(if you packed it yourself, use `tar --format=ustar`)",
            ArchiveFault.NOT_PLAIN,
        )
    _, _, name = info.name.removeprefix("./").rpartition("/") if "/" not in info.name else info.name.partition("/")
    if name in OLD_FORM:
        raise old_form(archive)
    if (
        not (MEMBER.fullmatch(name) or name == MANIFEST)
        or info.name.startswith("/")
        or ".." in info.name.split("/")
        or info.size < 0
    ):
        raise ArchiveError(f"{archive}: no archive has a file {info.name!r}", ArchiveFault.NAME)
    return name


def _read(stream: Any, size: int) -> bytes:
    """Return exactly the next ``size`` bytes.

    Raises:
        ArchiveError: the stream ends before.
    """
    content: bytes = stream.read(size) if size else b""
    if len(content) != size:
        raise ArchiveError(
            f"the archive ends in the middle: expected {size} bytes more, got {len(content)}; take another copy",
            ArchiveFault.TRUNCATED,
        )
    return content
