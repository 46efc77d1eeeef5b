"""Bring the rows of an index forward to a newer snapshot: only builds that changed since are read, however many rows
there are.

A build has changed when a row of it was added to ``builds``, ``samples`` or ``rewards``: it is new, rewards of it were
completed or made under another objective, or an archive with more of it was merged. All of its rows are read again, so
that no rule on what counts is written twice; the rows of the others stay as they are, in the history's order. Where a
compaction moved arrays, the builds are read again, and not their rows.

What is rare leads to an index that is read anew: a quarantine, a run that is recorded after its builds, an older
snapshot than before or one that has expired, an archive, and more changed builds than ``MOST_CHANGED``.
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
"""The changed builds beyond which it is faster to read all rows in one go."""

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
    """How a column of an index is put together: slices of what it was and of what was read, in turn.

    Attributes:
        slices: [start, stop) of the old rows or of those that were read.
        kept: of each, whether it is of the old rows.
        shifts: of each of the old rows, what is added to the numbers of its builds.
    """

    slices: Sequence[slice]
    kept: Sequence[bool]
    shifts: Sequence[int]

    def column(self, old: NDArray[Values], read: NDArray[Values]) -> NDArray[Values]:
        """Return a column."""
        return np.concatenate(
            [(old if kept else read)[part] for part, kept in zip(self.slices, self.kept, strict=True)]
        )

    def positions(self, rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return where each of the old rows is now, int64 [rows], -1 for one that is gone, and where those read are."""
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
        """Return the builds' numbers, of which those that were read are as they must be."""
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
    """The rows of an index at a newer snapshot, and how they follow from what they were.

    Attributes:
        rows: the rows.
        splice: how their columns were put together.
        read: the rows that were read.
        changed: bool [b], the builds whose rows were read.
        queries: what else of these can be read, by part.
        moved: whether arrays of builds that did not change are elsewhere now.
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
    """Return the rows of some parts, when those that they had at older snapshots are known; None to read them anew.

    Args:
        store: the store.
        old: the rows that are known.
        before: the parts that they are of.
        parts: the parts that are asked for.
        wanted: which rows, the same as those that are known.

    Raises:
        PredicateError: ``where`` is no predicate over a row.
        FileDamagedError: a file that is read is not as it was written.
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
    # What expired while it was read may have been merged with what came later.
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
    """Return whether each part has at least the builds that it had."""
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
        old_places: int64 [b], the place of each among those that the part had; -1 for a new one.
        changed: bool [b], whether its rows must be read.
        moved: whether arrays of builds that have not changed are elsewhere now.
    """

    builds: pa.Table
    old_places: NDArray[np.int64]
    changed: NDArray[np.bool_]
    moved: bool = False


def _forward_builds(store: OpenStore, old: pa.Table, was: HistoryPart, part: HistoryPart) -> _PartBuilds | None:
    """Return the builds of a part; None when what changed is not only builds that came or got more rows."""
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
        # The arrays of a build that was added since can only have moved since.
        of_builds = {name: sources[name] for name in ("builds", "placements")}
        fresh = _without(_fresh_builds(store, was, part, of_builds), places)
        builds, old_places = _in_order(old, fresh)
    ids = builds["build_id"].to_pylist()
    changed = np.array([build_id in added["changed"] for build_id in ids], bool) | (old_places < 0)
    return _PartBuilds(builds, old_places, changed, moved)


def _fresh_builds(store: OpenStore, was: HistoryPart, part: HistoryPart, added: Mapping[str, str]) -> pa.Table:
    """Return the builds, in no order, that came after a snapshot or that are of a later iteration than counted."""
    found = [read_builds(store, part, added=added)]
    if part.up_to_iteration != was.up_to_iteration:
        assert was.up_to_iteration is not None
        found.append(read_builds(store, part, "builds.iteration > ?", was.up_to_iteration))
    return pa.concat_tables(found)


def _without(builds: pa.Table, known: dict[str, int]) -> pa.Table:
    """Return each build once that is not known."""
    seen: dict[str, int] = {}
    for place, build_id in enumerate(builds["build_id"].to_pylist()):
        if build_id not in known:
            seen.setdefault(build_id, place)
    return builds.take(pa.array(list(seen.values()), pa.int64()))


def _in_order(old: pa.Table, fresh: pa.Table) -> tuple[pa.Table, NDArray[np.int64]]:
    """Return old and fresh builds in the history's order, and the places of the old ones, -1 for the others."""
    rows = fresh.select(_ORDER).to_pylist()
    order = sorted(range(len(rows)), key=lambda place: _key(rows[place]))
    columns = old.select(_ORDER)

    def old_key(place: int) -> tuple[Any, ...]:
        return _key({name: columns[name][place].as_py() for name in _ORDER})

    at = [bisect_right(range(old.num_rows), _key(rows[place]), key=old_key) for place in order]
    places = np.insert(np.arange(old.num_rows), np.array(at, np.int64), old.num_rows + np.array(order, np.int64))
    both = pa.concat_tables([old, fresh]).combine_chunks().take(pa.array(places))
    return both, np.where(places < old.num_rows, places, -1)


# As of ``scan``: a run that is not recorded comes last.
_ORDER = ["run_created", "run_id", "iteration", "event", "sampler_order", "chunk", "sampler"]


def _key(build: dict[str, Any]) -> tuple[Any, ...]:
    """Return what builds are ordered by; what is null comes last."""
    return tuple(part for name in _ORDER for part in (build[name] is None, build[name] or _least(name)))


def _least(name: str) -> Any:
    return 0 if name in ("run_created", "iteration", "sampler_order", "chunk") else ""


def _queries(
    store: OpenStore, before: Sequence[HistoryPart], parts: Sequence[HistoryPart], merged: Sequence[_PartBuilds]
) -> list[PartQuery]:
    """Return what reads the rows of changed builds."""
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
    """Return how columns are put together.

    Args:
        old: the old rows.
        old_numbers: int64 [b], the old number of each build, ascending; -1 for those whose rows were read.
        read: the builds' numbers of the rows that were read, ascending.
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
