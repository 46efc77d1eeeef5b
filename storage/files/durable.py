"""Makes what was written survive a power cut: fsync of files and of the directories that name them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

from molbuffer.storage.files.places import PRIVATE_FILE, Place

Sync = Callable[[Iterable[Path]], None]
"""Makes files and directories durable; tests record what it is called with."""

# Concurrent fsyncs share one commit of the file system's journal: 14 of them take 10 ms together and 50 ms in a row.
_CONCURRENT_SYNCS = 16


def sync_paths(paths: Iterable[Path]) -> None:
    """Returns once every file or directory named is on the disk.

    Raises:
        OSError: a path is missing, or the disk failed.
    """
    with ThreadPoolExecutor(_CONCURRENT_SYNCS, thread_name_prefix="fsync") as pool:
        for _ in pool.map(_sync, paths):
            pass


def sync_tree(folder: Place) -> None:
    """Returns once a folder is on the disk with all it holds, and is named in its parent."""
    # What an object store has acknowledged is durable.
    if isinstance(folder, Path):
        sync_paths([folder.parent, folder, *folder.rglob("*")])


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_aside(path: Path, content: bytes, sync: Sync) -> None:
    """Writes a file so that a crash leaves the old one, or none, or the whole new one."""
    aside = path.with_name(f".{path.name}.{uuid4().hex}")
    write_private(aside, content)
    sync([aside])
    aside.rename(path)
    sync([path.parent])


def write_private(path: Path, content: bytes) -> None:
    """Writes a new file that only its owner may read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    with open(descriptor, "wb") as file:
        file.write(content)
