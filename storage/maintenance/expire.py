"""Expire a store: old snapshots are forgotten, but for those that something pins (``maintenance.snapshots``).

Nothing of the newest snapshot is lost: only the way back to what was visible at an old one. Files that no remaining
snapshot has are listed for deletion, and a vacuum deletes them after its grace period (``maintenance.vacuum``).

DuckLake can choose snapshots by age itself; on a SQLite catalog its comparison is one of texts of different form, which
gets times of one day wrong. So snapshots are chosen here and named one by one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePath

from molbuffer.storage.catalog import Catalog, change_metadata, expire_versions
from molbuffer.storage.files import CHECKSUMS_KEY, Place, checksums_in
from molbuffer.storage.layout import Layout
from molbuffer.storage.maintenance.gaps import give_way
from molbuffer.storage.maintenance.snapshots import KEPT_CHECKPOINTS, list_snapshots, pins
from molbuffer.storage.records import now

_PORTION = 2_000
"""Bounds for how long one step holds the commit lock, of which DuckLake takes more for lists of all that there is."""


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
    if going:
        # A kill afterwards leaves the checksums in both places, which is no contradiction.
        _hand_on_checksums(catalog, layout.data, going)
    expired: list[int] = []
    for start in range(0, len(going), _PORTION):
        with catalog.locked():
            began = time.monotonic()
            # Unless they were pinned meanwhile.
            pinned_now = pins(catalog, layout, keep_checkpoints)
            portion = [version for version in going[start : start + _PORTION] if version not in pinned_now]
            if portion:
                expire_versions(catalog, portion)
        expired += portion
        give_way(time.monotonic() - began)
    return ExpireReport(tuple(expired), pinned)


def _hand_on_checksums(catalog: Catalog, root: Place, going: Sequence[int]) -> None:
    """Give the newest snapshot the checksums of files that stay, which ``verify`` needs, from those that are to go.

    Once for all of them, and all but the last lines without the lock: the checksums that the newest snapshot has been
    given are as many as the files of the store.
    """
    leaving = set(going)
    recorded = checksums_in(version.extra for version in catalog.versions() if version.number in leaving)
    named = {name for (name,) in catalog.metadata("SELECT path FROM METADATA.ducklake_data_file")}
    staying = {path: checksum for path, checksum in recorded.items() if _stays(root, path, named)}
    if not staying:
        return
    with catalog.locked():
        newest = catalog.newest()
        extra = json.loads(catalog.versions(newest)[0].extra or "{}")
        extra[CHECKSUMS_KEY] = staying | extra.get(CHECKSUMS_KEY, {})
        change_metadata(
            catalog,
            "UPDATE METADATA.ducklake_snapshot_changes SET commit_extra_info = $extra WHERE snapshot_id = $newest",
            {"extra": json.dumps(extra), "newest": newest},
        )


def _stays(root: Place, path: str, named: Collection[str]) -> bool:
    """Return whether a snapshot needs a file: those that were merged are there until a vacuum, and none has them."""
    name = PurePath(path).name
    return name in named if path.startswith("tables/") else (root / path).exists()
