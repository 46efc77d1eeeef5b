"""Verifies an archive: its files against its manifest, and its content as that of a store.

Somebody may have made it to do harm. What is looked at, and in which order, is what ``archive.check_content`` asks
before the rows of an archive are used. Here every damaged file is named; but what molbuffer would not write is not
opened, decoded, or followed elsewhere.
"""

from __future__ import annotations

from contextlib import closing
from itertools import islice
from pathlib import Path

from molbuffer.storage.archive.catalog import ArchiveCatalog
from molbuffer.storage.archive.check_content import wrong_content
from molbuffer.storage.archive.check_headers import wrong_arrays
from molbuffer.storage.archive.files import wrong_files
from molbuffer.storage.archive.manifest import ArchiveLimits, read_manifest, table_of
from molbuffer.storage.errors import StoreError
from molbuffer.storage.layout import Layout
from molbuffer.storage.verify.files import check_policies
from molbuffer.storage.verify.report import Kind, Notes, Report
from molbuffer.storage.verify.rows import check_rows
from molbuffer.storage.verify.segments import check_segments

_MOST_SHOWN = 20


def verify_archive(folder: Path, limits: ArchiveLimits, notes: Notes, *, quick: bool) -> Report:
    """Verifies an archive in a folder.

    Args:
        folder: of the archive.
        limits: what it may take.
        notes: where what is found is noted.
        quick: look at names, sizes and descriptions only.
    """
    try:
        snapshot = _verify(folder, limits, notes, quick=quick)
    except StoreError as error:
        notes.error(Kind.ARCHIVE, f"{error}. Take another copy of the archive")
        notes.unchecked.append("everything else in it: what is not as molbuffer writes it is not read")
        return notes.report(None)
    return notes.report(snapshot)


def _verify(folder: Path, limits: ArchiveLimits, notes: Notes, *, quick: bool) -> int:
    manifest = read_manifest(folder, limits)
    damaged = dict(wrong_files(folder, manifest, limits, sizes_only=quick))
    for name, fault in damaged.items():
        notes.error(Kind.ARCHIVE, f"{name} {fault}. Take another copy of the archive", path=name)
    notes.checked["manifest of an archive"] += 1
    notes.checked["files"] += len(manifest.files)
    notes.broken_tables.update(table for name in damaged if (table := table_of(name)) is not None)
    if (problem := wrong_arrays(folder, limits.bytes)) is not None:
        notes.error(Kind.ARCHIVE, f"{problem}. Take another copy of the archive")
        notes.unchecked.append("arrays, policies and rows: the arrays are not as molbuffer writes them")
        return manifest.snapshot
    with closing(ArchiveCatalog(folder, manifest.tables_without(notes.broken_tables))) as catalog:
        verify_content(catalog, notes, quick=quick)
    return manifest.snapshot


def verify_content(archive: ArchiveCatalog, notes: Notes, *, quick: bool = False) -> None:
    """Verifies the rows, arrays and policies of an archive whose files are not those of somebody who means harm.

    Args:
        archive: whose arrays may be decoded, as their headers say.
        notes: where what is found is noted.
        quick: look at names, sizes and descriptions only.
    """
    wrong = list(islice(wrong_content(archive), _MOST_SHOWN)) if not notes.broken_tables else []
    for problem in wrong:
        notes.error(Kind.ARCHIVE, f"no archive is such: {problem}. Take another copy of it")
    if wrong:
        notes.unchecked.append("arrays, policies and rows: they are not as molbuffer writes them")
        return
    layout, snapshot = Layout(archive.folder), archive.newest()
    check_policies(archive, layout, snapshot, notes, quick=quick)
    check_segments(archive, layout, snapshot, notes, quick=quick)
    check_rows(archive, snapshot, notes)
