"""The commit protocol: all parts of a commit become visible together, durably, and exactly once.

    1. The arrays are written as new segments, and the checkpoint as a new folder, and synced.
    2. One transaction, which holds the commit lock, looks up which parts are there already and inserts the others. Its
       Parquet files are synced before it commits.
    3. Only then is the commit acknowledged.

Between 1 and 2 the process may have slept for so long that a vacuum took its files for those of one that was killed.
The transaction therefore looks whether they are there, and without them the commit starts again.

A crash before 2 leaves files that nothing names. A build is known by its id, consumed rows, checkpoint and metrics of
a training by their run and iteration: a second attempt finds them and adds nothing.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any, Protocol
from uuid import uuid4

import pyarrow as pa

from molbuffer.storage.backends import unwritten
from molbuffer.storage.catalog import Catalog, Transaction
from molbuffer.storage.commits import tables
from molbuffer.storage.commits.scores import insert_poses, insert_scores
from molbuffer.storage.commits.tables import PlacedBuild
from molbuffer.storage.errors import UnknownRunError
from molbuffer.storage.files import CHECKSUMS_KEY, Sync, write_files
from molbuffer.storage.layout import Layout
from molbuffer.storage.records import Build, Checkpoint, Commit, Event, PolicyVersion, now
from molbuffer.storage.segments import write_segment
from molbuffer.storage.stored import BuildReceipt, CommitReceipt

_logger = logging.getLogger("molbuffer.storage.commits")


class _Reader(Protocol):
    def read(self, sql: str, *, parameters: Sequence[Any] | None = None, **tables: pa.Table) -> pa.Table: ...


class Committer:
    """Writes commits into one store; safe to use from several threads."""

    def __init__(self, catalog: Catalog, layout: Layout, sync: Sync) -> None:
        self._catalog = catalog
        self._layout = layout
        self._sync = sync
        self._known_runs: set[str] = set()

    def commit(self, commit: Commit) -> CommitReceipt:
        """Carry out the protocol.

        Raises:
            ValueError: a commit that contradicts itself.
            UnknownRunError: it names a run that was never started.
            StoreWriteError: the disk is full or failed; nothing of the commit is visible.
            StoreError: nothing of the commit is visible.
        """
        check(commit)
        self._check_runs(_runs(commit))
        while (receipt := self._attempt(commit)) is None:
            _logger.warning("a vacuum removed arrays before they were committed; they are written again")
        return receipt

    def _attempt(self, commit: Commit) -> CommitReceipt | None:
        """Carry out the protocol, unless the files of step 1 are gone in step 2; None when they are."""
        builds = tables.rows_in_order(commit.builds)
        # Looking before the arrays are written spares a repeated attempt the writing; the look under the lock decides.
        snapshot = self._catalog.newest()
        known = find_receipts(self._catalog, builds)
        self._catalog.check_there()
        try:
            placed = self._write_segments([build for build in builds if build.build_id not in known])
            folder = self._write_checkpoint(commit.checkpoint) if commit.checkpoint else None
        except OSError as error:
            raise unwritten(self._layout.root, error) from error

        def insert(transaction: Transaction) -> dict[str, BuildReceipt] | None:
            # A vacuum removes nothing while the lock is held.
            if not all((self._layout.data / path).is_dir() for path in written):
                return None
            # Nothing can have been added since when the version is still the same.
            there = known if transaction.snapshot == snapshot else find_receipts(transaction, builds)
            fresh = [place for place in placed if place.build.build_id not in there]
            for name, table in (columns if len(fresh) == len(placed) else tables.build_tables(fresh, now())).items():
                transaction.insert(name, table)
            for place in fresh:
                insert_poses(transaction, place.build.scores, place.build.run_id)
            insert_scores(transaction, commit.scores, commit.run_id or _only_run(commit))
            _insert_policies(transaction, commit.policies)
            _insert_training(transaction, commit)
            if commit.checkpoint and folder:
                _insert_checkpoint(transaction, commit.checkpoint, folder)
            return there

        # Every writer waits for what is done under the lock, so that rows are put into columns before it.
        columns = tables.build_tables(placed, now())
        written = {f"{self._layout.arrays.name}/{place.segment}" for place in placed} | ({folder} if folder else set())
        said, extra = commit.message or _message(commit), _extra(commit)
        if commit.checkpoint and folder:
            extra[CHECKSUMS_KEY] = {
                f"{folder}/{name}": hashlib.sha256(content).hexdigest()
                for name, content in commit.checkpoint.files.items()
            }
        there, version = self._catalog.transact(commit.author, said, extra, insert)
        if there is None:
            return None
        made = {place.build.build_id: tables.receipt(place.build, version) for place in placed}
        ids = [build.build_id for build in commit.builds]
        return CommitReceipt(version, tuple(there.get(build_id) or made[build_id] for build_id in ids))

    def _check_runs(self, named: Sequence[str]) -> None:
        """Refuse runs that were never started: without its run, nobody could say where a row came from."""
        # Runs are never removed, so that one look at each is enough.
        if not self._known_runs.issuperset(named):
            self._known_runs |= set(self._catalog.read("SELECT run_id FROM {runs}")["run_id"].to_pylist())
        if missing := sorted(set(named) - self._known_runs):
            raise UnknownRunError(f"{', '.join(missing)} is no run in {self._layout.root}; call start_run first")

    def _write_segments(self, builds: Sequence[Build]) -> list[PlacedBuild]:
        """Write one segment for each vocabulary, and return where each build is, in the order of the builds."""
        groups: dict[str, list[Build]] = {}
        for build in builds:
            groups.setdefault(build.samples.vocabulary_sha256, []).append(build)
        places: dict[str, PlacedBuild] = {}
        for group in groups.values():
            segment = uuid4().hex
            offsets = write_segment(self._layout.arrays / segment, [build.samples.rows for build in group])
            places |= {b.build_id: PlacedBuild(b, segment, offset) for b, offset in zip(group, offsets, strict=True)}
        return [places[build.build_id] for build in builds]

    def _write_checkpoint(self, checkpoint: Checkpoint) -> str:
        """Write the files of a checkpoint, and return the path of their folder under the store's data."""
        # A second attempt at one iteration gets a folder of its own; the catalog names the one that counts.
        name = f"{checkpoint.iteration:08d}-{uuid4().hex[:8]}"
        run = self._layout.checkpoints / checkpoint.run_id
        write_files(run / name, checkpoint.files, self._sync, named_in=[run, run.parent])
        return str(PurePosixPath(self._layout.checkpoints.name, checkpoint.run_id, name))


