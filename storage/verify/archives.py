"""Verification of an archive: its files by its manifest, and its content like that of a store.

An archive may be malicious. The checks and their order are those of ``archive.check_content``, which precede the use of
rows. Here every damaged file is named, but content that molbuffer would not write is neither opened nor decoded, and no
path out of the archive is followed.
"""

from __future__ import annotations

from contextlib import closing
from itertools import islice
from pathlib import Path

from molbuffer.storage.archive import (
    ArchiveCatalog,
    ArchiveLimits,
    read_manifest,
    table_of,
    wrong_arrays,
    wrong_content,
    wrong_files,
)
from molbuffer.storage.errors import ArchiveError, StoreError
from molbuffer.storage.layout import Layout
from molbuffer.storage.verify.files import check_policies
from molbuffer.storage.verify.report import FindingKind, Findings, VerifyReport
from molbuffer.storage.verify.samples import check_samples
from molbuffer.storage.verify.segments import check_segments
from molbuffer.storage.verify.tables import check_tables
from molbuffer.storage.verify.verification import Verification

_ADVICE = "Take another copy of the archive"
_MAX_CONTENT_FINDINGS = 20


def verify_archive(folder: Path, limits: ArchiveLimits, findings: Findings, *, quick: bool) -> VerifyReport:
    """Verify an archive in a folder.

    Args:
        folder: the folder of the archive.
        limits: the limits of its size and number of files.
        findings: the collector of findings.
        quick: whether to check names, sizes and descriptions only.
    """
    try:
        return findings.report(_check_archive(folder, limits, findings, quick=quick))
    except StoreError as error:
        fault = error.fault if isinstance(error, ArchiveError) else None
        findings.error(FindingKind.ARCHIVE, str(error), advice=_ADVICE, fault=fault)
        findings.unchecked.append("everything else in it: what is not as molbuffer writes it is not read")
        return findings.report(None)


def _check_archive(folder: Path, limits: ArchiveLimits, findings: Findings, *, quick: bool) -> int:
    """Check an archive, and return the snapshot from which it was made."""
    manifest = read_manifest(folder, limits)
    damaged = list(wrong_files(folder, manifest, limits, sizes_only=quick))
    for wrong in damaged:
        message = f"{wrong.name} {wrong.text}"
        findings.error(FindingKind.ARCHIVE, message, path=wrong.name, advice=_ADVICE, fault=wrong.fault)
    findings.checked["manifest of an archive"] += 1
    findings.checked["files"] += len(manifest.files)
    findings.broken_tables.update(table for wrong in damaged if (table := table_of(wrong.name or "")) is not None)
    if (problem := wrong_arrays(folder, limits.bytes)) is not None:
        findings.error(FindingKind.ARCHIVE, problem.text, advice=_ADVICE, fault=problem.fault)
        findings.unchecked.append("arrays, policies and rows: the arrays are not as molbuffer writes them")
        return manifest.snapshot
    with closing(ArchiveCatalog(folder, manifest.tables_without(findings.broken_tables))) as catalog:
        check_content(catalog, findings, quick=quick)
    return manifest.snapshot


def check_content(archive: ArchiveCatalog, findings: Findings, *, quick: bool = False) -> None:
    """Check the rows, arrays and policies of an archive whose files match its manifest.

    Args:
        archive: the archive, whose arrays may be decoded by their headers (``archive.check_headers``).
        findings: the collector of findings.
        quick: whether to check names, sizes and descriptions only.
    """
    wrong = list(islice(wrong_content(archive), _MAX_CONTENT_FINDINGS)) if not findings.broken_tables else []
    for problem in wrong:
        message = f"the archive is inconsistent: {problem.text}"
        findings.error(FindingKind.ARCHIVE, message, advice=_ADVICE, fault=problem.fault)
    if wrong:
        findings.unchecked.append("arrays, policies and rows: they are not as molbuffer writes them")
        return
    of = Verification(
        catalog=archive, layout=Layout(archive.folder), snapshot=archive.newest(), findings=findings, quick=quick
    )
    check_policies(of)
    check_segments(of)
    check_samples(of)
    # What joins samples would not end where each is there a million times.
    if any(finding.kind is FindingKind.DUPLICATE for finding in findings.found):
        findings.unchecked.append("rules about tables: rows are there more than once")
        return
    check_tables(of)
