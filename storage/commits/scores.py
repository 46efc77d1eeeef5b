"""Scores and rewards: facts of their own, which need no build and outlive it.

At most one good score of a molecule, component and version is recorded by itself, and at most one good reward of a row
and objective at all; what failed may be followed by a success. What is said again of a row and objective without being
good, as when two scorers complete one reward, is not stored twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from molbuffer.storage.catalog import Catalog, ReadableCatalog, Transaction
from molbuffer.storage.commits import tables
from molbuffer.storage.errors import UnknownBuildError
from molbuffer.storage.records import Reward, Score, now


def record_scores(catalog: Catalog, scores: Sequence[Score], run_id: str | None) -> int:
    """Commit scores at once, and return how many were new."""
    if not scores:
        return 0
    extra = {"runs": [run_id] if run_id else [], "scores": len(scores)}
    said = f"{len(scores)} scores"
    return catalog.transact("molbuffer", said, extra, lambda t: insert_scores(t, scores, run_id))[0]


def find_scores(
    catalog: ReadableCatalog, component: str, version: str, smiles: Sequence[str], lost_in: str | None = None
) -> dict[str, Score]:
    """Return the known scores of molecules by SMILES: of each the newest good one, else the newest failed one.

    Args:
        catalog: of the store.
        component: the name of the component.
        version: its version.
        smiles: the molecules.
        lost_in: a run whose lost scores count as failed ones.
    """
    found = catalog.read(
        """SELECT smiles, unnest(arg_max(
            {'value': value, 'status': status, 'error': error, 'seconds': seconds, 'std': std},
            (status = 'ok', created)))
        FROM {scores} SEMI JOIN wanted USING (smiles)
        WHERE component = ? AND version = ? AND (status IN ('ok', 'failed') OR (status = 'lost' AND run_id = ?))
        GROUP BY smiles""",
        parameters=[component, version, lost_in],
        wanted=pa.table({"smiles": pa.array(smiles, pa.string())}),
    )
    return {row["smiles"]: tables.score_of(row, component, version) for row in found.to_pylist()}


def add_rewards(catalog: Catalog, store: Path, of_builds: Mapping[str, Sequence[Reward]], run_id: str) -> int:
    """Add rewards to committed builds in one commit, and return how many were new.

    Raises:
        UnknownBuildError: a build is not committed, or has no such row; ``store`` is the path that it names.
    """
    incoming = {build_id: tables.reward_rows(build_id, run_id, each, now()) for build_id, each in of_builds.items()}
    rows = sum(map(len, of_builds.values()))
    extra = {"runs": [run_id], "builds": list(of_builds), "rewards": rows}

    def add(transaction: Transaction) -> int:
        known = transaction.read(
            "SELECT build_id, drawn FROM {builds} SEMI JOIN named USING (build_id)",
            named=pa.table({"build_id": pa.array(list(of_builds), pa.string())}),
        )
        drawn = dict(zip(known["build_id"].to_pylist(), known["drawn"].to_pylist(), strict=True))
        for build_id, rewards in of_builds.items():
            if build_id not in drawn or any(not 0 <= reward.row < drawn[build_id] for reward in rewards):
                raise UnknownBuildError(f"{build_id} is no build in {store}, or has no row that a reward names")
        return _insert_rewards(transaction, pa.concat_tables(incoming.values()))

    return catalog.transact("molbuffer", f"{rows} rewards", extra, add)[0] if of_builds else 0


def insert_scores(transaction: Transaction, scores: Sequence[Score], run_id: str | None) -> int:
    """Add scores, but no second good one of a molecule, component and version.

    Returns:
        How many were added.
    """
    if not scores:
        return 0
    created = now()
    rows, posed = tables.score_rows(scores, run_id, created), tables.pose_rows(scores, run_id, created)
    return insert_score_rows(transaction, rows, posed)


def insert_score_rows(transaction: Transaction, rows: pa.Table, posed: pa.Table) -> int:
    """Add rows of scores and of poses, but no second good score of a molecule, component and version.

    Args:
        transaction: the transaction.
        rows: rows of ``scores``; those that are there already, with the same time, are not added again.
        posed: rows of ``poses``.

    Returns:
        How many scores were added.
    """
    # The same score recorded twice (a retried call) is the same fact; a failure may well be followed by a success.
    fresh = transaction.read(
        """SELECT scored.* FROM scored ANTI JOIN {scores} AS known
        ON known.smiles = scored.smiles AND known.component = scored.component AND known.version = scored.version
        AND (known.created = scored.created OR (scored.status = 'ok' AND known.status = 'ok'))
        QUALIFY status <> 'ok'
        OR row_number() OVER (PARTITION BY smiles, component, version, status ORDER BY created) = 1""",
        scored=rows,
    )
    transaction.insert("scores", fresh)
    _insert_pose_rows(transaction, posed)
    return int(fresh.num_rows)


def insert_poses(transaction: Transaction, scores: Sequence[Score], run_id: str | None) -> None:
    """Add the poses of good scores, but no second one of a molecule, component and version."""
    _insert_pose_rows(transaction, tables.pose_rows(scores, run_id, now()))


def _insert_pose_rows(transaction: Transaction, posed: pa.Table) -> None:
    if posed.num_rows:
        fresh = transaction.read(
            """SELECT DISTINCT ON (smiles, component, version) *
            FROM posed ANTI JOIN {poses} USING (smiles, component, version) ORDER BY created""",
            posed=posed,
        )
        transaction.insert("poses", fresh)


def _insert_rewards(transaction: Transaction, incoming: pa.Table) -> int:
    """Add rewards to rows without a good one under the same objective, and return how many.

    The newest of a row counts, also when the clock has gone back, or is another host's.
    """
    fresh = transaction.read(
        """SELECT given.* REPLACE (
                coalesce(greatest(given.created, known.newest + INTERVAL 1 microsecond), given.created) AS created)
        FROM given LEFT JOIN (
            SELECT build_id, "row", objective_sha256, max(created) AS newest, bool_or(status = 'ok') AS good,
                list(status) AS statuses, bool_or(status <> 'pending') AS settled
            FROM {rewards} SEMI JOIN given USING (build_id) GROUP BY ALL
        ) AS known USING (build_id, "row", objective_sha256)
        WHERE known.good IS NULL OR (NOT known.good AND (given.status = 'ok' OR (
            (given.status <> 'pending' OR NOT known.settled) AND NOT list_contains(known.statuses, given.status))))""",
        given=incoming,
    )
    transaction.insert("rewards", fresh)
    return int(fresh.num_rows)
