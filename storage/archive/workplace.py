"""The temporary folder of a new archive, which is renamed in one step: an archive is complete or does not exist.

.lab.tar.0123…/      beside lab.tar, while lab.tar is being made
  lock               held by the process that makes the archive, and free after that process was killed
  archive/           the files of the archive
  packed             the tar file, if the archive is to be one file
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from molbuffer.storage.archive.tar import is_file_name, pack
from molbuffer.storage.errors import StoreExistsError
from molbuffer.storage.files import PRIVATE_FILE, PRIVATE_FOLDER, sync_paths, sync_tree

_READ_ONLY_FILE, _READ_ONLY_FOLDER = 0o400, 0o500
_LOCK, _FILES, _PACKED = "lock", "archive", "packed"


@contextmanager
def workplace(out: Path) -> Iterator[Path]:
    """Give the path of a new folder for the files of an archive, and remove the temporary folder at the end.

    Temporary folders that killed processes left for archives of this name are removed first.

    Raises:
        StoreExistsError: another process is making an archive of this name.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    _clear(out)
    around = out.with_name(f".{out.name}.{uuid4().hex}")
    around.mkdir(mode=PRIVATE_FOLDER)
    try:
        with _alone(around, out):
            yield around / _FILES
    finally:
        shutil.rmtree(around)


def _clear(out: Path) -> None:
    name = re.compile(re.escape(f".{out.name}.") + "[0-9a-f]{32}")
    for left in sorted(out.parent.iterdir()):
        # A folder without a lock is being made at this moment, or belongs to another program.
        if name.fullmatch(left.name) and not left.is_symlink() and (left / _LOCK).exists():
            with _alone(left, out):
                shutil.rmtree(left)


@contextmanager
def _alone(around: Path, out: Path) -> Iterator[None]:
    """Hold the lock of a temporary folder; the lock of a killed process is free.

    Raises:
        StoreExistsError: another process holds the lock.
    """
    try:
        lock = FileLock(around / _LOCK, timeout=0, mode=PRIVATE_FILE).acquire()
    except Timeout as error:
        raise StoreExistsError(
            f"another process is making the archive {out}: wait for it, or name another place"
        ) from error
    with lock:
        yield


def refuse_existing(out: Path) -> None:
    """Refuse a path that exists.

    Raises:
        StoreExistsError: the path exists.
    """
    if out.exists() or out.is_symlink():
        raise StoreExistsError(f"{out} exists already; name a new folder or file for the archive")


def finished(folder: Path, out: Path) -> Path:
    """Return a written archive as the folder or file that can be renamed to ``out``, durable and read-only."""
    if is_file_name(out):
        packed = folder.with_name(_PACKED)
        pack(folder, packed, out.name)
        packed.chmod(_READ_ONLY_FILE)
        sync_paths([packed])
        return packed
    sync_tree(folder)
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(_READ_ONLY_FILE)
    return folder


def put_in_place(made: Path, out: Path) -> None:
    """Give a finished archive its name, in one step."""
    made.rename(out)
    # Last, since the content of a read-only folder can neither be renamed nor removed after a failure.
    for path in (out, *out.rglob("*")):
        if path.is_dir():
            path.chmod(_READ_ONLY_FOLDER)
    sync_paths([out.parent])
