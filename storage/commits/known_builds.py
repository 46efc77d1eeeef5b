"""A cache of the ids of stored builds, which saves a process look-ups under the commit lock.

For each look-up of a build, DuckLake compares the statistics of all files: 15 to 30 ms after 400 commits without
maintenance, while all other writers wait. A process that commits to a run therefore reads the ids of all builds of the
run from its iteration on once; mostly there are none. Later commits of any process name their builds in the provenance
of their snapshot, so that only new snapshots are read.

A build whose id is cached may be stored, and is looked up; a build whose id is not cached is not stored. The cache is
read again when that is not certain: after a snapshot that added builds without naming them (a merge of archives, a
recovery), after the expiry of a snapshot, and after the restoration of a catalog from a backup.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from molbuffer.storage.catalog import Addition, Catalog, Transaction
from molbuffer.storage.commits.turns import BuildKey

MOST_KNOWN = 1_000_000
"""The largest number of cached ids, of about 100 bytes each; a larger cache is emptied."""
MOST_SNAPSHOTS = 10_000
"""The largest number of new snapshots that are read; with more, the builds are read from the table again."""

_FROM_ITERATION = """SELECT build_id FROM {builds} JOIN wanted USING (run_id)
    WHERE run_id BETWEEN ? AND ? AND iteration >= ? AND iteration >= from_iteration"""


@dataclass
class KnownBuilds:
    """The cached ids of the builds of some runs at a snapshot. The caller must hold the commit lock.

    Attributes:
        catalog: the catalog of the store.
    """

    catalog: Catalog
    _ids: set[str] = field(default_factory=set, init=False)
    _from_iteration: dict[str, int] = field(default_factory=dict, init=False)
    _newest: Addition | None = field(default=None, init=False)

    def among(self, transaction: Transaction, keys: Sequence[BuildKey]) -> list[BuildKey]:
        """Return the builds that may be stored at the snapshot of a transaction; the others are not stored."""
        if not keys:
            return []
        self._bring_forward(transaction.snapshot)
        self._look_up(transaction, keys)
        return [key for key in keys if key.build_id in self._ids]

    def _bring_forward(self, snapshot: int) -> None:
        """Add the builds of all new snapshots up to that of a transaction; empty the cache if they are not certain."""
        known = self._newest
        since = snapshot
        if known is not None and 0 <= snapshot - known.snapshot <= MOST_SNAPSHOTS and len(self._ids) <= MOST_KNOWN:
            since = known.snapshot
        additions = self.catalog.additions("builds", since, snapshot)
        added = _added(known, additions, snapshot)
        self._newest = additions[-1] if additions else None
        if added is None:
            self._ids, self._from_iteration = set(), {}
        else:
            self._ids |= added

    def _look_up(self, transaction: Transaction, keys: Iterable[BuildKey]) -> None:
        """Read the ids of builds of runs, and of earlier iterations of runs, that are not in the cache yet."""
        wanted: dict[str, int] = {}
        for key in keys:
            if key.iteration < self._from_iteration.get(key.run_id, key.iteration + 1):
                wanted[key.run_id] = min(key.iteration, wanted.get(key.run_id, key.iteration))
        if not wanted:
            return
        found = transaction.read(
            _FROM_ITERATION,
            [min(wanted), max(wanted), min(wanted.values())],
            wanted=pa.table({"run_id": list(wanted), "from_iteration": pa.array(wanted.values(), pa.int64())}),
        )
        self._ids.update(found["build_id"].to_pylist())
        self._from_iteration |= wanted


def _added(known: Addition | None, additions: Sequence[Addition], snapshot: int) -> set[str] | None:
    """Return the ids of the builds that were added after a known snapshot; None if they are not certain."""
    # A catalog that was restored from a backup has other snapshots under the same numbers.
    if known is None or not additions or additions[0] != known:
        return None
    # An expired snapshot may have added any build.
    if [each.snapshot for each in additions] != list(range(known.snapshot, snapshot + 1)):
        return None
    added: set[str] = set()
    for each in additions[1:]:
        named = _named(each.extra)
        if each.adds is not False and named is None:
            return None
        added.update(named or ())
    return added


def _named(extra: str | None) -> list[str] | None:
    """Return the ids of the builds in the provenance of a snapshot; None if it has no list of builds."""
    said = json.loads(extra) if extra else {}
    named = said.get("builds") if isinstance(said, dict) else None
    return named if isinstance(named, list) else None
