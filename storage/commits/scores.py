"""Writes and look-ups of scores and rewards, which may be added without a build or after it.

The functions here record at most one good score of a molecule, component and version, and at most one good reward of
a row and objective. A good score or reward may follow a failed one. A second failed or lost reward of a row and
objective, as when two scorers complete one reward, is not stored.
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
    """Commit scores at once, and return the number of new ones."""
    if not scores:
        return 0
    extra = {"runs": [run_id] if run_id else [], "scores": len(scores)}
    said = f"{len(scores)} scores"
    return catalog.transact("molbuffer", said, extra, lambda t: insert_scores(t, scores, run_id))[0]


def find_scores(
    catalog: ReadableCatalog, component: str, version: str, smiles: Sequence[str], lost_in: str | None = None
) -> dict[str, Score]:
    """Return the known scores of molecules by SMILES: the newest good score, or else the newest failed one.

    Args:
        catalog: the catalog of the store.
        component: the name of the component.
        version: the version of the component.
        smiles: the molecules as canonical SMILES.
        lost_in: a run whose lost scores count as failed; lost scores of other runs are left out.
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
    """Add rewards to committed builds in one commit, and return the number of new ones.

    Args:
        catalog: the catalog of the store.
        store: the path of the store, which errors name.
        of_builds: the rewards by the id of the build.
        run_id: the run that the rewards belong to.

    Raises:
        UnknownBuildError: a build is not committed, or does not have a row that a reward names.
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
                raise UnknownBuildError(f"no build {build_id} in {store}, or the build lacks a row that a reward names")
        return _insert_rewards(transaction, pa.concat_tables(incoming.values()))

    return catalog.transact("molbuffer", f"{rows} rewards", extra, add)[0] if of_builds else 0


def insert_scores(transaction: Transaction, scores: Sequence[Score], run_id: str | None) -> int:
    """Add scores, except a second good score of a molecule, component and version.

    Returns:
        The number of scores that were added.
    """
    if not scores:
        return 0
    created = now()
    rows, posed = tables.score_rows(scores, run_id, created), tables.pose_rows(scores, run_id, created)
    return insert_score_rows(transaction, rows, posed)


def insert_score_rows(transaction: Transaction, rows: pa.Table, posed: pa.Table) -> int:
    """Add rows of scores and of poses, except a second good score of a molecule, component and version.

    Args:
        transaction: the transaction.
        rows: rows of ``scores``; a row that is stored already with the same time is not added again.
        posed: rows of ``poses``.

    Returns:
        The number of scores that were added.
    """
    # A good score that is recorded twice (a retried call) is one fact; a failure may be followed by a success.
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
    """Add the poses of good scores, except a second pose of a molecule, component and version."""
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
    """Add rewards to rows without a good reward under the same objective, and return the number that was added.

    A new reward gets a later time than the older rewards of its row, even if the clocks of hosts differ, since the
    newest reward of a row counts.
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
