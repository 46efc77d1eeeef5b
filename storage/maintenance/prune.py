"""Removal of old checkpoints and policies of an active run, except the newest ones, the best policy, and those in use.

    checkpoint   the newest checkpoints of the run are kept, so that the run can be resumed
    policy       the newest policies are kept; the best policy, by the mean reward of the rows that were drawn from its
                 iteration up to that of the next policy; and each policy that something else refers to:
                 a row, build or configuration of another run, the run's own configuration (of a sampler), an archive
                 that was made later or is being made, and the backup of a migration

A policy whose weights are removed gets a second row that records it, and ``lineage`` then names its nearest kept
ancestor. The rows are inserted, and the folders are renamed, under the commit lock. Another process that is about to
refer to a policy has added it to the store (``PolicyStore.add``), which updates the time of its folder; a folder that
was updated after its policy was published is kept for ``GRACE``, until the row that refers to it exists. A process that
reads the files at the moment of their removal gets an error.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any

import pyarrow as pa

from molbuffer.storage.catalog import RUN_AND_ACTORS, Catalog, Transaction, kept_by_backups
from molbuffer.storage.files import Place, delete, entries, files_at, set_aside
from molbuffer.storage.layout import Layout
from molbuffer.storage.maintenance.pins import archive_pins
from molbuffer.storage.records import now

GRACE = timedelta(hours=1)
"""A time longer than a process takes from adding a policy to the row that refers to it."""
SLACK_SECONDS = 60.0
"""The time after the row of a policy during which its own run may still write to its folder, in seconds."""

_POLICIES = """
    SELECT sha256, max(iteration) FILTER (run_id = ?) AS iteration, max(created) AS created,
        arg_max(weights_kept, (created, weights_kept)) AS kept, any_value(kind) AS kind,
        any_value(parent_sha256) AS parent_sha256
    FROM {policies} GROUP BY sha256
    HAVING bool_and(run_id IS NOT DISTINCT FROM ?) AND any_value(kind) = ?"""
_REWARDS = """
    SELECT iteration, sum(mean_reward * kept) AS reward, sum(kept)::DOUBLE AS rows FROM {builds}
    WHERE run_id IN [run]
        AND mean_reward IS NOT NULL AND kept > 0
        -- Rewards of a stage with another objective have another scale.
        AND objective_sha256 IS NOT DISTINCT FROM (
            SELECT arg_max(objective_sha256, iteration) FROM {builds} WHERE run_id IN [run])
    GROUP BY iteration""".replace("[run]", RUN_AND_ACTORS)
_NAMED_ELSEWHERE = """
    SELECT parent_sha256 AS sha256 FROM {policies} WHERE run_id <> ? AND parent_sha256 IS NOT NULL
    -- The policies of the run's actors count as the run's own.
    UNION SELECT unnest([policy_sha256, latent_sha256]) FROM {builds} WHERE run_id NOT IN [run]""".replace(
    "[run]", RUN_AND_ACTORS
)
_CONFIGS = """
    SELECT config AS text FROM {runs}
    UNION ALL SELECT detail FROM {run_events} WHERE status IN ('reconfigured', 'given')"""
_ARCHIVES = "SELECT max(created) AS newest FROM {archives} WHERE run_id IS NULL OR run_id = ?"
_CHECKPOINTS = "SELECT folder FROM {checkpoints} WHERE run_id = ? ORDER BY iteration DESC"
_SHA256_START = re.compile(r"\b[0-9a-f]{6,64}\b")


@dataclass(frozen=True)
class KeptOfRun:
    """The checkpoints and policies that an active run keeps.

    Attributes:
        checkpoints: the number of newest checkpoints; at least 1.
        policies: the number of newest policies; at least 1.
        kind: the kind of the policies, which differs from the kind of other versions of the run, such as latent priors.
    """

    checkpoints: int
    policies: int
    kind: str


@dataclass(frozen=True)
class Pruned:
    """The removed files.

    Attributes:
        checkpoints: the paths of the removed checkpoints in the store.
        policies: the sha256 of the policies whose weights were removed.
    """

    checkpoints: tuple[str, ...]
    policies: tuple[str, ...]


def prune_run(catalog: Catalog, layout: Layout, run_id: str, keep: KeptOfRun) -> Pruned:
    """Remove the checkpoints and policies of a run that are no longer needed.

    Raises:
        StoreError: the catalog cannot be read or written.
        OSError: a file cannot be removed.
    """
    there = {path.name for path in entries(layout.policies)}
    candidates = _old_policies(catalog, run_id, keep, there)
    checkpoints = _old_checkpoints(catalog, layout, run_id, keep)
    if not candidates and not checkpoints:
        return Pruned((), ())
    with catalog.locked():
        aside: list[Place] = []
        policies: Sequence[Mapping[str, Any]] = ()
        # An unfinished archive still copies the weights of its snapshot.
        if candidates and not archive_pins(layout):
            said = f"policies of run {run_id} that are no longer kept"
            policies, _ = catalog.transact("molbuffer", said, {"runs": [run_id]}, _forget(layout, run_id, candidates))
            aside += [set_aside(layout.policies / policy["sha256"]) for policy in policies]
        aside += [set_aside(path) for path in checkpoints if path.exists()]
    for path in aside:
        delete(path)
    return Pruned(tuple(layout.name_of(path) for path in checkpoints), tuple(policy["sha256"] for policy in policies))


def _old_policies(catalog: Catalog, run_id: str, keep: KeptOfRun, there: Collection[str]) -> list[Mapping[str, Any]]:
    """Return the policies of a run whose folders exist, except the newest ones and the best one."""
    if len(there) <= keep.policies:
        return []
    rows = catalog.read(_POLICIES, parameters=[run_id, run_id, keep.kind]).to_pylist()
    found = sorted(
        (row for row in rows if row["sha256"] in there and row["iteration"] is not None),
        key=lambda row: (row["iteration"], row["created"]),
    )
    if len(found) <= keep.policies:
        return []
    rewards = catalog.read(_REWARDS, parameters=[run_id, run_id]).to_pylist()
    best = _best(found, {row["iteration"]: (row["reward"], row["rows"]) for row in rewards})
    return [row for row in found[: -keep.policies] if row["sha256"] != best]


def _best(policies: Sequence[Mapping[str, Any]], rewards: Mapping[int, tuple[float, float]]) -> str | None:
    """Return the policy with the highest mean reward, up to the iteration of the next policy; None without rows."""
    means = {}
    ends = [row["iteration"] for row in policies[1:]] + [max(rewards, default=0) + 1]
    for row, end in zip(policies, ends, strict=True):
        drawn = [rewards[iteration] for iteration in range(row["iteration"], end) if iteration in rewards]
        if drawn:
            means[row["sha256"]] = sum(reward for reward, _ in drawn) / sum(rows for _, rows in drawn)
    return max(means, key=lambda sha256: means[sha256]) if means else None


def _old_checkpoints(catalog: Catalog, layout: Layout, run_id: str, keep: KeptOfRun) -> list[Place]:
    there = {layout.name_of(path) for path in entries(layout.checkpoints / run_id)}
    if len(there) <= keep.checkpoints:
        return []
    folders = catalog.read(_CHECKPOINTS, parameters=[run_id])["folder"].to_pylist()
    old = [folder for folder in folders if folder in there][keep.checkpoints :]
    backed_up = kept_by_backups(layout) if old else ()
    return [layout.data / folder for folder in old if folder not in backed_up]


def _forget(
    layout: Layout, run_id: str, candidates: Sequence[Mapping[str, Any]]
) -> Callable[[Transaction], list[Mapping[str, Any]]]:
    """Return the body of a transaction that records the policies whose weights are removed, and returns them."""

    def forget(transaction: Transaction) -> list[Mapping[str, Any]]:
        in_use = _in_use(transaction, run_id)
        archived = transaction.read(_ARCHIVES, [run_id])["newest"][0].as_py()
        backed_up = kept_by_backups(layout)
        going = [
            policy
            for policy in candidates
            if not in_use(policy["sha256"])
            and not (archived is not None and archived >= policy["created"])
            and f"{layout.policies.name}/{policy['sha256']}" not in backed_up
            and not _touched(layout.policies / policy["sha256"], policy["created"].replace(tzinfo=UTC).timestamp())
        ]
        if fresh := [policy for policy in going if policy["kept"]]:
            transaction.insert("policies", _forgotten_rows(run_id, fresh))
        return going

    return forget


def _forgotten_rows(run_id: str, policies: Sequence[Mapping[str, Any]]) -> pa.Table:
    created = max([now(), *(policy["created"] + timedelta(microseconds=1) for policy in policies)])
    names = ("sha256", "kind", "parent_sha256", "iteration")
    more = {"run_id": run_id, "weights_kept": False, "created": created}
    return pa.Table.from_pylist([{name: policy[name] for name in names} | more for policy in policies])


def _in_use(transaction: Transaction, run_id: str) -> Callable[[str], bool]:
    """Return a function that tells whether another run, or any configuration, names a policy, also by a prefix."""
    named = set(transaction.read(_NAMED_ELSEWHERE, [run_id, run_id])["sha256"].to_pylist())
    texts = transaction.read(_CONFIGS)["text"].to_pylist()
    starts = tuple({start for text in texts if text for start in _SHA256_START.findall(text)})
    return lambda sha256: sha256 in named or sha256.startswith(starts)


def _touched(folder: Place, published: float) -> bool:
    """Return whether a process has recently added a policy again, so that the row that refers to it may be missing."""
    changed = max((file.modified for file in files_at(folder)), default=0.0)
    return changed > published + SLACK_SECONDS and time.time() - changed < GRACE.total_seconds()
