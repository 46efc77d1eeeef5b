"""Verification of the files that the catalog names (Parquet files, policies, checkpoints), and a search for others.

A file with a recorded checksum is compared with it, which finds every change of its content. A file without one is
decoded, which finds most damage.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePosixPath

import duckdb
from safetensors import SafetensorError
from safetensors.numpy import load

from molbuffer.storage.backends import closed_connection, one_line, reach
from molbuffer.storage.catalog import Catalog
from molbuffer.storage.files import Place, checksums_in, entries, file_sha256, files_at
from molbuffer.storage.maintenance import GRACE
from molbuffer.storage.maintenance.vacuum import vacuum
from molbuffer.storage.policies import content_sha256
from molbuffer.storage.verify.report import FindingKind
from molbuffer.storage.verify.verification import StoreVerification, Verification

_RECORDED = "SELECT commit_extra_info FROM METADATA.ducklake_snapshot_changes WHERE commit_extra_info IS NOT NULL"


def recorded_checksums(catalog: Catalog) -> dict[str, str]:
    """Return the recorded sha256 of files, by their path in the store."""
    return checksums_in(text for (text,) in catalog.metadata(_RECORDED))


# Parquet files

_PARQUET = """
    SELECT table_name, 'tables/main/' || table_name || '/' || part.path, record_count, file_size_bytes
    FROM METADATA.ducklake_data_file AS part JOIN METADATA.ducklake_table AS whole USING (table_id)
    UNION ALL
    SELECT table_name, 'tables/main/' || table_name || '/' || part.path, delete_count, file_size_bytes
    FROM METADATA.ducklake_delete_file AS part JOIN METADATA.ducklake_table AS whole USING (table_id)
    ORDER BY ALL"""
_READ_BY_TRAINING = frozenset({"runs", "builds", "samples", "rewards", "placements", "quarantine"})


@dataclass(frozen=True)
class _ParquetFile:
    """The entry of a Parquet file in the catalog.

    Attributes:
        table: the table of its rows.
        path: its path in the store.
        rows: the number of its rows.
        bytes: its size in bytes.
    """

    table: str
    path: str
    rows: int
    bytes: int


def check_parquet(of: StoreVerification, checksums: Mapping[str, str]) -> None:
    """Check that every Parquet file exists and is unchanged; a table with a damaged file is marked as broken.

    Args:
        of: the verification.
        checksums: the recorded checksums, from ``recorded_checksums``.
    """
    files = _parquet_files(of.catalog)
    of.findings.expect(len(files))
    with closing(closed_connection()) as reader:
        reach(reader, of.catalog.tables)
        faults: dict[_ParquetFile, str] = {}
        for file in files:
            expected = None if of.quick else checksums.get(file.path)
            fault = _parquet_fault(reader, of.layout.data / file.path, file, expected, quick=of.quick)
            if fault is not None:
                faults[file] = fault
            of.findings.done("Parquet files")
    # Since the files were listed, a compaction may have replaced files, and a vacuum may have deleted them.
    still = set(_parquet_files(of.catalog)) if faults else set()
    for file in faults.keys() & still:
        of.findings.broken_tables.add(file.table)
        affected = (
            "training and most queries fail" if file.table in _READ_BY_TRAINING else "what reads this table fails"
        )
        of.findings.error(
            FindingKind.PARQUET,
            f"{file.path}, a file of the table {file.table} with {file.rows} rows, {faults[file]}",
            advice=f"Restore this file from a backup; until then {affected}, and other tables can be queried. "
            "Quarantine is for arrays only",
            path=file.path,
            table=file.table,
        )


def _parquet_files(catalog: Catalog) -> list[_ParquetFile]:
    """Return every Parquet file that any snapshot reads."""
    return [_ParquetFile(*row) for row in catalog.metadata(_PARQUET)]


def _parquet_fault(
    reader: duckdb.DuckDBPyConnection, path: Place, file: _ParquetFile, checksum: str | None, *, quick: bool
) -> str | None:
    """Return the fault of a Parquet file as the predicate of a sentence, such as "is missing"; None without a fault."""
    try:
        found = files_at(path)
        if not found:
            return "is missing"
        if found[0].bytes != file.bytes:
            return f"has {found[0].bytes} bytes, the catalog says {file.bytes}"
        if checksum is not None:
            return _checksum_fault(path, checksum)
        # Hashing whole rows decodes every column; a count alone reads only the end of the file.
        decoded = "count(*)" if quick else "count(*), bit_xor(hash(part))"
        rows = reader.execute(f"SELECT {decoded} FROM read_parquet(?) AS part", [str(path)]).fetchall()[0][0]
    except FileNotFoundError:
        return "is missing"
    except (OSError, duckdb.Error) as error:
        return f"cannot be read ({one_line(error)})"
    return None if rows == file.rows else f"has {rows} rows, the catalog says {file.rows}"


def _checksum_fault(path: Place, expected: str) -> str | None:
    found = file_sha256(path)
    return None if found == expected else f"has the checksum {found[:16]}…, it was written with {expected[:16]}…"


# Policies


def check_policies(of: Verification) -> None:
    """Check that the weights of every policy whose weights are kept exist, and match the hash in its name."""
    if not of.findings.can_read("weights of policies", "policies"):
        return
    sql = "SELECT sha256 FROM {lineage} WHERE weights_kept ORDER BY ALL"
    found = of.catalog.read(sql, of.snapshot)
    kept = found["sha256"].to_pylist()
    of.findings.expect(len(kept))
    for sha256 in kept:
        if (fault := policy_fault(of.layout.policies / sha256, sha256, quick=of.quick)) is not None:
            advice = "Restore its folder from a backup; until then nothing can draw from it"
            of.findings.error(FindingKind.POLICY, f"policy {sha256} {fault}", path=f"policies/{sha256}", advice=advice)
        of.findings.done("policies")


def policy_fault(folder: Place, sha256: str, *, quick: bool) -> str | None:
    """Return the fault of the folder of a policy as the predicate of a sentence; None without a fault."""
    try:
        if not folder.exists():
            return "is missing, and the catalog says that its weights are kept"
        files = entries(folder)
        if quick:
            return None if files else "has no files"
        found = content_sha256({file.name: file for file in files})
    except OSError as error:
        return f"cannot be read ({error})"
    return None if found == sha256 else f"is damaged: its files hash to {found}"


# Checkpoints


def check_checkpoints(of: Verification, checksums: Mapping[str, str]) -> None:
    """Check that the files of every kept checkpoint exist and are unchanged.

    Args:
        of: the verification.
        checksums: the recorded checksums, from ``recorded_checksums``.
    """
    if not of.findings.can_read("files of checkpoints", "checkpoints"):
        return
    sql = "SELECT run_id, iteration, folder FROM {checkpoints} ORDER BY run_id, iteration DESC"
    found = of.catalog.read(sql, of.snapshot).to_pylist()
    newest: dict[str, int] = {row["run_id"]: row["iteration"] for row in reversed(found)}
    # The rows of removed checkpoints are still in the table, so that only checkpoints with a folder are checked.
    kept = [
        row for row in found if row["iteration"] == newest[row["run_id"]] or (of.layout.data / row["folder"]).exists()
    ]
    of.findings.expect(len(kept))
    for row in kept:
        checkpoint = f"the checkpoint of run {row['run_id']} after iteration {row['iteration']}"
        for path, fault in _checkpoint_faults(of, row["folder"], checksums):
            advice = "Restore it from a backup; the run can be resumed from its other checkpoints only"
            of.findings.error(FindingKind.CHECKPOINT, f"{checkpoint}: {path} {fault}", path=path, advice=advice)
        of.findings.done("checkpoints")


def _checkpoint_faults(of: Verification, folder: str, checksums: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each faulty path of a checkpoint, with its fault as the predicate of a sentence."""
    if ".." in PurePosixPath(folder).parts or not folder.startswith("checkpoints/"):
        yield folder, "is not within the folder checkpoints"
        return
    recorded = {path for path in checksums if path.startswith(f"{folder}/")}
    try:
        if not (of.layout.data / folder).exists():
            yield folder, "is missing"
            return
        found = {f"{folder}/{file.name}" for file in entries(of.layout.data / folder)}
    except OSError as error:
        yield folder, f"cannot be read ({error})"
        return
    if not found | recorded:
        yield folder, "has no files"
    for path in sorted(recorded - found):
        yield path, "is missing"
    for path in sorted(found if not of.quick else ()):
        if (fault := _content_fault(of.layout.data / path, checksums.get(path))) is not None:
            yield path, fault


