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
"""A function that makes files and folders durable; tests pass one that records its calls."""

# Concurrent fsyncs share one commit of the file system's journal: 14 of them take 10 ms together and 50 ms in a row.
_CONCURRENT_SYNCS = 16


def sync_paths(paths: Iterable[Path]) -> None:
    """Sync files and folders, and return once all of them are on the disk.

    Raises:
        OSError: a path is missing, or the disk failed.
    """
    # Wait for all of them, even when one fails: no fsync still runs when this returns.
    wait(syncs := [_threads().submit(_sync, path) for path in paths])
    for each in syncs:
        each.result()


@functools.cache
def _threads() -> ThreadPoolExecutor:
    """Return the pool of threads for fsync, which is kept: starting threads takes as long as syncing a small file."""
    return ThreadPoolExecutor(_CONCURRENT_SYNCS, thread_name_prefix="fsync")


# A forked process does not inherit the threads of its parent.
os.register_at_fork(after_in_child=_threads.cache_clear)


def sync_tree(folder: Place) -> None:
    """Sync a folder with all its content, and its entry in the parent folder; an object store needs no sync."""
    # A write that an object store has acknowledged is durable.
    if isinstance(folder, Path):
        sync_paths([folder.parent, folder, *folder.rglob("*")])


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_private(place: Place, content: bytes | Place) -> None:
    """Write a new file that only its owner may read; a file in a folder is not synced.

    Args:
        place: the file.
        content: the content, or the file that it is copied from.

    Raises:
        FileExistsError: the file exists.
    """
    if not isinstance(place, Path):
        place.write_bytes(_sendable(content), new=True)
        return
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    with open(descriptor, "wb") as file:
        if isinstance(content, bytes):
            file.write(content)
        else:
            with content.open("rb") as source:
                shutil.copyfileobj(source, file)


def _sendable(content: bytes | Place) -> bytes | Path:
    """Return what an object store can be given: it reads a file on the disk in portions."""
    return content if isinstance(content, (bytes, Path)) else content.read_bytes()


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


def write_files(
    folder: Place, files: Mapping[str, bytes | Place], sync: Sync, *, named_in: Iterable[Place] = ()
) -> None:
    """Write files into a folder, which is made when it is missing, and return once they are durable.

    A crash may leave some of the files: use this for a folder that nothing names before all of its files are there.

    Args:
        folder: the folder, or the prefix in an object store, where files that are there already are left as they are.
        files: the content of each file by its path in the folder, or the file that it is copied from, in the order in
            which they are written.
        sync: makes files and folders durable.
        named_in: the folders above that may be new, the innermost first.
    """
    if not isinstance(folder, Path):
        there = {path.name for path in folder.iterdir()}
        for name, content in files.items():
            if name not in there:
                (folder / name).write_bytes(_sendable(content))
        return
    above = on_disk(named_in)
    folders = [folder, *dict.fromkeys(inner for name in files if (inner := (folder / name).parent) != folder)]
    for each in (*reversed(above), *folders):
        make_folder(each)
    for name, content in files.items():
        write_private(folder / name, content)
    sync([*(folder / name for name in files), *folders, *above])


def write_folder(folder: Place, files: Mapping[str, bytes | Place], sync: Sync) -> None:
    """Write a folder so that a crash leaves all of it or nothing; in an object store, a crash may leave a part.

    A folder that another process made under the same name in the meantime is taken to be the same, and is kept.

    Args:
        folder: the folder, or the prefix in an object store, where files that are there already are left as they are.
        files: the content of each file by name, or the file to copy, in the order in which they are written to an
            object store.
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
    """Return a unique hidden path in the same folder."""
    return path.with_name(f".{path.name}.{uuid4().hex}")