def check(commit: Commit) -> None:
    """Refuse a commit that contradicts itself.

    Raises:
        ValueError: a build occurs twice, a reward belongs to no row, or consumed rows, metrics or bucketed molecules
            name no run.
    """
    ids = [build.build_id for build in commit.builds]
    if len(set(ids)) != len(ids):
        twice = next(build for build in commit.builds if ids.count(build.build_id) > 1)
        raise ValueError(f"a commit holds a build of {twice.sampler!r} at iteration {twice.iteration} twice")
    for build in commit.builds:
        tables.check_rows(build)
    if (commit.consumed or commit.run_metrics or commit.bucketed) and commit.run_id is None:
        raise ValueError(
            "a commit with consumed rows, run metrics or bucketed molecules needs run_id, the run they belong to"
        )
    names = commit.checkpoint.files if commit.checkpoint else ()
    if any("/" in name or name.startswith(".") for name in names):
        raise ValueError(f"files of a checkpoint need plain names, got {sorted(names)}")


def find_receipts(reader: _Reader, builds: Sequence[Build]) -> dict[str, BuildReceipt]:
    """Return the receipts of those builds that are committed already, by build id, marked as repeated."""
    if not builds:
        return {}
    runs, iterations = [build.run_id for build in builds], [build.iteration for build in builds]
    # The ranges let DuckLake skip the files of other runs and iterations; the join alone would read them all.
    found = reader.read(
        f"""{RECEIPT_COLUMNS} JOIN wanted USING (build_id)
        WHERE run_id BETWEEN ? AND ? AND iteration BETWEEN ? AND ?""",
        parameters=[min(runs), max(runs), min(iterations), max(iterations)],
        wanted=pa.table({"build_id": [build.build_id for build in builds]}),
    )
    return {row["build_id"]: receipt_of(row, repeated=True) for row in found.to_pylist()}


RECEIPT_COLUMNS = """SELECT build_id, run_id, iteration, event, sampler, drawn, parseable, kept, mean_reward,
    readmitted, snapshot_id AS snapshot FROM {builds}"""


