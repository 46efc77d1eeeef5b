"""The places of a store's files: a folder, or a prefix of an object store.

``ObjectPath`` has those methods of ``pathlib.Path`` that the store uses, so that most code need not know which of both
it was given. What differs is here:

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
        modified: when it was last written, in seconds since the epoch.
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
    """Return those of some places that need an fsync: what an object store has acknowledged is durable."""
    return [place for place in places if isinstance(place, Path)]


def names_on_disk(folder: Place) -> list[str]:
    """Return the names of what is directly in a folder, of which there may be thousands; none in an object store."""
    try:
        return os.listdir(folder) if isinstance(folder, Path) else []
    except FileNotFoundError:
        return []


class NotPlainError(ValueError):
    """A link, a folder, a pipe or a device is where a plain file is expected."""


class TooLargeError(ValueError):
    """A file is larger than it may be."""


def plain_file(path: Path, most_bytes: int) -> bytes:
    """Return the content of a file that somebody else may have put there.

    A link is not followed, and a pipe or a device, whose reading might never end, is not opened.

    Raises:
        NotPlainError: it is no plain file.
        TooLargeError: it is larger than ``most_bytes``.
        OSError: it cannot be read.
    """
    if not stat.S_ISREG(path.lstat().st_mode):
        raise NotPlainError("it is a link, a folder, a pipe or a device and no plain file")
    # Whatever takes its place in this moment is not waited for, and looked at once more.
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise NotPlainError("it is a pipe or a device and no plain file")
        if status.st_size > most_bytes:
            raise TooLargeError(f"it has {status.st_size} bytes, at most {most_bytes} are expected")
        return file.read(most_bytes)


def make_folder(place: Place) -> None:
    """Make a folder for its owner only; an object store has none to make."""
    if isinstance(place, Path):
        place.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)


def entries(place: Place) -> list[Place]:
    """Return what is directly in a folder, hidden files included, by name; nothing when it does not exist."""
    if isinstance(place, Path):
        return sorted(place.iterdir()) if place.is_dir() else []
    return sorted(place.iterdir())


def files_at(place: Place) -> list[StoredFile]:
    """Return a file, or all files in a folder and below it, without what a writer removes meanwhile."""
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
    """Yield a path, and when it is a folder and no link, all below it: folders change when a file in them does."""
    yield path
    if path.is_dir() and not path.is_symlink():
        yield from path.rglob("*")


def set_aside(place: Place) -> Place:
    """Hide a folder in one step, and return where it is to be deleted: a kill leaves it whole or hidden.

    A file is deleted in one step anyway. An object store cannot rename, so that there the objects are deleted at once.
    """
    if not isinstance(place, Path):
        place.remove()
        return place
    if not place.is_dir() or place.is_symlink() or place.name.startswith("."):
        return place
    return place.rename(place.with_name(f".removed-{place.name}-{uuid4().hex[:8]}"))


def delete(place: Place) -> None:
    """Delete a file, or a folder with all in it; nothing when it is not there."""
    if not isinstance(place, Path):
        place.remove()
    elif place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
