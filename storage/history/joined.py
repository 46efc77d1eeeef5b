"""One index of the rows of several stores, the rows of the first store first.

A row that several stores have, such as a row of a run that an archive also has, is included once, from the first of
these stores. Rows are in the order of the stores, and within a store in the history's order, so that the same stores at
the same snapshots give the same rows at the same positions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from molbuffer.storage.history.index import HistoryIndex, Positions
from molbuffer.storage.history.index_arrays import IndexArrays
from molbuffer.storage.history.scan import ScannedRows, read_strings
from molbuffer.storage.rows import Rows


@dataclass(frozen=True, eq=False)
class JoinedIndex(HistoryIndex):
    """The rows of several indexes as one index, whose ``store`` and ``parts`` are those of the first.

    Attributes:
        members: the indexes, whose builds follow one another in ``builds``.
    """

    arrays: JoinedArrays
    members: tuple[HistoryIndex, ...] = ()

    def read(self, column: str, positions: Positions) -> list[str | None]:
        return self._strings(column, positions).to_pylist()  # type: ignore[no-any-return]

    @cached_property
    def _smiles(self) -> pa.LargeStringArray:
        return self._strings("smiles", np.arange(len(self)))

    @cached_property
    def _raw(self) -> pa.LargeStringArray:
        return self._strings("raw", np.arange(len(self)))

    def _strings(self, column: str, positions: Positions) -> pa.LargeStringArray:
        """Return a text column of ``samples`` [n], each row read from its own store."""
        texts: list[pa.LargeStringArray] = []
        places: list[NDArray[np.int64]] = []
        builds = self.rows.build_numbers[positions]
        ends = list(accumulate((member.builds.num_rows for member in self.members), initial=0))
        for member, (first, last) in zip(self.members, pairwise(ends), strict=True):
            here = np.flatnonzero((builds >= first) & (builds < last))
            if len(here):
                numbers = (builds[here] - first).astype(np.int32)
                columns = {name: getattr(self.rows, name)[positions[here]] for name in ("row_numbers", "own")}
                few = replace(member.rows, build_numbers=numbers, **columns)
                texts.append(read_strings(member.store, member.parts, few, column))
                places.append(here)
        if not texts:
            return pa.array([], pa.large_string())
        order = np.argsort(np.concatenate(places), kind="stable")
        return pa.concat_arrays(texts).take(pa.array(order))

    def positions_of(self, build_id: str, rows: Sequence[int] | NDArray[np.integer]) -> Positions:
        wanted = np.asarray(rows, np.int64)
        positions, found = np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
        # Several stores may each have some rows of a build.
        for build in self._every_number.get(build_id, ()):
            places, now = self._places(build, wanted)
            positions[now], found = places[now], found | now
        return positions[found]

    def _evaluate(self, where: str) -> NDArray[np.bool_]:
        found = np.zeros(len(self), bool)
        for number, member in enumerate(self.members):
            here = np.flatnonzero(self.arrays.of == number)
            found[here] = member.matching(where)[self.arrays.at[here]]
        return found

    @cached_property
    def _every_number(self) -> Mapping[str, list[int]]:
        numbers: dict[str, list[int]] = {}
        for number, build_id in enumerate(self.build_ids):
            numbers.setdefault(build_id, []).append(number)
        return numbers


@dataclass(eq=False)
class JoinedArrays(IndexArrays):
    """The arrays of the rows of several indexes; ``cache`` and ``located`` are those of the first index.

    Attributes:
        members: the arrays of each index.
        of: the number of the index of each row, int32 [n].
        at: the position of each row in its index, int64 [n].
    """

    members: Sequence[IndexArrays]
    of: NDArray[np.int32]
    at: NDArray[np.int64]

    def gather(self, positions: NDArray[np.int64], rewards: NDArray[np.float64]) -> Rows:
        of, at = self.of.take(positions), self.at.take(positions)
        parts = []
        for number in np.unique(of).tolist():
            here = np.flatnonzero(of == number)
            parts.append((here, self.members[number].gather(at[here], rewards[here])))
        return parts[0][1] if len(parts) == 1 else Rows.placed(len(positions), parts)

    def without(self, keep: NDArray[np.bool_]) -> JoinedArrays:
        return replace(self, of=self.of[keep], at=self.at[keep])


def join_indexes(indexes: Sequence[HistoryIndex]) -> HistoryIndex:
    """Return the rows of several indexes as one index; a row that several indexes have is taken from the first.

    Args:
        indexes: the indexes, at least one, each of a scope without ``run_id``.
    """
    if len(indexes) == 1:
        return indexes[0]
    keep = _first_of_each(indexes)
    first = [0, *accumulate(index.builds.num_rows for index in indexes)]
    numbered = [index.build_numbers[kept] + start for index, kept, start in zip(indexes, keep, first[:-1], strict=True)]
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(index, name)[kept] for index, kept in zip(indexes, keep, strict=True)])
        for name in ("row_numbers", "rewards", "molecules", "own")
    }
    builds = pa.concat_tables([index.builds for index in indexes], promote_options="permissive").combine_chunks()
    rows = ScannedRows(builds=builds, build_numbers=np.concatenate(numbered).astype(np.int32), **columns)
    return JoinedIndex(indexes[0].store, indexes[0].parts, rows, _join_arrays(indexes, keep), members=tuple(indexes))


def _join_arrays(indexes: Sequence[HistoryIndex], keep: Sequence[Positions]) -> JoinedArrays:
    arrays = [index.arrays for index in indexes]
    optional: dict[str, int] = {}
    for each in arrays:
        optional |= {name: max(width, optional.get(name, 0)) for name, width in each.optional.items()}
    return JoinedArrays(
        arrays[0].cache,
        [],
        arrays[0].located,
        optional,
        members=arrays,
        of=np.repeat(np.arange(len(keep), dtype=np.int32), list(map(len, keep))),
        at=np.concatenate([*keep]),
    )


def _first_of_each(indexes: Sequence[HistoryIndex]) -> list[Positions]:
    """Return, for each index, the positions of the rows that no earlier index has."""
    seen: dict[str, set[int]] = {}
    keep: list[Positions] = []
    for index in indexes:
        bounds = np.searchsorted(index.build_numbers, np.arange(index.builds.num_rows + 1))
        kept = np.ones(len(index), bool)
        for build_id, (start, stop) in zip(index.build_ids, pairwise(bounds.tolist()), strict=True):
            rows = index.row_numbers[start:stop].tolist()
            if build_id in seen:
                kept[start:stop] = [row not in seen[build_id] for row in rows]
            seen.setdefault(build_id, set()).update(rows)
        keep.append(np.flatnonzero(kept))
    return keep
