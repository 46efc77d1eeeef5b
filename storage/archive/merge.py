"""The merge of an archive into a store, which adds each row once, by (build_id, row).

As in every commit, the arrays are written and synced first, and one transaction under the commit lock makes everything
visible or nothing. A killed merge leaves files that no row names, and can be repeated from the start; a repeated merge
adds nothing.

The store and the archive may have different parts of a build. These rows are united: the arrays of all of them are
written as a new segment, and a row in ``placements`` names it. The builds to unite are planned before the arrays are
written, and planned once more under the lock: if another process has changed them, the merge starts again.

Records that both have must be equal: a run with its configuration, a build with its size and vocabulary, a row with its
molecule. The store keeps its own rewards and scores, and adds only those that it lacks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from molbuffer.storage.archive.check_content import find_circle
from molbuffer.storage.catalog import Transaction
from molbuffer.storage.errors import MergeConflictError, RunConflictError, StoreBusyError, StoreModeError
from molbuffer.storage.handle import OpenStore
from molbuffer.storage.records import now
from molbuffer.storage.segments import ArraySource, BuildCopy, copy_arrays, rows_by_build

_ATTEMPTS = 10


@dataclass(frozen=True)
class MergeReceipt:
    """The result of a merge; a repeated merge adds nothing.

    Attributes:
        archive: the uuid of the archive.
        snapshot: the snapshot of the store after the merge.
        runs: the number of added runs.
        builds: the number of added builds.
        rows: the number of added rows.
        rewards: the number of added rewards.
        scores: the number of added scores.
        policies: the number of added policies.
        united: the number of builds in the store whose arrays were written again, with the rows of the archive.
        left_out: the number of builds that were left unchanged, because their arrays in the store are in quarantine and
            the archive does not have all of their rows.
    """

    archive: str
    snapshot: int
    runs: int
    builds: int
    rows: int
    rewards: int
    scores: int
    policies: int
    united: int
    left_out: int


@dataclass(frozen=True)
class _Plan:
    """The plan of the arrays that a merge writes.

    Attributes:
        snapshot: the newest snapshot of the store before the plan was made.
        builds: the builds that gain rows, with the places of their arrays in the archive and, if known, in the store.
        ours: the rows (build_id, row) of these builds that the store has with sound arrays.
        theirs: the rows (build_id, row) whose arrays are copied from the archive.
        left_out: the number of builds that are left unchanged.
    """

    snapshot: int
    builds: pa.Table
    ours: pa.Table
    theirs: pa.Table
    left_out: int

    def same_as(self, other: _Plan) -> bool:
        """Return whether another plan writes the same arrays."""
        return all(getattr(self, name).equals(getattr(other, name)) for name in ("builds", "ours", "theirs"))


def merge_archive(store: OpenStore, archive: OpenStore) -> MergeReceipt:
    """Add the records of an archive that a store lacks to the store.

    Args:
        store: the store.
        archive: the archive, from ``trusted_archive``.

    Raises:
        StoreModeError: ``store`` is open for reading, or ``archive`` is not an archive.
        RunConflictError: a run is known with another configuration, kind or seed; nothing was changed.
        MergeConflictError: a build or a row differs in the archive, or a policy would be its own ancestor; nothing was
            changed.
        StoreError: nothing of the archive is visible.
    """
    if not archive.archive:
        raise StoreModeError(f"{archive.path} is a store and no archive: make one with `molbuffer archive`")
    with store.writable().locked():
        pass  # A store that is open for reading raises its error at once.
    for _ in range(_ATTEMPTS):
        receipt = _attempt(store, archive)
        if receipt is not None:
            return receipt
    raise StoreBusyError(f"builds of {store.path} changed during each of {_ATTEMPTS} merges: try again later")


def _attempt(store: OpenStore, archive: OpenStore) -> MergeReceipt | None:
    """Try to merge once; return None if other processes change the builds while their arrays are written."""
    plan = _plan(store.catalog.read, store.snapshot(), archive)
    for sha256 in archive.policies.kept():
        folder = archive.policies.folder(sha256)
        store.policies.add({file.name: file for file in folder.iterdir()})
    placed = copy_arrays(_copies(store, archive, plan), store.layout.arrays)
    added, snapshot = store.writable().transact(
        "molbuffer",
        f"merge of {plan.theirs.num_rows} rows of archive {archive.uuid}",
        {"archive": archive.uuid, "rows": plan.theirs.num_rows},
        lambda transaction: _insert(store, archive, plan, placed, transaction),
    )
    if added is None:
        return None
    return MergeReceipt(archive=archive.uuid, snapshot=snapshot, left_out=plan.left_out, **added)


# In SQL for the store, {name} is a table of the store, and names without braces are rows of the archive. These rows are
# passed as data, in batches if there are many: an engine that can write files never reads an untrusted file.
_RUN_CONFLICTS = """SELECT run_id FROM {runs} AS ours JOIN theirs USING (run_id)
    WHERE (ours.config_sha256, ours.kind, ours.seed) IS DISTINCT FROM (theirs.config_sha256, theirs.kind, theirs.seed)
    ORDER BY run_id LIMIT 1"""
_BUILD_CONFLICTS = """SELECT build_id FROM {builds} AS ours JOIN theirs USING (build_id)
    WHERE (ours.drawn, ours.vocabulary_sha256, ours.sampler_kind, ours.policy_sha256, ours.objective_sha256,
            ours.latent_sha256, ours.readmitted)
        IS DISTINCT FROM
        (theirs.drawn, theirs.vocabulary_sha256, theirs.sampler_kind, theirs.policy_sha256, theirs.objective_sha256,
            theirs.latent_sha256, theirs.readmitted)
    ORDER BY build_id LIMIT 1"""
_ROW_CONFLICTS = """SELECT build_id, "row" FROM {samples} AS ours JOIN theirs USING (build_id, "row")
    WHERE (ours.raw, ours.smiles, ours.rejected_by, ours.source_smiles)
        IS DISTINCT FROM (theirs.raw, theirs.smiles, theirs.rejected_by, theirs.source_smiles)
    ORDER BY build_id, "row" LIMIT 1"""
_OF_KNOWN_BUILDS = "SELECT samples.* FROM {samples} AS samples SEMI JOIN known USING (build_id)"
_KNOWN_ROWS = """SELECT build_id, count(*) AS both FROM {samples} AS ours SEMI JOIN theirs USING (build_id, "row")
    GROUP BY ALL"""
_COUNTED = "SELECT build_id, count(*) AS theirs FROM {samples} GROUP BY ALL"
_BUILDS = """
    WITH placed AS (
        SELECT build_id, segment, segment_offset, generation FROM {placed_builds} SEMI JOIN archived USING (build_id)
    ),
    known AS (SELECT build_id, count(*) AS ours FROM {samples} SEMI JOIN archived USING (build_id) GROUP BY ALL)
    SELECT archived.build_id, archived.drawn, archived.vocabulary_sha256, archived.segment, archived.segment_offset,
        placed.segment AS our_segment, placed.segment_offset AS our_offset, placed.generation,
        placed.segment IN (SELECT segment FROM {quarantine}) AS quarantined,
        coalesce(counted.theirs, 0) AS theirs, coalesce(shared.both, 0) AS both, coalesce(known.ours, 0) AS ours
    FROM archived LEFT JOIN placed ON placed.build_id = archived.build_id
    LEFT JOIN counted ON counted.build_id = archived.build_id LEFT JOIN shared ON shared.build_id = archived.build_id
    LEFT JOIN known ON known.build_id = archived.build_id
    ORDER BY archived.vocabulary_sha256, archived.segment, archived.segment_offset"""
_OURS = """SELECT samples.build_id, samples."row" FROM {samples} AS samples SEMI JOIN united USING (build_id)
    ORDER BY samples.build_id, samples."row" """
_THEIRS = """SELECT theirs.build_id, theirs."row" FROM {samples} AS theirs SEMI JOIN gaining USING (build_id)
    ANTI JOIN sound ON sound.build_id = theirs.build_id AND sound."row" = theirs."row"
    ORDER BY theirs.build_id, theirs."row" """


def _streamed(archive: OpenStore, sql: str, **tables: pa.Table) -> pa.RecordBatchReader:
    """Return rows of the archive as a reader of batches, which can be read once."""
    schema = archive.read_arrow(f"FROM ({sql}) LIMIT 0", **tables).schema
    return pa.RecordBatchReader.from_batches(schema, archive.read_batches(sql, **tables))


def _plan(read: Callable[..., pa.Table], snapshot: int, archive: OpenStore) -> _Plan:
    """Return the plan of a merge: the builds that gain rows, and these rows.

    Args:
        read: a function that reads the newest snapshot of the store, in a transaction or outside of one.
        snapshot: the newest snapshot of the store.
        archive: the archive.
    """
    archived = archive.read_arrow("SELECT * FROM {builds}")
    known = read("SELECT build_id FROM {builds} SEMI JOIN archived USING (build_id)", archived=archived)
    _refuse_conflicts(read, archive, archived, known)
    shared = read(_KNOWN_ROWS, theirs=_streamed(archive, _OF_KNOWN_BUILDS, known=known))
    builds = read(_BUILDS, archived=archived, counted=archive.read_arrow(_COUNTED), shared=shared)
    gaining, left_out = [], 0
    for build in builds.to_pylist():
        new = build["our_segment"] is None
        healed = bool(build["quarantined"]) and build["both"] == build["ours"]
        left_out += bool(build["quarantined"]) and not healed
        gaining.append(new or healed or (not build["quarantined"] and build["both"] < build["theirs"]))
    wanted = builds.filter(pa.array(gaining, pa.bool_()))
    # All rows of a build in quarantine are read from the archive, including those that the store has.
    united = [row["build_id"] for row in wanted.to_pylist() if row["our_segment"] and not row["quarantined"]]
    ours = read(_OURS, united=pa.table({"build_id": pa.array(united, pa.string())}))
    theirs = archive.read_arrow(_THEIRS, gaining=wanted.select(["build_id"]), sound=ours)
    return _Plan(snapshot, wanted, ours, theirs, left_out)


def _refuse_conflicts(read: Callable[..., pa.Table], archive: OpenStore, builds: pa.Table, known: pa.Table) -> None:
    runs = archive.read_arrow("SELECT run_id, config_sha256, kind, seed FROM {runs}")
    for row in read(_RUN_CONFLICTS, theirs=runs).to_pylist():
        raise RunConflictError(
            f"run {row['run_id']} is in the store with another configuration, kind or seed than in the archive; "
            "nothing was changed"
        )
    for row in read(_BUILD_CONFLICTS, theirs=builds).to_pylist():
        raise MergeConflictError(
            f"build {row['build_id']} differs between the store and the archive; nothing was changed"
        )
    for row in read(_ROW_CONFLICTS, theirs=_streamed(archive, _OF_KNOWN_BUILDS, known=known)).to_pylist():
        raise MergeConflictError(
            f"row {row['row']} of build {row['build_id']} is another molecule in the store than in the archive; "
            "nothing was changed"
        )
    lineage = archive.read_arrow("SELECT sha256, parent_sha256 FROM {policies}")
    # If both have a policy, the parent in the store counts, since the policy is not inserted again.
    parents = pa.concat_tables([lineage, read("SELECT sha256, parent_sha256 FROM {policies}")])
    circle = find_circle(dict(zip(*(parents[name].to_pylist() for name in parents.column_names), strict=True)))
    if circle is not None:
        raise MergeConflictError(f"policy {circle} would descend from itself after the merge; nothing was changed")


def _copies(store: OpenStore, archive: OpenStore, plan: _Plan) -> Iterator[BuildCopy]:
    ours, theirs = rows_by_build(plan.ours), rows_by_build(plan.theirs)
    for build in plan.builds.to_pylist():
        build_id, sources = build["build_id"], []
        if build_id in theirs:
            position = (archive.layout.arrays, build["segment"], build["segment_offset"])
            sources.append(ArraySource(*position, rows=theirs[build_id]))
        if build_id in ours:
            position = (store.layout.arrays, build["our_segment"], build["our_offset"])
            sources.append(ArraySource(*position, rows=ours[build_id]))
        yield BuildCopy(build_id, build["drawn"], build["vocabulary_sha256"], tuple(sources))


# The archive's column with the snapshot that added a build is left out.
_ALL = {"builds": "* EXCLUDE (snapshot_id)"}
# Every SELECT returns the rows of ``theirs``, the rows of the archive, that the table lacks.
_NEW_ROWS = {
    "runs": "SELECT * FROM theirs AS whole ANTI JOIN {runs} AS known USING (run_id)",
    "run_events": """SELECT * FROM theirs AS whole WHERE NOT EXISTS (FROM {run_events} AS known
        WHERE (known.run_id, known.status, known.created) = (whole.run_id, whole.status, whole.created))""",
    "objectives": "SELECT * FROM theirs AS whole ANTI JOIN {objectives} AS known USING (objective_sha256)",
    # The store has all of a run's molecules or none, since they are archived with whole runs.
    "bucketed_molecules": """SELECT * FROM theirs AS whole
        ANTI JOIN {bucketed_molecules} AS known USING (run_id, position)""",
    "builds": """SELECT whole.* REPLACE (placed.segment AS segment, placed.segment_offset AS segment_offset)
        FROM theirs AS whole JOIN placed ON placed.build_id = whole.build_id
        ANTI JOIN {builds} AS known ON known.build_id = whole.build_id""",
    "samples": """SELECT * FROM theirs AS whole SEMI JOIN placed USING (build_id)
        ANTI JOIN {samples} AS known ON known.build_id = whole.build_id AND known."row" = whole."row" """,
    "readmitted": """SELECT * FROM theirs AS whole SEMI JOIN {builds} USING (build_id)
        ANTI JOIN {readmitted} AS known ON known.build_id = whole.build_id AND known.position = whole.position""",
    # Only for rows in the store, which does not have the rows of a build that was left out.
    "rewards": """SELECT * FROM theirs AS whole SEMI JOIN {samples} USING (build_id, "row")
        ANTI JOIN {rewards} AS known ON known.build_id = whole.build_id AND known."row" = whole."row"
            AND known.objective_sha256 = whole.objective_sha256 AND (known.status = 'ok' AND whole.status = 'ok'
            OR known.status = whole.status AND known.created = whole.created)""",
    "scores": """SELECT * FROM theirs AS whole
        ANTI JOIN {scores} AS known ON known.smiles = whole.smiles AND known.component = whole.component
            AND known.version = whole.version AND (known.status = 'ok' AND whole.status = 'ok'
            OR known.status = whole.status AND known.created = whole.created)
        QUALIFY whole.status <> 'ok' OR row_number() OVER (
            PARTITION BY whole.smiles, whole.component, whole.version, whole.status ORDER BY whole.created) = 1""",
    "poses": """SELECT * FROM theirs AS whole
        ANTI JOIN {poses} AS known USING (smiles, component, version)
        QUALIFY row_number() OVER (PARTITION BY smiles, component, version ORDER BY created) = 1""",
    "metrics": """SELECT * FROM theirs AS whole WHERE NOT EXISTS (FROM {metrics} AS known
        WHERE known.run_id = whole.run_id AND known.build_id IS NOT DISTINCT FROM whole.build_id
        AND known.iteration = whole.iteration AND known.name = whole.name)""",
    # A policy that the store knows gets a newer row when its weights come with the archive; its parent stays.
    "policies": """SELECT whole.* REPLACE (
            CASE WHEN known.sha256 IS NULL THEN whole.parent_sha256 ELSE known.parent_sha256 END AS parent_sha256,
            greatest(whole.created, known.newest + INTERVAL 1 MICROSECOND) AS created)
        FROM theirs AS whole LEFT JOIN (
            SELECT sha256, any_value(parent_sha256) AS parent_sha256, max(created) AS newest,
                arg_max(weights_kept, (created, weights_kept)) AS weights_kept
            FROM {policies} GROUP BY sha256
        ) AS known ON known.sha256 = whole.sha256
        WHERE known.sha256 IS NULL OR whole.weights_kept > known.weights_kept""",
    "consumed": """SELECT * FROM theirs AS whole SEMI JOIN {samples} USING (build_id, "row")
        ANTI JOIN {consumed} AS known ON known.run_id = whole.run_id AND known.build_id = whole.build_id
            AND known."row" = whole."row" AND known.iteration = whole.iteration""",
}


def _insert(
    store: OpenStore, archive: OpenStore, plan: _Plan, placed: pa.Table, transaction: Transaction
) -> dict[str, int] | None:
    """Insert all rows, and return their numbers by kind; insert nothing and return None if the plan is outdated."""
    # If the arrays were written long ago, a vacuum may have removed them like those of a killed writer.
    if not all((store.layout.arrays / segment).is_dir() for segment in set(placed["segment"].to_pylist())):
        return None
    # If the snapshot is the same, nothing has changed since the plan was made.
    if transaction.snapshot != plan.snapshot and not plan.same_as(
        _plan(transaction.read, transaction.snapshot, archive)
    ):
        return None
    added = dict.fromkeys(_NEW_ROWS, 0)
    for table, source in archive.catalog.sources(list(_NEW_ROWS), archive.catalog.newest()).items():
        # A statement that adds nothing takes as long as one that adds a row.
        if source.paths:
            theirs = _streamed(archive, f"SELECT {_ALL.get(table, '*')} FROM {{{table}}}")
            added[table] = transaction.insert_select(table, _NEW_ROWS[table], placed=placed, theirs=theirs)
    # The arrays of builds that the store had before have moved.
    generations = {
        build["build_id"]: build["generation"] + 1
        for build in plan.builds.to_pylist()
        if build["our_segment"] is not None
    }
    created = now()
    moved = pa.Table.from_pylist(
        [
            place | {"generation": generations[place["build_id"]], "created": created}
            for place in placed.to_pylist()
            if place["build_id"] in generations
        ]
    )
    transaction.insert("placements", moved)
    counts = {name: added[name] for name in ("runs", "builds", "rewards", "scores", "policies")}
    return counts | {"rows": added["samples"], "united": moved.num_rows}
