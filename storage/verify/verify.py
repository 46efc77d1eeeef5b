"""Verifies a store: everything about it that can be checked, at one version, without changing or delaying anything.

    description   store.toml is there and can be read
    catalog       the SQLite file is sound, and the tables are those of this release
    files         every Parquet file, policy and checkpoint is there, and as it was written
    arrays        every segment that a build lies in decodes, and holds the rows of its builds
    rows          identities are unique, references lead somewhere, counts and rewards agree
    orphans       files that no version names
    archive       in an archive, every file is the one that it lists

An archive in a tar file is unpacked, and verified as one in a folder. What somebody else may have made to do harm, as
``molbuffer.storage.archive.check_content`` says of archives that are read, is named and not opened.

Every check goes on where another found damage; what depends on a table that cannot be read is listed as unchecked. The
store may be written to, compacted and read meanwhile. Memory is that of one segment and of 16 bytes a sample.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from molbuffer.storage.archive.manifest import ALREADY_HERE, ArchiveLimits, is_archive
from molbuffer.storage.archive.tar import unpacked
from molbuffer.storage.catalog.catalog import Catalog
from molbuffer.storage.catalog.migrate import check_schema
from molbuffer.storage.catalog.schema import TABLES
from molbuffer.storage.description import Description
from molbuffer.storage.errors import (
    ExtensionError,
    StoreError,
    StoreFormatError,
    StoreNotFoundError,
    StorePlaceError,
)
from molbuffer.storage.layout import Layout
from molbuffer.storage.verify.archives import verify_archive
from molbuffer.storage.verify.files import (
    check_checkpoints,
    check_orphans,
    check_parquet,
    check_policies,
    recorded_checksums,
)
from molbuffer.storage.verify.report import Kind, Notes, Progress, Report
from molbuffer.storage.verify.rows import check_rows
from molbuffer.storage.verify.segments import check_segments

_INTEGRITY = "SELECT * FROM sqlite_query('METADATA', 'PRAGMA {check}')"


def _silent(done: int, total: int) -> None:
    """Reports no progress."""


def verify_store(
    path: str | Path,
    *,
    quick: bool = False,
    progress: Progress = _silent,
    limits: ArchiveLimits = ArchiveLimits(),
) -> Report:
    """Verifies the store at a path, which is only read.

    Args:
        path: the folder of a store, or an archive: a folder or a tar file.
        quick: look at names, sizes and descriptions only: no array is decoded, no file is hashed.
        progress: called with how many of how many parts are checked.
        limits: what an archive may take.

    Raises:
        StoreNotFoundError: there is neither a store nor what is left of one.
        ArchiveError: a tar file is none of an archive, ends in the middle, or exceeds the limits.
        StorePlaceError: the file system does not let the catalog be read.
    """
    path, notes = Path(path).resolve(), Notes(progress)
    if path.is_file():
        with unpacked(path, limits) as folder:
            return verify_archive(folder, limits, notes, quick=quick)
    if is_archive(path):
        return verify_archive(path, ALREADY_HERE, notes, quick=quick)
    return _verify_store(path, notes, quick=quick)


def _verify_store(folder: Path, notes: Notes, *, quick: bool) -> Report:
    layout = Layout(folder)
    if not layout.description.exists() and not layout.sqlite.database.exists():
        raise StoreNotFoundError(f"{layout.root} is no store: it has neither store.toml nor catalog.sqlite")
    description = _check_description(layout, notes)
    if description is not None:
        layout = description.layout(folder)
    try:
        if layout.backend == layout.sqlite and not layout.sqlite.database.exists():
            raise StoreError(f"{layout.sqlite.database} is missing")
        catalog = Catalog(layout.catalog, read_only=True)
    except (StorePlaceError, ExtensionError):
        raise
    except StoreError as error:
        message = f"{error}. Without it nobody knows which rows and files there are: restore it from a backup"
        notes.error(Kind.CATALOG, message, path=layout.sqlite.database.name)
        notes.unchecked.append("everything that the catalog names: it cannot be read")
        return notes.report(None)
    with closing(catalog):
        return _verify(catalog, layout, notes, quick=quick)


def _verify(catalog: Catalog, layout: Layout, notes: Notes, *, quick: bool) -> Report:
    snapshot = catalog.newest()
    _check_catalog(catalog, layout, notes, quick=quick)
    checksums = recorded_checksums(catalog)
    check_parquet(catalog, layout, checksums, notes, quick=quick)
    if _schema_is_ours(catalog, layout, snapshot, notes):
        check_policies(catalog, layout, snapshot, notes, quick=quick)
        check_checkpoints(catalog, layout, snapshot, checksums, notes, quick=quick)
        check_segments(catalog, layout, snapshot, notes, quick=quick)
        check_rows(catalog, snapshot, notes)
        check_orphans(catalog, layout, notes)
    return notes.report(snapshot)


def _check_description(layout: Layout, notes: Notes) -> Description | None:
    try:
        return Description.read(layout.description)
    except StoreNotFoundError:
        message = (
            f"{layout.description} is missing, and without it no command opens the store, though its catalog is there. "
            "Restore it from a backup; any copy of this store has the same"
        )
        notes.error(Kind.DESCRIPTION, message, path=layout.description.name)
    except StoreFormatError as error:
        notes.error(Kind.DESCRIPTION, str(error), path=layout.description.name)
    return None


def _check_catalog(catalog: Catalog, layout: Layout, notes: Notes, *, quick: bool) -> None:
    """Has SQLite check its file: through DuckDB, since opening it beside would drop the locks of this process.

    Postgres checks its own pages when it reads them.
    """
    if layout.backend != layout.sqlite:
        return
    check = "quick_check" if quick else "integrity_check"
    try:
        said = [line for (line,) in catalog.metadata(_INTEGRITY.format(check=check))]
    except StoreError as error:
        said = [str(error)]
    if said != ["ok"]:
        message = f"SQLite finds {layout.sqlite.database} damaged: {'; '.join(said[:5])}. Restore it from a backup"
        notes.error(Kind.CATALOG, message, path=layout.sqlite.database.name)
    notes.checked["catalog"] += 1


def _schema_is_ours(catalog: Catalog, layout: Layout, snapshot: int, notes: Notes) -> bool:
    """Whether the tables are those that this release knows; others are not looked into."""
    if not notes.readable("the version of the schema", "migrations"):
        return not _missing_tables(catalog, snapshot)
    try:
        check_schema(catalog, layout, _description(layout))
        if missing := _missing_tables(catalog, snapshot):
            raise StoreFormatError(f"the catalog lacks the tables {', '.join(missing)}: restore it from a backup")
    except StoreFormatError as error:
        notes.error(Kind.SCHEMA, str(error))
        notes.unchecked.append("rows, arrays, policies and checkpoints: the tables are not those of this release")
        return False
    return True


def _missing_tables(catalog: Catalog, snapshot: int) -> list[str]:
    return [table for table, parts in catalog.files(TABLES, snapshot).items() if not parts.columns]


def _description(layout: Layout) -> Description:
    """What ``store.toml`` says; where it cannot be read, which is noted elsewhere, that of a store of this release."""
    try:
        return Description.read(layout.description)
    except StoreError:
        return Description(uuid="")
