"""Expire a store: old snapshots are forgotten, but for those that something pins (``maintenance.snapshots``).

Nothing of the newest snapshot is lost: only the way back to what was visible at an old one. Files that no remaining
snapshot has are listed for deletion, and a vacuum deletes them after its grace period (``maintenance.vacuum``).

DuckLake can choose snapshots by age itself; on a SQLite catalog its comparison is one of texts of different form, which
gets times of one day wrong. So snapshots are chosen here and named one by one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from molbuffer.storage.catalog import Catalog, change_metadata, expire_versions
from molbuffer.storage.files import CHECKSUMS_KEY, Place
from molbuffer.storage.layout import Layout
from molbuffer.storage.maintenance.snapshots import KEPT_CHECKPOINTS, list_snapshots, pins
from molbuffer.storage.records import now

# Bounds for how long one step holds the commit lock.
_PORTION = 200


@dataclass(frozen=True)
class ExpireReport:
    """What expiry did, or would do.

    Attributes:
        expired: the snapshots that were forgotten, or would be.
        pinned: old snapshots that stay, and what pins each.
    """

    expired: tuple[int, ...]
    pinned: Mapping[int, tuple[str, ...]]


def expire(
    catalog: Catalog,
    layout: Layout,
    *,
    older_than: timedelta,
    keep: int = 1,
    keep_checkpoints: int = KEPT_CHECKPOINTS,
    dry_run: bool = False,
) -> ExpireReport:
    """Forget snapshots older than an age; the caller holds the maintenance lock.

    Args:
        catalog: of the store.
        layout: of the store.
        older_than: the age. A snapshot from the future, by this clock, is not old.
        keep: how many of the newest snapshots stay, whatever their age; at least 1.
        keep_checkpoints: how many checkpoints of a run pin the snapshot that they need, as for a vacuum.
        dry_run: only report which would go.

    Raises:
        ValueError: ``keep`` or ``keep_checkpoints`` is less than 1, or the age is negative.
        StoreModeError: the store was opened for reading.
        StoreError: the catalog cannot be read or written.
    """
    if keep < 1 or keep_checkpoints < 1 or older_than < timedelta(0):
        raise ValueError(
            f"expected keep >= 1, keep_checkpoints >= 1 and age >= 0, got {keep}, {keep_checkpoints} and {older_than}"
        )
    before = now() - older_than
    versions = list_snapshots(catalog, layout, keep_checkpoints)
    old = [snapshot for snapshot in versions[:-keep] if snapshot.created < before]
    pinned = {snapshot.version: snapshot.pinned_by for snapshot in old if snapshot.pinned_by}
    going = [snapshot.version for snapshot in old if not snapshot.pinned_by]
    if dry_run:
        return ExpireReport(tuple(going), pinned)
    expired: list[int] = []
    for start in range(0, len(going), _PORTION):
        with catalog.locked():
            # Unless they were pinned meanwhile.
            pinned_now = pins(catalog, layout, keep_checkpoints)
            portion = [version for version in going[start : start + _PORTION] if version not in pinned_now]
            _expire_some(catalog, layout.data, portion)
        expired += portion
    return ExpireReport(tuple(expired), pinned)


def _expire_some(catalog: Catalog, root: Place, versions: Sequence[int]) -> None:
    if versions:
        # A kill in between leaves the checksums in both places, which is no contradiction.
        _hand_on_checksums(catalog, root, versions)
        expire_versions(catalog, versions)


def _hand_on_checksums(catalog: Catalog, root: Place, versions: Sequence[int]) -> None:
    """Move the checksums of files that stay, which ``verify`` needs, from the snapshots that go to the newest."""
    newest = catalog.newest()
    numbers = ", ".join(map(str, [*versions, newest]))
    extras = catalog.metadata(
        "SELECT snapshot_id, commit_extra_info FROM METADATA.ducklake_snapshot_changes "
        f"WHERE snapshot_id IN ({numbers}) ORDER BY snapshot_id"
    )
    recorded = {version: json.loads(extra) for version, extra in extras if extra}
    checksums = {
        file: checksum
        for extra in recorded.values()
        for file, checksum in extra.get(CHECKSUMS_KEY, {}).items()
        if (root / file).exists()
    }
    if checksums:
        extra = json.dumps({**recorded.get(newest, {}), CHECKSUMS_KEY: checksums})
        change_metadata(
            catalog,
            "UPDATE METADATA.ducklake_snapshot_changes SET commit_extra_info = $extra WHERE snapshot_id = $newest",
            {"extra": extra, "newest": newest},
        )
