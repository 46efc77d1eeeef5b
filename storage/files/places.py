"""The places of a store's files: a folder, or a prefix of an object store.

``ObjectPath`` has those methods of ``pathlib.Path`` that the store uses, so that most code treats both alike. The
functions here handle the differences:

    a folder          files are made durable by fsync, and become visible together by a rename
    an object store   a write that was acknowledged is durable; objects become visible one by one, so that nothing may
                      be named by the catalog before all of its objects are there
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from molbuffer.storage.files.object_store import ObjectPath

Place = Path | ObjectPath

PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600


@dataclass(frozen=True)
class StoredFile:
    """A file below a place.

    Attributes:
        path: the path of the file.
        bytes: the size.
        modified: the time of the last write, in seconds since the epoch.
    """

    path: Place
    bytes: int
    modified: float


def place_at(address: str, root: Path = Path()) -> Place:
    """Return the place that an address names.

    Args:
        address: ``s3://bucket/prefix``, or the path of a folder.
        root: the folder that a relative path starts from.

    Raises:
        StorePlaceError: the address has another form.
    """
    return ObjectPath.of(address) if "://" in address else root / address


def on_disk(places: Iterable[Place]) -> list[Path]:
    """Return the places that are on a disk and need an fsync; an object store has made acknowledged writes durable."""
    return [place for place in places if isinstance(place, Path)]


def names_on_disk(folder: Place) -> list[str]:
    """Return the names of the files and folders directly in a folder, in any order; empty for an object store."""
    try:
        return os.listdir(folder) if isinstance(folder, Path) else []
    except FileNotFoundError:
        return []


class NotPlainError(ValueError):
    """A link, a folder, a pipe or a device is where a plain file is expected."""


class TooLargeError(ValueError):
    """A file is larger than it may be."""


def plain_file(path: Path, most_bytes: int) -> bytes:
    """Return the content of a file from an untrusted source.

    A link is not followed. A pipe or a device is not opened, since reading it might never end.

    Args:
        path: the path of the file.
        most_bytes: the largest size that is accepted.

    Raises:
        NotPlainError: the path is a link, a folder, a pipe or a device.
        TooLargeError: the file is larger than ``most_bytes``.
        OSError: the file cannot be read.
    """
    if not stat.S_ISREG(path.lstat().st_mode):
        raise NotPlainError("it is a link, a folder, a pipe or a device and no plain file")
    # A pipe may replace the file at this moment: O_NONBLOCK does not wait for it, and the type is checked once more.
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise NotPlainError("it is a pipe or a device and no plain file")
        if status.st_size > most_bytes:
            raise TooLargeError(f"it has {status.st_size} bytes, at most {most_bytes} are expected")
        return file.read(most_bytes)


def make_folder(place: Place) -> None:
    """Make a folder that only its owner may use; do nothing in an object store, which has no folders."""
    if isinstance(place, Path):
        place.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)


def entries(place: Place) -> list[Place]:
    """Return the paths directly in a folder, including hidden files, sorted by name; empty if it does not exist."""
    if isinstance(place, Path):
        return sorted(place.iterdir()) if place.is_dir() else []
    return sorted(place.iterdir())


def files_at(place: Place) -> list[StoredFile]:
    """Return a file, or a folder with all files and folders below it; paths that vanish meanwhile are left out."""
    if not isinstance(place, Path):
        return [StoredFile(path, size, modified) for path, size, modified in place.files()]
    found = []
    for path in _tree(place):
        try:
            status = path.lstat()
        except FileNotFoundError:
            continue
        found.append(StoredFile(path, status.st_size, status.st_mtime))
    return found


def _tree(path: Path) -> Iterator[Path]:
    """Yield a path and, for a folder that is no link, everything below it.

    Folders are included, since a folder's time of change is that of the last file added or removed.
    """
    yield path
    if path.is_dir() and not path.is_symlink():
        yield from path.rglob("*")


def set_aside(place: Place) -> Place:
    """Hide a folder by one rename, and return the path that is to be deleted: a kill leaves it whole or hidden.

    A file is returned as it is, since it is deleted in one step. An object store cannot rename: its objects are deleted
    here.
    """
    if not isinstance(place, Path):
        place.remove()
        return place
    if not place.is_dir() or place.is_symlink() or place.name.startswith("."):
        return place
    return place.rename(place.with_name(f".removed-{place.name}-{uuid4().hex[:8]}"))


def delete(place: Place) -> None:
    """Delete a file, or a folder with all its content; do nothing if the path does not exist."""
    if not isinstance(place, Path):
        place.remove()
    elif place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
