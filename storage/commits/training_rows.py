"""The rows of a training's commit beside builds and scores: policies, consumed rows, metrics, bucketed molecules, and
the checkpoint. Each record is identified by its name, or by its run and iteration, and is stored once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pyarrow as pa

from molbuffer.storage.catalog import Transaction
from molbuffer.storage.commits import tables
from molbuffer.storage.records import Checkpoint, Commit, PolicyVersion, now


def insert_policies(transaction: Transaction, policies: Sequence[PolicyVersion]) -> None:
    """Add versions of policies that are not stored yet, or whose weights were not kept before."""
    if not policies:
        return
    known = transaction.read(
        """SELECT sha256, arg_max(weights_kept, (created, weights_kept)) AS kept, max(created) AS newest
        FROM {policies} GROUP BY sha256"""
    ).to_pylist()
    kept = {row["sha256"]: row["kept"] for row in known}
    # The newest row of a policy counts, so that a new row gets a later time even if the clock was set back.
    again = [
        row["newest"] + timedelta(microseconds=1) for row in known if row["sha256"] in {p.sha256 for p in policies}
    ]
    fresh: list[PolicyVersion] = []
    for policy in policies:
        # A version that drew a batch and is published later gets a second row, which says that its weights are kept; so
        # does a version that is published again after its weights were removed.
        if policy.sha256 not in kept or policy.weights_kept > kept[policy.sha256]:
            fresh.append(policy)
            kept[policy.sha256] = policy.weights_kept
    transaction.insert("policies", tables.policy_rows(fresh, max([now(), *again])))


def insert_training(transaction: Transaction, commit: Commit) -> None:
    """Add consumed rows, metrics and bucketed molecules of a training for iterations that do not have them yet."""
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


def insert_checkpoint(transaction: Transaction, checkpoint: Checkpoint, folder: str) -> None:
    """Add a checkpoint, unless its run already has a checkpoint of the iteration."""
    if checkpoint.iteration in _iterations(transaction, "checkpoints", checkpoint.run_id):
        return
    row = {"run_id": checkpoint.run_id, "iteration": checkpoint.iteration, "folder": folder}
    transaction.insert("checkpoints", pa.Table.from_pylist([row | {"snapshot": checkpoint.snapshot, "created": now()}]))


def _iterations(transaction: Transaction, table: str, run_id: str) -> set[int]:
    """Return the iterations of a run for which a table has rows."""
    sql = f"SELECT DISTINCT iteration FROM {{{table}}} WHERE run_id = ?"
    return set(transaction.read(sql, [run_id])["iteration"].to_pylist())
