"""Pins that keep a snapshot from expiring while an archive is made of it.

A row in ``archives`` keeps its snapshot permanently. The row is therefore inserted after the whole archive is written,
so that an unfinished archive has none. Until then a hidden file names the snapshot, and the process that makes the
archive holds a lock of that name, which ends with the process:

    .archiving-<snapshot>-<archive id>     beside the catalog of a store with SQLite, else below the data path

Expiry keeps the snapshots that such files name. A vacuum removes such files that are older than its grace period if it
can take the lock, which a living process would hold. The grace period protects a process that lost its connection to
Postgres, and with it the lock; if the archive takes longer than that, it is refused at the end (``archive.make``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from molbuffer.storage.files import Place, delete, entries, write_private
from molbuffer.storage.layout import Layout

_NAME = re.compile(r"\.archiving-([0-9]{1,18})-([0-9a-f-]{36})")


@dataclass(frozen=True)
class ArchivePin:
    """The file that keeps a snapshot while an archive is made of it.

    Attributes:
        path: the path of the file.
        version: the number of the snapshot.
        archive_id: the uuid that the archive will have.
    """

    path: Place
    version: int
    archive_id: str


def archive_pins(layout: Layout) -> list[ArchivePin]:
    """Return the pins of all unfinished archives, including those whose process was killed."""
    found = ((path, _NAME.fullmatch(path.name)) for path in entries(_folder(layout)))
    return [ArchivePin(path, int(match[1]), match[2]) for path, match in found if match is not None]


@contextmanager
def snapshot_kept(layout: Layout, version: int, archive_id: str) -> Iterator[None]:
    """Pin a snapshot for the time of the context.

    Raises:
        StoreError: the server of the catalog cannot be reached.
        OSError: the disk is full or failed.
    """
    path = _folder(layout) / f".archiving-{version}-{archive_id}"
    with layout.backend.archiving(path).held():
        # With a SQLite catalog, the lock is a lock on this file, and has made it.
        with suppress(FileExistsError):
            write_private(path, b"")
        try:
            yield
        finally:
            delete(path)


def _folder(layout: Layout) -> Place:
    """Return the folder of the pins, which every process that can write to the catalog can read."""
    return layout.root if layout.backend == layout.sqlite else layout.data
