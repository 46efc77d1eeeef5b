"""Keep a snapshot from expiring while an archive is made of it.

A row in ``archives`` keeps its snapshot for good. It is therefore inserted when all of the archive is written, so that
an archive that was killed has none. Until then a hidden file names the snapshot, and whoever makes the archive holds a
lock of that name, which ends with its process:

    .archiving-<snapshot>-<archive id>     beside the catalog of a store with SQLite, else below the data path

Expiry keeps the snapshots that such files name. A vacuum removes the files that are older than its grace period, once
it has got the lock that a living process would hold. The grace period is for a process that lost its connection to
Postgres, and with it the lock; should it need longer, its archive is refused in the end (``archive.make``).
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
        path: of the file.
        version: the number of the snapshot.
        archive_id: the uuid that the archive will have.
    """

    path: Place
    version: int
    archive_id: str


def archive_pins(layout: Layout) -> list[ArchivePin]:
    """Return the pins of archives that are being made, and of those whose process was killed."""
    found = ((path, _NAME.fullmatch(path.name)) for path in entries(_folder(layout)))
    return [ArchivePin(path, int(match[1]), match[2]) for path, match in found if match is not None]


@contextmanager
def snapshot_kept(layout: Layout, version: int, archive_id: str) -> Iterator[None]:
    """Keep a snapshot for as long as this lasts.

    Raises:
        StoreError: the server that has the catalog cannot be reached.
        OSError: the disk is full or failed.
    """
    path = _folder(layout) / f".archiving-{version}-{archive_id}"
    with layout.backend.archiving(path).held():
        # The lock of a SQLite catalog has made it: it is a lock on this file.
        with suppress(FileExistsError):
            write_private(path, b"")
        try:
            yield
        finally:
            delete(path)


def _folder(layout: Layout) -> Place:
    """Return the folder of the pins: one that every process which can write to the catalog can read."""
    return layout.root if layout.backend == layout.sqlite else layout.data
