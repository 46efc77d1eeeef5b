"""Writes that survive a power cut: fsync of files and of the folders that name them, and whole files or none."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from molbuffer.storage.files.places import PRIVATE_FILE, Place, make_folder, on_disk

Sync = Callable[[Iterable[Path]], None]
"""Makes files and folders durable; tests record what it is called with."""

# Concurrent fsyncs share one commit of the file system's journal: 14 of them take 10 ms together and 50 ms in a row.
_CONCURRENT_SYNCS = 16


def sync_paths(paths: Iterable[Path]) -> None:
    """Return once every file or folder named is on the disk.

    Raises:
        OSError: a path is missing, or the disk failed.
    """
    # All are waited for, also when one fails: nothing is synced any more once this returns.
    wait(syncs := [_threads().submit(_sync, path) for path in paths])
    for each in syncs:
        each.result()


@functools.cache
def _threads() -> ThreadPoolExecutor:
    """Return the threads for fsync, which stay: to start them takes as long as a small file."""
    return ThreadPoolExecutor(_CONCURRENT_SYNCS, thread_name_prefix="fsync")


# A fork has none of its parent's threads.
os.register_at_fork(after_in_child=_threads.cache_clear)


def sync_tree(folder: Place) -> None:
    """Return once a folder is on the disk with all it holds, and is named in its parent."""
    # What an object store has acknowledged is durable.
    if isinstance(folder, Path):
        sync_paths([folder.parent, folder, *folder.rglob("*")])


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_private(place: Place, content: bytes) -> None:
    """Write a new file that only its owner may read; in a folder, it is not durable yet.

    Raises:
        FileExistsError: there is one.
    """
    if not isinstance(place, Path):
        place.write_bytes(content, new=True)
        return
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    with open(descriptor, "wb") as file:
        file.write(content)


@contextmanager
def replacing(path: Path, sync: Sync, *, after: Iterable[Path] = ()) -> Iterator[Path]:
    """Give a private new file, which takes the place of ``path`` durably when all went well, and else is removed.

    A crash leaves the old file, or none, or the whole new one.

    Args:
        path: the file.
        sync: makes files and folders durable.
        after: what must be on the disk before the new file has its name.
    """
    aside = _aside(path)
    write_private(aside, b"")
    try:
        yield aside
        sync([*after, aside])
        aside.rename(path)
        sync([path.parent])
    finally:
        aside.unlink(missing_ok=True)


def write_aside(path: Path, content: bytes, sync: Sync, *, after: Iterable[Path] = ()) -> None:
    """Write a file as ``replacing`` does: a crash leaves the old one, or none, or the whole new one."""
    with replacing(path, sync, after=after) as aside:
        aside.write_bytes(content)


def write_files(folder: Place, files: Mapping[str, bytes], sync: Sync, *, named_in: Iterable[Place] = ()) -> None:
    """Write files into a folder, which is made when it is missing, and return once they are durable.

    A crash leaves some of them: this is for a folder that nothing names before all of its files are there.

    Args:
        folder: the folder, or the prefix in an object store, where files that are there already are left as they are.
        files: the content of each file by its path in the folder, in the order in which they are written.
        sync: makes files and folders durable.
        named_in: the folders above that may be new, the innermost first.
    """
    if not isinstance(folder, Path):
        there = {path.name for path in folder.iterdir()}
        for name, content in files.items():
            if name not in there:
                (folder / name).write_bytes(content)
        return
    above = on_disk(named_in)
    folders = [folder, *dict.fromkeys(inner for name in files if (inner := (folder / name).parent) != folder)]
    for each in (*reversed(above), *folders):
        make_folder(each)
    for name, content in files.items():
        write_private(folder / name, content)
    sync([*(folder / name for name in files), *folders, *above])


def write_folder(folder: Place, files: Mapping[str, bytes], sync: Sync) -> None:
    """Write a folder so that a crash leaves none, or the whole of it; an object store may be left with a part of it.

    A folder that another process made under the same name meanwhile is taken to be the same, and stays.

    Args:
        folder: the folder, or the prefix in an object store, where files that are there already are left as they are.
        files: the content of each file by name, in the order in which an object store is given them.
        sync: makes files and folders durable.

    Raises:
        OSError: the disk is full or failed.
    """
    if not isinstance(folder, Path):
        write_files(folder, files, sync)
        return
    parents = [folder.parent, *([] if folder.parent.exists() else [folder.parent.parent])]
    make_folder(folder.parent)
    aside = _aside(folder)
    try:
        write_files(aside, files, sync)
        aside.rename(folder)
    except OSError:
        shutil.rmtree(aside, ignore_errors=True)
        if not folder.exists():
            raise
    sync(parents)


def _aside(path: Path) -> Path:
    """Return a hidden name beside a path, which nobody else has."""
    return path.with_name(f".{path.name}.{uuid4().hex}")
