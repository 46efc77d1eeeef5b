"""Verification of a store: checks everything that can be checked at one snapshot, without changing or blocking it.

    description   store.toml exists and can be read
    catalog       the database is sound, and the tables are those of this release
    files         every Parquet file, policy and checkpoint exists and is unchanged
    arrays        every segment of a build can be decoded, and has the rows of its builds
    rows          identities are unique, references exist, counts and rewards agree
    orphans       files that no snapshot names
    archive       every file of an archive matches its manifest

An archive in a tar file is unpacked, and verified like an archive in a folder. Content that may be malicious
(``archive.check_content``) is named and not opened.

Checks continue after damage; a check that needs an unreadable table is reported as unchecked. There is a report even if
the catalog is damaged: each file is then checked by itself (``verify.alone``). The store may be written to, compacted
and read meanwhile. The verification takes the memory of one segment and 16 bytes for each sample.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from molbuffer.storage.archive import ALREADY_HERE, ArchiveLimits, is_archive, unpacked
from molbuffer.storage.backends import one_line
from molbuffer.storage.boundary import boundary
from molbuffer.storage.catalog import TABLES, Catalog, Journal, check_identity, check_schema
from molbuffer.storage.description import Description
from molbuffer.storage.errors import (
    ExtensionError,
    StoreError,
    StoreFormatError,
    StoreNotFoundError,
    StorePlaceError,
)
from molbuffer.storage.files import sync_paths
from molbuffer.storage.layout import Layout
from molbuffer.storage.verify.alone import check_files_alone, check_segments_alone
from molbuffer.storage.verify.archives import verify_archive
from molbuffer.storage.verify.files import (
    check_checkpoints,
    check_orphans,
    check_parquet,
    check_policies,
    recorded_checksums,
)
from molbuffer.storage.verify.report import FindingKind, Findings, Progress, VerifyReport
from molbuffer.storage.verify.samples import check_samples
from molbuffer.storage.verify.segments import check_segments
from molbuffer.storage.verify.tables import check_tables
from molbuffer.storage.verify.verification import Look, StoreVerification

_INTEGRITY = "SELECT * FROM sqlite_query('METADATA', 'PRAGMA {check}')"


def _silent(done: int, total: int) -> None:
    """Report no progress."""


def verify_store(
    path: str | Path,
    *,
    quick: bool = False,
    progress: Progress = _silent,
    limits: ArchiveLimits = ArchiveLimits(),
) -> VerifyReport:
    """Verify the store or archive at a path without writing to it.

    Args:
        path: the folder of a store, or an archive: a folder or a tar file.
        quick: whether to check names, sizes and descriptions only, without decoding arrays or hashing files.
        progress: the function that receives the numbers of checked and of all parts.
        limits: the limits of an archive in a tar file.

    Raises:
        StoreNotFoundError: there is neither a store nor the remains of one.
        ArchiveError: a tar file is not an archive, ends in the middle, or exceeds the limits.
        StorePlaceError: the file system does not allow the catalog to be read.
    """
    path, findings = Path(path).resolve(), Findings(progress)
    with boundary(None):
        if path.is_file():
            with unpacked(path, limits) as folder:
                return verify_archive(folder, limits, findings, quick=quick)
        if is_archive(path):
            return verify_archive(path, ALREADY_HERE, findings, quick=quick)
        return _verify_folder(path, findings, quick=quick)


def _verify_folder(folder: Path, findings: Findings, *, quick: bool) -> VerifyReport:
    layout = Layout(folder)
    if not (layout.description.exists() or layout.sqlite.database.exists() or layout.has_data()):
        raise StoreNotFoundError(f"{layout.root} is no store: it has neither store.toml nor catalog.sqlite")
    description = _check_description(layout, findings)
    if description is not None:
        layout = description.layout(folder)
    alone = Look(layout=layout, findings=findings, quick=quick)
    try:
        catalog = _opened(layout, description)
    except (StorePlaceError, ExtensionError):
        raise
    except Exception as error:
        message = f"{one_line(error)}. Without the catalog, rows and files are not known: {_advice(layout)}"
        findings.error(FindingKind.CATALOG, message, path=layout.sqlite.database.name)
        findings.unchecked.append("everything that the catalog names: it cannot be read")
        check_files_alone(alone)
        return findings.report(None)
    snapshots: list[int] = []
    with findings.going_on("the newest snapshot"):
        snapshots.append(catalog.newest())
    if not snapshots:
        check_files_alone(alone)
    for snapshot in snapshots:
        _check_store(
            StoreVerification(catalog=catalog, snapshot=snapshot, layout=layout, findings=findings, quick=quick),
            description,
        )
    with findings.going_on("the end of the connection"):
        catalog.close()
    return findings.report(snapshots[0] if snapshots else None)


def _opened(layout: Layout, description: Description | None) -> Catalog:
    """Return the catalog of a store, after a check that it belongs to the store."""
    catalog = Catalog(layout.catalog, read_only=True)
    try:
        if description is not None:
            check_identity(catalog, layout, description.uuid)
    except BaseException:
        catalog.close()
        raise
    return catalog


def _check_store(of: StoreVerification, description: Description | None) -> None:
    """Run all checks of a store, each as far as its catalog can be read."""
    checksums: Mapping[str, str] = {}
    of_this_release: list[bool] = []
    with of.findings.going_on("the catalog"):
        _check_catalog(of)
    with of.findings.going_on("the journal"):
        _check_journal(of)
    with of.findings.going_on("checksums"):
        checksums = recorded_checksums(of.catalog)
    with of.findings.going_on("Parquet files"):
        check_parquet(of, checksums)
    with of.findings.going_on("the schema"):
        of_this_release.append(_check_schema(of, description))
    if of_this_release != [True]:
        check_files_alone(of)
        return
    with of.findings.going_on("policies"):
        check_policies(of)
    with of.findings.going_on("checkpoints"):
        check_checkpoints(of, checksums)
    segments = of.findings.checked["segments"]
    with of.findings.going_on("which builds lie in which segment"):
        check_segments(of)
    if of.findings.checked["segments"] == segments:
        check_segments_alone(of)
    with of.findings.going_on("rows of tables"):
        check_tables(of)
    with of.findings.going_on("samples"):
        check_samples(of)
    with of.findings.going_on("files that nothing names"):
        check_orphans(of)


def _advice(layout: Layout) -> str:
    if layout.backend == layout.sqlite:
        return f"`molbuffer recover {shlex.quote(str(layout.root))}` makes it anew, or restores a backup"
    return "restore the schema from a backup of the database"


def _check_journal(of: StoreVerification) -> None:
    """Check the journal, from which a lost catalog would be made anew."""
    journal = of.layout.journal
    if of.layout.backend != of.layout.sqlite or not journal.exists() or of.quick:
        return
    if not Journal(journal, sync_paths).read().complete:
        of.findings.warning(
            FindingKind.JOURNAL,
            f"{journal} is damaged, so that a lost catalog could be made anew in part only: `molbuffer maintain "
            "--vacuum` writes it anew",
            path=journal.name,
        )


def _check_description(layout: Layout, findings: Findings) -> Description | None:
    try:
        return Description.read(layout.description)
    except StoreNotFoundError:
        message = (
            f"{layout.description} is missing, and without it no command opens the store, though its catalog is there. "
            "Restore it from a backup; any copy of this store has the same"
        )
        findings.error(FindingKind.DESCRIPTION, message, path=layout.description.name)
    except StoreFormatError as error:
        findings.error(FindingKind.DESCRIPTION, str(error), path=layout.description.name)
    return None


def _check_catalog(of: StoreVerification) -> None:
    """Check the catalog's file with SQLite through DuckDB, since opening it twice would drop this process's locks.

    Postgres checks its own pages when it reads them.
    """
    layout = of.layout
    if layout.backend != layout.sqlite:
        return
    check = "quick_check" if of.quick else "integrity_check"
    try:
        answer = [line for (line,) in of.catalog.metadata(_INTEGRITY.format(check=check))]
    except StoreError as error:
        answer = [str(error)]
    if answer != ["ok"]:
        message = f"SQLite finds {layout.sqlite.database} damaged: {'; '.join(answer[:5])}. {_advice(layout)}"
        of.findings.error(FindingKind.CATALOG, message, path=layout.sqlite.database.name)
    of.findings.checked["catalog"] += 1


def _check_schema(of: StoreVerification, description: Description | None) -> bool:
    """Return whether the tables are those of this release, and report it if they are not."""
    missing = [table for table, parts in of.catalog.files(TABLES, of.snapshot).items() if not parts.columns]
    if not of.findings.can_read("the version of the schema", "migrations"):
        return not missing
    try:
        # An unreadable description is reported as an error of its own; the newest schema is then expected.
        check_schema(of.catalog, of.layout, description or Description(uuid=""))
        if missing:
            raise StoreFormatError(f"the catalog lacks the tables {', '.join(missing)}: {_advice(of.layout)}")
    except StoreFormatError as error:
        of.findings.error(FindingKind.SCHEMA, str(error))
        of.findings.unchecked.append("rows, arrays, policies and checkpoints: the tables are not those of this release")
        return False
    return True
