"""Update of the rows of an index to a newer snapshot, which reads only the builds that have changed.

A build has changed if a row of it was added to ``builds``, ``samples`` or ``rewards``: the build is new, its rewards
were completed or computed under another objective, or an archive with more of its rows was merged. All rows of a
changed build are read again, so that the rules for usable rows exist once; the rows of other builds are kept, in the
history's order. If a compaction moved arrays, the builds are read again, but not their rows.

Rare cases lead to reading the whole index again: a quarantine, a run that is recorded after its builds, a snapshot that
is older than before or has expired, an archive, and more changed builds than ``MOST_CHANGED``.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from molbuffer.storage.catalog import in_added
from molbuffer.storage.handle import OpenStore
from molbuffer.storage.history.scan import (
    HistoryPart,
    PartQuery,
    ReadRows,
    ScannedRows,
    TrainableRows,
    read_builds,
    read_rows,
)
from molbuffer.storage.history.verified import verify_tables

MOST_CHANGED = 1_000
"""The number of changed builds beyond which reading all rows at once is faster."""

_ADDED = """
    SELECT DISTINCT 'changed' AS what, build_id AS id FROM {builds} AS builds
    UNION SELECT 'changed', build_id FROM {samples} AS samples
    UNION SELECT 'changed', build_id FROM {rewards} AS rewards
    UNION SELECT 'moved', build_id FROM {placements} AS placements
    UNION SELECT 'run', run_id FROM {runs} AS runs
    UNION SELECT 'quarantined', segment FROM {quarantine} AS quarantine"""
_CHANGING = ("builds", "samples", "rewards", "placements", "runs", "quarantine")

Values = TypeVar("Values", bound=np.generic)


@dataclass(frozen=True)
class Splice:
    """The rule that joins a column of an index from slices of the old column and of the column that was read.

    Attributes:
        slices: the slices [start, stop), in the order of the new column.
        kept: for each slice, whether it is a slice of the old column.
        shifts: for each slice of the old column, the number that is added to its build numbers.
    """

    slices: Sequence[slice]
    kept: Sequence[bool]
    shifts: Sequence[int]

    def column(self, old: NDArray[Values], read: NDArray[Values]) -> NDArray[Values]:
        """Return the new column, given the old column and the column that was read."""
        return np.concatenate(
            [(old if kept else read)[part] for part, kept in zip(self.slices, self.kept, strict=True)]
        )

    def positions(self, rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the new position of each old row, int64 [rows], -1 for a removed row, and the positions of read rows.

        Args:
            rows: the number of old rows.
        """
        now: NDArray[np.int64] = np.full(rows, -1, np.int64)
        start, read = 0, [np.zeros(0, np.int64)]
        for part, kept in zip(self.slices, self.kept, strict=True):
            places = np.arange(start, start + part.stop - part.start)
            if kept:
                now[part] = places
            else:
                read.append(places)
            start += len(places)
        return now, np.concatenate(read)

    def build_numbers(self, old: NDArray[np.int32], read: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the new build numbers, given the old ones and the new ones of the rows that were read."""
        numbers = self.column(old, read)
        start = 0
        for part, shift in zip(self.slices, self.shifts, strict=True):
            stop = start + part.stop - part.start
            if shift:
                numbers[start:stop] += np.int32(shift)
            start = stop
        return numbers


@dataclass(frozen=True, eq=False)
class ForwardRows:
    """The rows of an index at a newer snapshot, and their relation to the old rows.

    Attributes:
        rows: the new rows.
        splice: the rule that joins a column from the old rows and those that were read.
        read: the rows that were read.
        changed: bool [b], whether the rows of a build were read.
        queries: the queries over the builds whose rows were read, by part.
        moved: whether arrays of unchanged builds were moved.
    """

    rows: ScannedRows
    splice: Splice
    read: ReadRows
    changed: NDArray[np.bool_]
    queries: Sequence[PartQuery]
    moved: bool


def forward_rows(
    store: OpenStore,
    old: ScannedRows,
    before: Sequence[HistoryPart],
    parts: Sequence[HistoryPart],
    wanted: TrainableRows,
) -> ForwardRows | None:
    """Return the rows of parts of the history, given their rows at older snapshots; None if all must be read again.

    Args:
        store: the store.
        old: the known rows.
        before: the parts of the known rows.
        parts: the wanted parts.
        wanted: the rows that a training may use, the same as for the known rows.

    Raises:
        PredicateError: ``where`` is not a predicate over a row.
        FileDamagedError: a file that is read differs from the file that was written.
        StoreError: the store cannot be read.
    """
    if store.archive or wanted.more_rewards is not None or not _follow(before, parts):
        return None
    bounds = np.cumsum([0, *old.builds_of_parts]).tolist()
    merged = []
    for was, part, (first, end) in zip(before, parts, pairwise(bounds), strict=True):
        builds = _forward_builds(store, old.builds.slice(first, end - first), was, part)
        if builds is None:
            return None
        merged.append(builds)
    if sum(int(part.changed.sum()) for part in merged) > MOST_CHANGED:
        return None
    whole = pa.concat_tables([part.builds for part in merged]).combine_chunks()
    changed = np.concatenate([part.changed for part in merged])
    old_numbers = np.concatenate(
        [np.where(of.old_places < 0, -1, of.old_places + first) for of, first in zip(merged, bounds[:-1], strict=True)]
    )
    queries = _queries(store, before, parts, merged)
    read = read_rows(queries, wanted)
    # If a snapshot expired during the reading, its files may have been merged with later ones.
    if not all(store.catalog.has_version(was.snapshot) for was in before):
        return None
    splice = _splice(old, np.where(changed, -1, old_numbers), read.build_numbers)
    numbers = splice.build_numbers(old.build_numbers, read.build_numbers)
    own = np.repeat([part.own for part in parts], [len(part.changed) for part in merged])
    rows = ScannedRows(
        builds=whole,
        build_numbers=numbers,
        row_numbers=splice.column(old.row_numbers, read.row_numbers),
        rewards=splice.column(old.rewards, read.rewards),
        molecules=splice.column(old.molecules, read.molecules),
        own=splice.column(old.own, own.take(read.build_numbers)),
        builds_of_parts=tuple(len(part.changed) for part in merged),
    )
    return ForwardRows(
        rows=rows, splice=splice, read=read, changed=changed, queries=queries, moved=any(part.moved for part in merged)
    )


def _follow(before: Sequence[HistoryPart], parts: Sequence[HistoryPart]) -> bool:
    """Return whether each part has at least the builds of the earlier part."""
    return len(before) == len(parts) and all(
        part == replace(was, snapshot=part.snapshot, up_to_iteration=part.up_to_iteration)
        and part.snapshot >= was.snapshot
        and _last_iteration(part) >= _last_iteration(was)
        for was, part in zip(before, parts, strict=True)
    )


def _last_iteration(part: HistoryPart) -> float:
    return math.inf if part.up_to_iteration is None else part.up_to_iteration


@dataclass(frozen=True, eq=False)
class _PartBuilds:
    """The builds of a part at the newer snapshot [b].

    Attributes:
        builds: the builds, in order.
        old_places: int64 [b], the place of each build among the old builds of the part; -1 for a new build.
        changed: bool [b], whether the rows of the build must be read.
        moved: whether arrays of unchanged builds were moved.
    """

    builds: pa.Table
    old_places: NDArray[np.int64]
    changed: NDArray[np.bool_]
    moved: bool = False


def _forward_builds(store: OpenStore, old: pa.Table, was: HistoryPart, part: HistoryPart) -> _PartBuilds | None:
    """Return the builds of a part; None if there are changes other than new builds and new rows of builds."""
    if part == was:
        return _PartBuilds(old, np.arange(old.num_rows), np.zeros(old.num_rows, bool))
    verify_tables(store, [part.snapshot], since=was.snapshot + 1)
    sources = store.catalog.added(_CHANGING, part.snapshot, was.snapshot + 1)
    added: dict[str, set[str]] = {"changed": set(), "moved": set(), "run": set(), "quarantined": set()}
    found = store.read_arrow(in_added(_ADDED, sources), snapshot=part.snapshot)
    for row in found.to_pylist():
        added[row["what"]].add(row["id"])
    if added["quarantined"] or not added["run"].isdisjoint(old["run_id"].to_pylist()):
        return None
    places = {build_id: place for place, build_id in enumerate(old["build_id"].to_pylist())}
    moved = not added["moved"].isdisjoint(places)
    if moved:
        builds = read_builds(store, part)
        of = [places.get(build_id, -1) for build_id in builds["build_id"].to_pylist()]
        old_places = np.array(of, np.int64)
    else:
        # The arrays of a new build can only have been moved after the old snapshot as well.
        of_builds = {name: sources[name] for name in ("builds", "placements")}
        fresh = _without(_fresh_builds(store, was, part, of_builds), places)
        builds, old_places = _in_order(old, fresh)
    ids = builds["build_id"].to_pylist()
    changed = np.array([build_id in added["changed"] for build_id in ids], bool) | (old_places < 0)
    return _PartBuilds(builds, old_places, changed, moved)


def _fresh_builds(store: OpenStore, was: HistoryPart, part: HistoryPart, added: Mapping[str, str]) -> pa.Table:
    """Return the builds, in any order, that were added after the old snapshot or are of later iterations."""
    found = [read_builds(store, part, added=added)]
    if part.up_to_iteration != was.up_to_iteration:
        assert was.up_to_iteration is not None
        found.append(read_builds(store, part, "builds.iteration > ?", was.up_to_iteration))
    return pa.concat_tables(found)


def _without(builds: pa.Table, known: dict[str, int]) -> pa.Table:
    """Return the builds that are not known, each once."""
    seen: dict[str, int] = {}
    for place, build_id in enumerate(builds["build_id"].to_pylist()):
        if build_id not in known:
            seen.setdefault(build_id, place)
    return builds.take(pa.array(list(seen.values()), pa.int64()))


def _in_order(old: pa.Table, fresh: pa.Table) -> tuple[pa.Table, NDArray[np.int64]]:
    """Return old and fresh builds in the history's order, and the place of each among the old ones, -1 if fresh."""
    rows = fresh.select(_ORDER).to_pylist()
    order = sorted(range(len(rows)), key=lambda place: _key(rows[place]))
    columns = old.select(_ORDER)

    def old_key(place: int) -> tuple[Any, ...]:
        return _key({name: columns[name][place].as_py() for name in _ORDER})

    at = [bisect_right(range(old.num_rows), _key(rows[place]), key=old_key) for place in order]
    places = np.insert(np.arange(old.num_rows), np.array(at, np.int64), old.num_rows + np.array(order, np.int64))
    both = pa.concat_tables([old, fresh]).combine_chunks().take(pa.array(places))
    return both, np.where(places < old.num_rows, places, -1)


# The same order as in ``scan``: a run that is not recorded comes last.
_ORDER = ["run_created", "run_id", "iteration", "event", "sampler_order", "chunk", "sampler"]


def _key(build: dict[str, Any]) -> tuple[Any, ...]:
    """Return the key by which builds are sorted, with null values last."""
    return tuple(part for name in _ORDER for part in (build[name] is None, build[name] or _least(name)))


def _least(name: str) -> Any:
    return 0 if name in ("run_created", "iteration", "sampler_order", "chunk") else ""


def _queries(
    store: OpenStore, before: Sequence[HistoryPart], parts: Sequence[HistoryPart], merged: Sequence[_PartBuilds]
) -> list[PartQuery]:
    """Return the queries that read the rows of changed builds, by part."""
    first, queries = 0, []
    for was, part, of_part in zip(before, parts, merged, strict=True):
        places = np.flatnonzero(of_part.changed)
        if len(places):
            some = of_part.builds.take(pa.array(places))
            numbered = pa.table({"build_id": some["build_id"], "number": places + first})
            since = min(some["added"].to_pylist())
            if since <= was.snapshot:
                verify_tables(store, [part.snapshot], since=since)
            queries.append(PartQuery(store, part, numbered, since))
        first += len(of_part.changed)
    return queries


def _splice(old: ScannedRows, old_numbers: NDArray[np.int64], read: NDArray[np.int32]) -> Splice:
    """Return the rule that joins columns from old rows and rows that were read.

    Args:
        old: the old rows.
        old_numbers: int64 [b], the old number of each build, ascending; -1 for builds whose rows were read.
        read: the new build numbers of the rows that were read, ascending.
    """
    old_bounds = np.searchsorted(old.build_numbers, np.arange(old.builds.num_rows + 1))
    bounds = np.searchsorted(read, np.arange(len(old_numbers) + 1))
    if not len(old_numbers):
        return Splice([slice(0, 0)], [False], [0])
    kept = old_numbers >= 0
    follows = (kept[1:] == kept[:-1]) & (~kept[1:] | (old_numbers[1:] == old_numbers[:-1] + 1))
    firsts = [0, *(np.flatnonzero(~follows) + 1).tolist()]
    slices, shifts = [], []
    for first, end in zip(firsts, [*firsts[1:], len(kept)], strict=True):
        if kept[first]:
            slices.append(slice(int(old_bounds[old_numbers[first]]), int(old_bounds[old_numbers[end - 1] + 1])))
            shifts.append(first - int(old_numbers[first]))
        else:
            slices.append(slice(int(bounds[first]), int(bounds[end])))
            shifts.append(0)
    return Splice(slices, [bool(kept[first]) for first in firsts], shifts)
