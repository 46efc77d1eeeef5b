"""The making of archives: self-contained, read-only, checksummed files with chosen rows of one snapshot of a store.

An archive has the chosen rows with their provenance: builds, runs and their events, rewards, metrics, scores of their
molecules, the trainings that consumed them, their arrays, and the lineage of the policies that drew them. It has the
kept weights of these policies, or else those of their nearest kept ancestors, but no checkpoints. A build may be
archived in part: ``builds`` has the number of drawn rows, and ``samples`` has the chosen ones.

An archive is written under another name and renamed, so that it is complete or does not exist. The store keeps the
snapshot during the archiving and afterwards (``maintenance.pins``).
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc

from molbuffer.storage.archive.crate import CrateOrigin, crate_bytes, crate_runs
from molbuffer.storage.archive.files import listed_files
from molbuffer.storage.archive.manifest import CRATE, MANIFEST, Manifest
from molbuffer.storage.archive.tables import write_table
from molbuffer.storage.archive.terms import ArchiveTerms
from molbuffer.storage.archive.workplace import finished, put_in_place, refuse_existing, workplace
from molbuffer.storage.catalog import MIGRATIONS, Transaction
from molbuffer.storage.errors import ArchiveError, ArchiveFault, UnknownPolicyError
from molbuffer.storage.files import make_folder, write_private
from molbuffer.storage.handle import OpenStore
from molbuffer.storage.maintenance import snapshot_kept
from molbuffer.storage.policies import PolicyStore
from molbuffer.storage.query import matching_rows
from molbuffer.storage.records import now
from molbuffer.storage.segments import ArraySource, BuildCopy, copy_arrays, rows_by_build


@dataclass(frozen=True)
class ArchiveReceipt:
    """The result of making an archive.

    Attributes:
        path: the folder or file of the archive.
        uuid: the identity of the archive.
        snapshot: the snapshot from which it was made.
        rows: the number of its rows.
        builds: the number of its builds.
        quarantined: the number of builds that were left out because their arrays are in quarantine.
        sha256: the hash of its manifest, which covers the whole archive.
        recorded: whether the store has recorded the archive and keeps the snapshot; a read-only store does not.
    """

    path: Path
    uuid: str
    snapshot: int
    rows: int
    builds: int
    quarantined: int
    sha256: str
    recorded: bool


@dataclass(frozen=True)
class _Contents:
    """The chosen content of an archive.

    Attributes:
        snapshot: the snapshot of the store.
        runs: the ids of the named runs; empty for all runs.
        where: the predicate that the rows fulfil; None without a predicate.
        builds: the builds (build_id, run_id, drawn, vocabulary_sha256, segment, segment_offset), ordered for copying.
        rows: the rows (build_id, row), ordered by build.
        quarantined: the number of builds that were left out because of a quarantine.
    """

    snapshot: int
    runs: tuple[str, ...]
    where: str | None
    builds: pa.Table
    rows: pa.Table
    quarantined: int

    @property
    def whole_runs(self) -> pa.Table:
        """The runs whose own metrics are archived: the named runs, and the runs of the builds."""
        return pa.table({"run_id": pa.array(sorted({*self.runs, *self.builds["run_id"].to_pylist()}), pa.string())})


def make_archive(
    store: OpenStore,
    out: Path,
    *,
    runs: Sequence[str] = (),
    where: str | None = None,
    snapshot: int | None = None,
    terms: ArchiveTerms = ArchiveTerms(),
) -> ArchiveReceipt:
    """Make an archive of chosen rows of a store.

    Args:
        store: the store.
        out: the path of a new folder, or of a new file if it ends in .tar, .tar.gz, .tgz or .tar.zst.
        runs: the ids of runs, or their beginnings; empty means all runs. The rows of a training's actors are included.
        where: a predicate over ``sample_history`` that the rows must fulfil; None means all rows.
        snapshot: the snapshot of the store; None means the newest.
        terms: the licence and the authors, which the archive states.

    Raises:
        StoreExistsError: ``out`` exists, or another process is making it.
        ArchiveError: no row was chosen, or the snapshot expired while the archive was made.
        UnknownRunError: the store does not have a run.
        UnknownSnapshotError: the store does not have the snapshot.
        PredicateError: ``where`` is not a predicate over a row.
        ArraysError: a segment of the store is damaged.
        PolicyDamagedError: a policy of the store is damaged.
        OSError: the disk is full or failed.
    """
    out = out.absolute()
    refuse_existing(out)
    contents = _choose(store, runs, where, store.snapshot() if snapshot is None else snapshot)
    uuid = str(uuid4())
    recorded = not store.read_only
    with snapshot_kept(store.layout, contents.snapshot, uuid) if recorded else nullcontext(), workplace(out) as folder:
        sha256 = _fill(store, contents, folder, uuid, terms)
        made = finished(folder, out)
        refuse_existing(out)
        if recorded:
            # Before the archive gets its name, so that the store keeps the snapshot of every archive.
            _record(store, uuid, contents)
        put_in_place(made, out)
    return ArchiveReceipt(
        path=out,
        uuid=uuid,
        snapshot=contents.snapshot,
        rows=contents.rows.num_rows,
        builds=contents.builds.num_rows,
        quarantined=contents.quarantined,
        sha256=sha256,
        recorded=recorded,
    )


_BUILDS = """
    SELECT builds.build_id, builds.run_id, builds.drawn, builds.vocabulary_sha256,
        builds.segment, builds.segment_offset, builds.segment IN (SELECT segment FROM {quarantine}) AS quarantined
    FROM {placed_builds} AS builds
    WHERE len(?) = 0 OR list_contains(?, builds.run_id)
        OR builds.run_id IN (SELECT run_id FROM {runs} WHERE kind = 'build' AND list_contains(?, parent_run_id))
    ORDER BY builds.vocabulary_sha256, builds.segment, builds.segment_offset"""
_ROWS = """SELECT samples.build_id, samples."row" FROM {samples} AS samples SEMI JOIN usable USING (build_id)
    [matching] ORDER BY samples.build_id, samples."row" """
_MATCHING = 'SEMI JOIN matching ON matching.build_id = samples.build_id AND matching."row" = samples."row"'


def _choose(store: OpenStore, runs: Sequence[str], where: str | None, snapshot: int) -> _Contents:
    ids = tuple(dict.fromkeys(store.run(run).run_id for run in runs))
    builds = store.read_arrow(_BUILDS, snapshot=snapshot, parameters=[list(ids)] * 3)
    usable = builds.filter(pc.invert(builds["quarantined"])).drop_columns("quarantined")
    tables = {"usable": usable.select(["build_id"])}
    if where is not None:
        tables["matching"] = matching_rows(store.catalog, where, snapshot)
    sql = _ROWS.replace("[matching]", "" if where is None else _MATCHING)
    rows = store.read_arrow(sql, snapshot=snapshot, **tables)
    if where is not None:
        usable = usable.filter(pc.is_in(usable["build_id"], pc.unique(rows["build_id"])))
    if not rows.num_rows:
        raise ArchiveError(
            f"no row of {store.path} at snapshot {snapshot} was chosen: there is nothing to archive "
            f"(runs: {', '.join(ids) or 'all'}; condition: {where or 'none'})",
            ArchiveFault.NOTHING_CHOSEN,
        )
    return _Contents(
        snapshot=snapshot,
        runs=ids,
        where=where,
        builds=usable,
        rows=rows,
        quarantined=builds["quarantined"].to_pylist().count(True),
    )


def _record(store: OpenStore, uuid: str, contents: _Contents) -> None:
    row = {
        "archive_id": uuid,
        "snapshot": contents.snapshot,
        "predicate": contents.where,
        "rows": contents.rows.num_rows,
    }
    named = pa.Table.from_pylist([row | {"run_id": run_id, "created": now()} for run_id in contents.runs or (None,)])

    def insert(transaction: Transaction) -> None:
        # No snapshot expires while this transaction holds the commit lock.
        if not store.catalog.has_version(contents.snapshot):
            raise ArchiveError(
                f"snapshot {contents.snapshot} of {store.path} expired while it was archived, as may happen when this "
                "process is cut off from the store for longer than a vacuum's grace period: archive another snapshot",
                ArchiveFault.EXPIRED,
            )
        transaction.insert("archives", named)

    store.writable().transact(
        "molbuffer",
        f"archive of {contents.rows.num_rows} rows at snapshot {contents.snapshot}",
        {"archive": uuid, "runs": list(contents.runs)},
        insert,
    )


def _fill(store: OpenStore, contents: _Contents, folder: Path, uuid: str, terms: ArchiveTerms) -> str:
    """Write all files of an archive, and return the hash of its manifest."""
    for name in ("tables", "arrays", "policies"):
        make_folder(folder / name)
    placed = copy_arrays(_build_copies(store, contents), folder / "arrays")
    lineage = _copy_policies(store, contents, folder / "policies")
    tables = _write_tables(store, contents, placed, lineage, folder)
    created, release = now().isoformat(timespec="seconds"), importlib.metadata.version("molbuffer")
    origin = CrateOrigin(
        uuid,
        store.uuid,
        contents.snapshot,
        where=contents.where,
        rows=contents.rows.num_rows,
        created=f"{created}Z",
        molbuffer=release,
    )
    files, made = listed_files(folder), contents.whole_runs["run_id"].to_pylist()
    runs = crate_runs(
        store=store, snapshot=contents.snapshot, run_ids=made, builds=contents.builds, placed=placed, lineage=lineage
    )
    write_private(folder / CRATE, crate_bytes(files, runs, origin, terms))
    manifest = Manifest(
        uuid=uuid,
        source_uuid=store.uuid,
        snapshot=contents.snapshot,
        schema=MIGRATIONS[-1].number,
        runs=contents.runs,
        where=contents.where,
        rows=contents.rows.num_rows,
        builds=contents.builds.num_rows,
        tables=tables,
        molbuffer=release,
        created=created,
        files={**files, **listed_files(folder, only=[CRATE])},
    )
    write_private(folder / MANIFEST, manifest.to_bytes())
    return manifest.content


def _build_copies(store: OpenStore, contents: _Contents) -> Iterator[BuildCopy]:
    rows = rows_by_build(contents.rows)
    for build in contents.builds.to_pylist():
        wanted = rows.get(build["build_id"])
        sources: tuple[ArraySource, ...] = ()
        if wanted is not None:
            sources = (ArraySource(store.layout.arrays, build["segment"], build["segment_offset"], wanted),)
        yield BuildCopy(build["build_id"], build["drawn"], build["vocabulary_sha256"], sources)


def _copy_policies(store: OpenStore, contents: _Contents, out: Path) -> pa.Table:
    """Copy weights, and return the rows of ``policies`` for policies that drew the rows and for their ancestors."""
    drew = store.read_arrow(
        """SELECT DISTINCT unnest([policy_sha256, latent_sha256]) AS sha256
        FROM {builds} SEMI JOIN chosen USING (build_id)""",
        snapshot=contents.snapshot,
        chosen=contents.builds.select(["build_id"]),
    )["sha256"].to_pylist()
    lineage = store.read_arrow("FROM {lineage}", snapshot=contents.snapshot)
    known = {row["sha256"]: row for row in lineage.to_pylist()}
    # The run that made a policy may have removed weights that are kept in the snapshot, or may remove them just now.
    there, copied, policies = set(store.policies.kept()), set[str](), PolicyStore(out)
    while missing := {near for each in drew if (near := _nearest_kept(each, known, there))} - copied:
        for sha256 in sorted(missing):
            try:
                policies.add({file.name: file.read_bytes() for file in store.policies.folder(sha256).iterdir()})
            except (UnknownPolicyError, FileNotFoundError):
                there.discard(sha256)
            else:
                copied.add(sha256)
    wanted: set[str] = set()
    for sha256 in drew:
        while sha256 in known and sha256 not in wanted:
            wanted.add(sha256)
            sha256 = known[sha256]["parent_sha256"]
    rows = [row | {"weights_kept": row["sha256"] in copied} for row in known.values() if row["sha256"] in wanted]
    schema = pa.schema([field for field in lineage.schema if field.name not in ("kept_ancestor", "updates_since_kept")])
    return pa.Table.from_pylist([{name: row[name] for name in schema.names} for row in rows], schema=schema)


def _nearest_kept(sha256: str, known: Mapping[str, Mapping[str, Any]], there: Collection[str]) -> str | None:
    """Return the nearest ancestor, the policy itself included, whose weights are in the store; None without one."""
    row = known.get(sha256)
    while row is not None and not (row["weights_kept"] and row["sha256"] in there):
        row = known.get(row["parent_sha256"])
    return None if row is None else str(row["sha256"])


_INVOLVED = """WITH RECURSIVE involved AS (
        SELECT run_id FROM named_runs UNION SELECT parent_run_id FROM {runs} AS child JOIN involved USING (run_id))"""
_COPIES = {
    "samples": 'SELECT * FROM {samples} AS whole SEMI JOIN chosen USING (build_id, "row")',
    "builds": """SELECT whole.* REPLACE (placed.segment AS segment, placed.segment_offset AS segment_offset)
        FROM {builds} AS whole JOIN placed ON placed.build_id = whole.build_id""",
    "readmitted": "SELECT * FROM {readmitted} AS whole SEMI JOIN placed USING (build_id)",
    "rewards": 'SELECT * FROM {rewards} AS whole SEMI JOIN chosen USING (build_id, "row")',
    "consumed": 'SELECT * FROM {consumed} AS whole SEMI JOIN chosen USING (build_id, "row")',
    **{
        table: f"""WITH archived AS (SELECT * FROM {{samples}} AS whole SEMI JOIN chosen USING (build_id, "row"))
        SELECT * FROM {{{table}}} AS whole
        SEMI JOIN (SELECT smiles FROM archived UNION SELECT source_smiles FROM archived) USING (smiles)"""
        for table in ("scores", "poses")
    },
    "metrics": """SELECT * FROM {metrics} AS whole WHERE build_id IN (SELECT build_id FROM placed)
        OR (build_id IS NULL AND run_id IN (SELECT run_id FROM whole_runs))""",
    "bucketed_molecules": "SELECT * FROM {bucketed_molecules} AS whole SEMI JOIN whole_runs USING (run_id)",
    "policies": "FROM lineage_rows",
    # Written last, since the runs that the other tables name are known only then.
    "runs": f"{_INVOLVED} SELECT * FROM {{runs}} AS whole SEMI JOIN involved USING (run_id)",
    "run_events": f"{_INVOLVED} SELECT * FROM {{run_events}} AS whole SEMI JOIN involved USING (run_id)",
    "objectives": f"""{_INVOLVED} SELECT * FROM {{objectives}} AS whole WHERE objective_sha256 IN (
        SELECT objective_sha256 FROM {{runs}} SEMI JOIN involved USING (run_id)
        UNION SELECT objective_sha256 FROM {{rewards}} SEMI JOIN chosen USING (build_id, "row"))""",
}
_NAME_RUNS = ("rewards", "consumed", "scores", "poses", "policies")


def _write_tables(
    store: OpenStore, contents: _Contents, placed: pa.Table, lineage_rows: pa.Table, folder: Path
) -> dict[str, int]:
    """Write the chosen rows of each table in batches, and return the number of rows by table."""
    whole_runs = contents.whole_runs
    named = set(whole_runs["run_id"].to_pylist())

    def noting_runs(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            named.update(pc.unique(batch["run_id"]).to_pylist())
            yield batch

    written = {}
    for table, select in _COPIES.items():
        given = {"chosen": contents.rows, "placed": placed, "whole_runs": whole_runs, "lineage_rows": lineage_rows}
        given["named_runs"] = pa.table({"run_id": pa.array(sorted(named - {None}), pa.string())})
        batches = store.read_batches(select, snapshot=contents.snapshot, **given)
        written[table] = write_table(folder, table, noting_runs(batches) if table in _NAME_RUNS else batches)
    return written
