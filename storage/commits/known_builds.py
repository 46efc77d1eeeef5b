"""The builds that a process need not look up again under the commit lock: those of its runs, from an iteration on.

Each look-up of a build asks DuckLake which files may have it, and it compares the statistics of all of them: 15 to 30
ms with 400 commits that were not maintained, while all other writers wait. A process that commits to a run therefore
asks once for all builds from its iteration on, mostly none. What is committed later, by whomever, stands by id in the
provenance of its snapshot, and only snapshots that are new are read.

A build that is known may be there, and is looked up; one that is not known is not there. Whatever puts that in doubt
has the builds looked up again: a snapshot that added builds without naming them (a merge of archives, a recovery), one
that has expired, and a catalog that was set back to a backup.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from molbuffer.storage.catalog import Addition, Catalog, Transaction
from molbuffer.storage.commits.turns import BuildKey

MOST_KNOWN = 1_000_000
"""The builds of which a process keeps the ids, about 100 bytes each; with more it begins anew."""
MOST_SNAPSHOTS = 10_000
"""The new snapshots beyond which the builds are looked up again rather than taken from them."""

_FROM_ITERATION = """SELECT build_id FROM {builds} JOIN wanted USING (run_id)
    WHERE run_id BETWEEN ? AND ? AND iteration >= ? AND iteration >= from_iteration"""


@dataclass
class KnownBuilds:
    """The ids of the builds of some runs, as of a snapshot; to be used by who holds the commit lock.

    Attributes:
        catalog: of the store.
    """

    catalog: Catalog
    _ids: set[str] = field(default_factory=set, init=False)
    _from_iteration: dict[str, int] = field(default_factory=dict, init=False)
    _newest: Addition | None = field(default=None, init=False)

    def among(self, transaction: Transaction, keys: Sequence[BuildKey]) -> list[BuildKey]:
        """Return those of some builds that may be in the store, as a transaction reads it; the others are not there."""
        if not keys:
            return []
        self._bring_forward(transaction.snapshot)
        self._look_up(transaction, keys)
        return [key for key in keys if key.build_id in self._ids]

    def _bring_forward(self, snapshot: int) -> None:
        """Learn which builds the snapshots after the last one added, up to that of a transaction."""
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
        """Look up the builds of runs that were not asked for, or not from so early an iteration on."""
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
    """Return the builds that were added after a snapshot that is known; None where that is not certain."""
    # A catalog that was set back has other snapshots under the same numbers.
    if known is None or not additions or additions[0] != known:
        return None
    # One that expired may have added any.
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
    """Return the ids of the builds that the provenance of a snapshot names; None when it names none."""
    said = json.loads(extra) if extra else {}
    named = said.get("builds") if isinstance(said, dict) else None
    return named if isinstance(named, list) else None
