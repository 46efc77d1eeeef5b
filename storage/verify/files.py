"""Verifies what the catalog names by path: Parquet files, policies, checkpoints.

A file with a recorded checksum is compared with it, which finds every change of its content. The Parquet files that
compaction makes, and those whose versions have expired, have none: they are decoded, which finds most damage.
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

from molbuffer.storage.backends.engine import closed_connection, one_line, reach
from molbuffer.storage.catalog.catalog import Catalog
from molbuffer.storage.catalog.readable import ReadableCatalog
from molbuffer.storage.files.checksums import CHECKSUMS_KEY, file_sha256
from molbuffer.storage.files.places import Place, entries, files_at
from molbuffer.storage.layout import Layout
from molbuffer.storage.maintenance.vacuum import GRACE, Removed, vacuum
from molbuffer.storage.policies import content_sha256
from molbuffer.storage.verify.report import Kind, Notes

_PARQUET = """
    SELECT table_name, 'tables/main/' || table_name || '/' || part.path, record_count, file_size_bytes
    FROM METADATA.ducklake_data_file AS part JOIN METADATA.ducklake_table AS whole USING (table_id)
    UNION ALL
    SELECT table_name, 'tables/main/' || table_name || '/' || part.path, delete_count, file_size_bytes
    FROM METADATA.ducklake_delete_file AS part JOIN METADATA.ducklake_table AS whole USING (table_id)
    ORDER BY ALL"""
_SAID = "SELECT commit_extra_info FROM METADATA.ducklake_snapshot_changes WHERE commit_extra_info IS NOT NULL"
_TRAINING = frozenset({"runs", "builds", "samples", "rewards", "placements", "quarantine"})


@dataclass(frozen=True)
class ParquetFile:
    """A Parquet file as the catalog describes it.

    Attributes:
        place: its path in the store.
    """

    table: str
    place: str
    rows: int
    bytes: int


def parquet_files(catalog: Catalog) -> list[ParquetFile]:
    """Every Parquet file that some version reads."""
    return [ParquetFile(*row) for row in catalog.metadata(_PARQUET)]


def recorded_checksums(catalog: Catalog) -> dict[str, str]:
    """The sha256 of files by their place in the store, as the versions that added them say."""
    found: dict[str, str] = {}
    for (said,) in catalog.metadata(_SAID):
        found.update(_checksums_in(said))
    return found


def _checksums_in(said: str) -> Mapping[str, str]:
    """The checksums among what a version says of itself; a program that attached the catalog may say anything."""
    try:
        checksums = json.loads(said)[CHECKSUMS_KEY]
    except (ValueError, TypeError, KeyError):
        return {}
    return checksums if isinstance(checksums, dict) else {}


def check_parquet(catalog: Catalog, layout: Layout, checksums: Mapping[str, str], notes: Notes, *, quick: bool) -> None:
    """Every Parquet file is there and as it was written. Tables with a damaged one are noted as broken."""
    files = parquet_files(catalog)
    notes.expect(len(files))
    with closing(closed_connection()) as reader:
        reach(reader, catalog.tables)
        faults: dict[ParquetFile, str] = {}
        for file in files:
            fault = _parquet_fault(reader, layout.data / file.place, file, None if quick else checksums, quick=quick)
            if fault is not None:
                faults[file] = fault
            notes.done("Parquet files")
    # A compaction beside us may have replaced files, and a clean-up deleted them, since they were listed.
    named = set(parquet_files(catalog)) if faults else set()
    for file in faults.keys() & named:
        notes.broken_tables.add(file.table)
        affected = "training and most queries fail" if file.table in _TRAINING else "what reads this table fails"
        notes.error(
            Kind.PARQUET,
            f"{file.place}, a file of the table {file.table} with {file.rows} rows, {faults[file]}. Restore this file "
            f"from a backup; until then {affected}, and other tables can be queried. Quarantine is for arrays only",
            path=file.place,
            table=file.table,
        )


def _parquet_fault(
    reader: duckdb.DuckDBPyConnection,
    path: Place,
    file: ParquetFile,
    checksums: Mapping[str, str] | None,
    *,
    quick: bool,
) -> str | None:
    """What is wrong with a file, as the rest of a sentence about it."""
    try:
        found = files_at(path)
        if not found:
            return "is missing"
        if found[0].bytes != file.bytes:
            return f"has {found[0].bytes} bytes, the catalog says {file.bytes}"
        if checksums and (expected := checksums.get(file.place)):
            return _other_checksum(path, expected)
        # Hashing whole rows has every column decoded; a count alone reads the end of the file only.
        decoded = "count(*)" if quick else "count(*), bit_xor(hash(part))"
        rows = reader.execute(f"SELECT {decoded} FROM read_parquet(?) AS part", [str(path)]).fetchall()[0][0]
    except FileNotFoundError:
        return "is missing"
    except (OSError, duckdb.Error) as error:
        return f"cannot be read ({one_line(error)})"
    return None if rows == file.rows else f"has {rows} rows, the catalog says {file.rows}"


def check_policies(catalog: ReadableCatalog, layout: Layout, snapshot: int, notes: Notes, *, quick: bool) -> None:
    """The weights of every policy that says they are kept are there, and hash to the policy's name."""
    if not notes.readable("weights of policies", "policies"):
        return
    found = catalog.read("SELECT DISTINCT sha256 FROM {policies} WHERE weights_kept ORDER BY ALL", snapshot)
    kept = found["sha256"].to_pylist()
    notes.expect(len(kept))
    for sha256 in kept:
        if (fault := _policy_fault(layout.policies / sha256, sha256, quick=quick)) is not None:
            message = f"policy {sha256} {fault}: restore its folder from a backup; until then nothing can draw from it"
            notes.error(Kind.POLICY, message, path=f"policies/{sha256}")
        notes.done("policies")


