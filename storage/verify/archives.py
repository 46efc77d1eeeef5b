"""Verifies what archives have beyond other stores: a list of their files, and a maker who may have meant harm.

What is looked at, and in which order, is what ``archive.check_content`` asks of an archive before its rows are used.
Here every damaged file is named; but what molbuffer would not write is not opened, decoded, or followed elsewhere.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping

from molbuffer.storage.archive.check_catalog import check_catalog
from molbuffer.storage.archive.check_headers import check_parquet, wrong_arrays
from molbuffer.storage.archive.manifest import ArchiveLimits, wrong_files
from molbuffer.storage.catalog.catalog import Catalog
from molbuffer.storage.description import Description
from molbuffer.storage.errors import ArchiveError
from molbuffer.storage.layout import Layout
from molbuffer.storage.verify.report import Kind, Notes

ALREADY_HERE = ArchiveLimits(bytes=sys.maxsize, files=sys.maxsize)
"""Of an archive in a folder, which takes what it takes."""

# By table: what of it ends up in a path, and what that has to be. Tables of which no archive has rows have no pattern.
_NAMES: Mapping[str, tuple[str, re.Pattern[str] | None]] = {
    "builds": ("SELECT DISTINCT segment FROM {builds}", re.compile(r"[0-9a-f]{32}")),
    "policies": ("SELECT DISTINCT sha256 FROM {policies} WHERE weights_kept", re.compile(r"[0-9a-f]{64}")),
    "placements": ("SELECT DISTINCT segment FROM {placements}", None),
    "quarantine": ("SELECT DISTINCT segment FROM {quarantine}", None),
    "checkpoints": ("SELECT DISTINCT folder FROM {checkpoints}", None),
}


def check_archive(
    layout: Layout, description: Description | None, limits: ArchiveLimits, notes: Notes, *, quick: bool
) -> None:
    """Compares the files of an archive with its list, and looks at all that is read of it from outside.

    Args:
        layout: of the folder, whatever the description says.
        description: what ``store.toml`` says; None when it cannot be read.

    Raises:
        ArchiveError: it has no list, or must not be opened.
    """
    for name, fault in wrong_files(layout.root, limits, sizes_only=quick):
        notes.error(Kind.ARCHIVE, f"{name} {fault}. Take another copy of the archive", path=name)
    notes.checked["list of an archive"] += 1
    if description is not None and not description.archive:
        raise ArchiveError("store.toml says that it is no archive, and may name a catalog and files elsewhere")
    if layout.sqlite.database.exists():
        check_catalog(layout)
    check_parquet(layout.root)
    if (problem := wrong_arrays(layout.root, limits.bytes)) is not None:
        raise ArchiveError(problem)


def stays_inside(catalog: Catalog, snapshot: int, notes: Notes) -> bool:
    """Whether the rows of an archive name nothing outside of it; notes those that do."""
    wrong = list(_leading_out(catalog, snapshot, notes))
    for table, name in wrong:
        message = f"no archive has {name!r} in its table {table}. Take another copy of the archive"
        notes.error(Kind.ARCHIVE, message, table=table)
    if wrong:
        notes.unchecked.append("arrays, policies and rows: the rows of the archive are not as molbuffer writes them")
    return not wrong


def _leading_out(catalog: Catalog, snapshot: int, notes: Notes) -> Iterator[tuple[str, str]]:
    for table, (sql, pattern) in _NAMES.items():
        # What would be read by the names in a table that cannot be read is not checked anyway.
        if table not in notes.broken_tables:
            for (name,) in (row.values() for row in catalog.read(sql, snapshot).to_pylist()):
                if pattern is None or not pattern.fullmatch(str(name)):
                    yield table, str(name)
