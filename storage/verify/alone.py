"""Verification of each file of a store by itself, if the catalog cannot be read."""

from __future__ import annotations

from molbuffer.storage.catalog import TABLES, find_parquet
from molbuffer.storage.files import entries
from molbuffer.storage.verify.files import policy_fault
from molbuffer.storage.verify.report import FindingKind
from molbuffer.storage.verify.segments import segment_fault
from molbuffer.storage.verify.verification import Look


def check_files_alone(of: Look) -> None:
    """Check that each Parquet file and segment can be decoded, and that each policy matches the hash in its name."""
    with of.findings.going_on("segments"):
        check_segments_alone(of)
    with of.findings.going_on("policies"):
        _check_policies_alone(of)
    if not of.quick:
        with of.findings.going_on("Parquet files"):
            _check_parquet_alone(of)


def _check_policies_alone(of: Look) -> None:
    policies = [folder for folder in entries(of.layout.policies) if not folder.name.startswith(".")]
    of.findings.expect(len(policies))
    for folder in policies:
        if (fault := policy_fault(folder, folder.name, quick=of.quick)) is not None:
            message, advice = f"policy {folder.name} {fault}", "Restore its folder from a backup"
            of.findings.error(FindingKind.POLICY, message, path=f"policies/{folder.name}", advice=advice)
        of.findings.done("policies")


def _check_parquet_alone(of: Look) -> None:
    found = find_parquet(of.layout.tables, TABLES)
    of.findings.expect(len(found.sound) + len(found.damaged))
    for path, why in found.damaged.items():
        message, advice = f"{path} cannot be read ({why})", "Restore it from a backup"
        of.findings.error(FindingKind.PARQUET, message, path=path, advice=advice)
    for _ in (*found.sound, *found.damaged):
        of.findings.done("Parquet files")


def check_segments_alone(of: Look) -> None:
    """Check that each segment in the store's folder can be decoded."""
    folders = [folder for folder in entries(of.layout.arrays) if not folder.name.startswith(".")]
    of.findings.expect(len(folders))
    for folder in folders:
        if (fault := segment_fault(of, folder.name)) is not None:
            path = f"arrays/{folder.name}"
            of.findings.error(FindingKind.SEGMENT, f"{fault}. It is not known whether it is needed", path=path)
        of.findings.done("segments")