def _policy_fault(folder: Place, sha256: str, *, quick: bool) -> str | None:
    try:
        if not folder.exists():
            return "is missing, and the catalog says that its weights are kept"
        files = entries(folder)
        if quick:
            return None if files else "has no files"
        found = content_sha256({file.name: file.read_bytes() for file in files})
    except OSError as error:
        return f"cannot be read ({error})"
    return None if found == sha256 else f"is damaged: its files hash to {found}"


def check_checkpoints(
    catalog: Catalog, layout: Layout, snapshot: int, checksums: Mapping[str, str], notes: Notes, *, quick: bool
) -> None:
    """The files of every checkpoint are there and as they were written."""
    if not notes.readable("files of checkpoints", "checkpoints"):
        return
    sql = "SELECT run_id, iteration, folder FROM {checkpoints} ORDER BY run_id, iteration DESC"
    found = catalog.read(sql, snapshot).to_pylist()
    notes.expect(len(found))
    runs: set[str] = set()
    for row in found:
        newest = row["run_id"] not in runs
        runs.add(row["run_id"])
        # The rows of older checkpoints stay when a vacuum removes their folders.
        if not newest and not (layout.data / row["folder"]).exists():
            notes.done("checkpoints")
            continue
        of_run = f"the checkpoint of run {row['run_id']} after iteration {row['iteration']}"
        for place, fault in _checkpoint_faults(layout, row["folder"], checksums, quick=quick):
            advice = "restore it from a backup; the run can be resumed from its other checkpoints only"
            notes.error(Kind.CHECKPOINT, f"{of_run}: {place} {fault}; {advice}", path=place)
        notes.done("checkpoints")


def _checkpoint_faults(
    layout: Layout, folder: str, checksums: Mapping[str, str], *, quick: bool
) -> Iterator[tuple[str, str]]:
    """The places of a checkpoint that something is wrong with, and what."""
    path = layout.data / folder
    if ".." in PurePosixPath(folder).parts or not folder.startswith("checkpoints/"):
        yield folder, "is not within the folder checkpoints"
        return
    recorded = {place for place in checksums if place.startswith(f"{folder}/")}
    try:
        if not path.exists():
            yield folder, "is missing"
            return
        found = {f"{folder}/{file.name}" for file in entries(path)}
    except OSError as error:
        yield folder, f"cannot be read ({error})"
        return
    if not found | recorded:
        yield folder, "has no files"
    for place in sorted(recorded - found):
        yield place, "is missing"
    for place in sorted(found if not quick else ()):
        if (fault := _content_fault(layout.data / place, checksums.get(place))) is not None:
            yield place, fault


def _content_fault(path: Place, expected: str | None) -> str | None:
    try:
        if expected is not None:
            return _other_checksum(path, expected)
        if path.suffix == ".json":
            json.loads(path.read_bytes())
        elif path.suffix == ".safetensors":
            # Which compares the header with the length of the content.
            load(path.read_bytes())
    except (OSError, ValueError, SafetensorError) as error:
        return f"cannot be read ({error})"
    return None


def _other_checksum(path: Place, expected: str) -> str | None:
    found = file_sha256(path)
    return None if found == expected else f"has the checksum {found[:16]}…, it was written with {expected[:16]}…"


_READ = ("builds", "placements", "quarantine", "checkpoints", "run_events")


def check_orphans(catalog: Catalog, layout: Layout, notes: Notes) -> None:
    """Notes what a vacuum would remove if it were old enough, and policies without a row."""
    if notes.readable("which files nothing names", *_READ):
        for found in vacuum(catalog, layout, grace=timedelta(0), dry_run=True).removed:
            _note(found, notes)
    if notes.readable("which policies nothing names", "policies"):
        # Listed first: one that is named in between is then not in the list.
        there = [path for path in entries(layout.policies) if not path.name.startswith(".")]
        named = set(catalog.read("SELECT DISTINCT sha256 FROM {policies}")["sha256"].to_pylist())
        for path in there:
            if path.name not in named:
                size = sum(file.bytes for file in files_at(path))
                message = f"no row names the policy {path.name} ({size:,} bytes); it can be drawn from all the same"
                notes.information(Kind.ORPHAN, message, path=f"policies/{path.name}", bytes=size)


def _note(found: Removed, notes: Notes) -> None:
    if found.modified is None:
        # Its writer, or a vacuum, has done its work.
        return
    age = max(0.0, time.time() - found.modified)
    notes.information(
        Kind.ORPHAN,
        f"nothing needs the {found.kind} {found.path} ({found.bytes:,} bytes, {age:,.0f} s old): it was replaced, or "
        "its writer was killed or is still at work. `molbuffer maintain --vacuum` removes it once it is "
        f"{GRACE.total_seconds() / 3600:.0f} h old",
        path=found.path,
        bytes=found.bytes,
        age_seconds=age,
    )