def _content_fault(path: Place, checksum: str | None) -> str | None:
    try:
        if checksum is not None:
            return _checksum_fault(path, checksum)
        if path.suffix == ".json":
            json.loads(path.read_bytes())
        elif path.suffix == ".safetensors":
            # Loading compares the header with the length of the content.
            load(path.read_bytes())
    except (OSError, ValueError, SafetensorError) as error:
        return f"cannot be read ({error})"
    return None


# Files that nothing names


def check_orphans(of: StoreVerification) -> None:
    """Report the files that a vacuum would remove at any age, and policies without a row."""
    needed = ("builds", "placements", "quarantine", "checkpoints", "run_events")
    if of.findings.can_read("which files nothing names", *needed):
        for removed in vacuum(of.catalog, of.layout, grace=timedelta(0), dry_run=True).removed:
            if removed.modified is None:
                # The file no longer exists: its writer has renamed it, or a vacuum has removed it.
                continue
            age = max(0.0, time.time() - removed.modified)
            of.findings.information(
                FindingKind.ORPHAN,
                f"nothing needs the {removed.kind} {removed.path} ({removed.bytes:,} bytes, {age:,.0f} s old): it was "
                "replaced, or its writer was killed or is still at work. `molbuffer maintain --vacuum` removes it once "
                f"it is {GRACE.total_seconds() / 3600:.0f} h old",
                path=removed.path,
                bytes=removed.bytes,
                age_seconds=age,
            )
    if of.findings.can_read("which policies nothing names", "policies"):
        # Policies are listed before the rows are read, so that policies with newer rows are not in the list.
        there = [path for path in entries(of.layout.policies) if not path.name.startswith(".")]
        named = set(of.catalog.read("SELECT DISTINCT sha256 FROM {policies}")["sha256"].to_pylist())
        for path in there:
            if path.name not in named:
                size = sum(file.bytes for file in files_at(path))
                message = f"no row names the policy {path.name} ({size:,} bytes); it can be drawn from all the same"
                of.findings.information(FindingKind.ORPHAN, message, path=f"policies/{path.name}", bytes=size)
