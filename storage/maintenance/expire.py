"""Expiry: removes old snapshots of a store, except pinned ones (``maintenance.snapshots``).

The newest snapshot loses nothing; an expired snapshot can no longer be read. Files that no remaining snapshot has are
listed for deletion, and a vacuum deletes them after its grace period (``maintenance.vacuum``).

DuckLake can choose snapshots by age itself, but on a SQLite catalog it compares texts of different forms, which is
wrong for times of one day. Snapshots are therefore chosen here and expired by their numbers.
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
"""The number of snapshots that one step expires, which limits the time for which it holds the commit lock."""


@dataclass(frozen=True)
class ExpireReport:
    """The result of an expiry, or of a dry run.

    Attributes:
        expired: the snapshots that were expired, or would be.
        pinned: the pins of each old snapshot that is kept.
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
    """Expire snapshots older than an age; the caller must hold the maintenance lock.

    Args:
        catalog: the catalog of the store.
        layout: the paths of the store's files.
        older_than: the age. A snapshot whose time is in the future by this clock is not old.
        keep: the number of newest snapshots that are kept at any age, at least 1.
        keep_checkpoints: the number of checkpoints of a run that pin their snapshots, as for a vacuum.
        dry_run: whether to report the snapshots without expiring them.

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
            # A snapshot may have been pinned in the meantime.
            pinned_now = pins(catalog, layout, keep_checkpoints)
            portion = [version for version in going[start : start + _PORTION] if version not in pinned_now]
            if portion:
                expire_versions(catalog, portion)
        expired += portion
        give_way(time.monotonic() - began)
    return ExpireReport(tuple(expired), pinned)


def _hand_on_checksums(catalog: Catalog, root: Place, going: Sequence[int]) -> None:
    """Copy the checksums of files that are kept from expiring snapshots to the newest one, since ``verify`` needs them.

    This is done once for all snapshots, and only the last lines hold the lock: the newest snapshot may have as many
    checksums as the store has files.
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
    """Return whether a file is still needed; merged files exist until a vacuum, but no snapshot has them."""
    name = PurePath(path).name
    return name in named if path.startswith("tables/") else (root / path).exists()