def receipt_of(row: dict[str, Any], *, repeated: bool = False) -> BuildReceipt:
    """Return the receipt of a row of ``RECEIPT_COLUMNS``."""
    return BuildReceipt(**(row | {"event": Event(row["event"]), "repeated": repeated}))


def _insert_policies(transaction: Transaction, policies: Sequence[PolicyVersion]) -> None:
    if not policies:
        return
    known = transaction.read(
        """SELECT sha256, arg_max(weights_kept, (created, weights_kept)) AS kept, max(created) AS newest
        FROM {policies} GROUP BY sha256"""
    ).to_pylist()
    kept = {row["sha256"]: row["kept"] for row in known}
    # The newest row of a policy counts, also when the clock has gone back.
    again = [
        row["newest"] + timedelta(microseconds=1) for row in known if row["sha256"] in {p.sha256 for p in policies}
    ]
    fresh: list[PolicyVersion] = []
    for policy in policies:
        # A version that drew a batch and is published later gets a second row, which says that its weights are kept; so
        # does one that is published again after they were removed.
        if policy.sha256 not in kept or policy.weights_kept > kept[policy.sha256]:
            fresh.append(policy)
            kept[policy.sha256] = policy.weights_kept
    transaction.insert("policies", tables.policy_rows(fresh, max([now(), *again])))


def _insert_training(transaction: Transaction, commit: Commit) -> None:
    run_id, created = commit.run_id, now()
    if run_id is None:
        return
    if commit.consumed:
        there = _iterations(transaction, "consumed", run_id)
        fresh = [part for part in commit.consumed if part.iteration not in there]
        transaction.insert("consumed", tables.consumed_rows(run_id, fresh, created))
    if commit.run_metrics:
        sql = "SELECT DISTINCT iteration, name FROM {metrics} WHERE run_id = ? AND build_id IS NULL"
        known = {(row["iteration"], row["name"]) for row in transaction.read(sql, [run_id]).to_pylist()}
        metrics = [(iteration, m) for iteration, m in commit.run_metrics if (iteration, m.name) not in known]
        transaction.insert("metrics", tables.run_metric_rows(run_id, metrics, created))
    if commit.bucketed:
        there = _iterations(transaction, "bucketed_molecules", run_id)
        molecules = [each for each in commit.bucketed if each.iteration not in there]
        sql = "SELECT coalesce(max(position) + 1, 0) AS next FROM {bucketed_molecules} WHERE run_id = ?"
        first = transaction.read(sql, [run_id])["next"][0].as_py()
        transaction.insert("bucketed_molecules", tables.bucketed_rows(run_id, molecules, first, created))


def _insert_checkpoint(transaction: Transaction, checkpoint: Checkpoint, folder: str) -> None:
    if checkpoint.iteration in _iterations(transaction, "checkpoints", checkpoint.run_id):
        return
    row = {"run_id": checkpoint.run_id, "iteration": checkpoint.iteration, "folder": folder}
    transaction.insert("checkpoints", pa.Table.from_pylist([row | {"snapshot": checkpoint.snapshot, "created": now()}]))


def _iterations(transaction: Transaction, table: str, run_id: str) -> set[int]:
    """Return the iterations of a run that a table has rows of."""
    sql = f"SELECT DISTINCT iteration FROM {{{table}}} WHERE run_id = ?"
    return set(transaction.read(sql, [run_id])["iteration"].to_pylist())


def _runs(commit: Commit) -> list[str]:
    named: Iterable[str | None] = (
        *(build.run_id for build in commit.builds),
        commit.run_id,
        commit.checkpoint.run_id if commit.checkpoint else None,
    )
    return sorted({run_id for run_id in named if run_id is not None})


def _only_run(commit: Commit) -> str | None:
    found = _runs(commit)
    return found[0] if len(found) == 1 else None


def _message(commit: Commit) -> str:
    parts = {"builds": commit.builds, "scores": commit.scores, "policies": commit.policies, "consumed": commit.consumed}
    counts = [f"{len(part)} {name}" for name, part in parts.items() if part]
    return ", ".join([*counts, *(["checkpoint"] if commit.checkpoint else [])]) or "metrics of a training"


def _extra(commit: Commit) -> dict[str, Any]:
    """Return the provenance that the snapshot carries."""
    return {
        "runs": _runs(commit),
        "iterations": sorted({build.iteration for build in commit.builds}),
        "builds": [build.build_id for build in commit.builds],
        "samples": sum(len(build.samples) for build in commit.builds),
    }
