"""Rewards by Pareto rank: non-dominated sorting and crowding among molecules of a reference, as in NSGA-II.

Deb et al. 2002, doi:10.1109/4235.996017. In NSGA-II the rank of a point depends on the present population. Here the
population is a fixed reference that is part of the objective, such as the best molecules of a store at some time, so
that the reward of a molecule does not depend on when, and in which run, it is scored.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molbuffer.scoring.errors import ScoringConfigurationError

Floats = NDArray[np.float64]

MOST_MOLECULES = 5000
"""The largest number of molecules of a reference; the time to sort them grows with its square."""
_AT_ONCE = 256


class ParetoFronts:
    """The Pareto fronts of the points of a reference.

    A point dominates another one if it is at least as good in every dimension and better in at least one. The first
    front has the points that no other point dominates; each next front has the points that only points of earlier
    fronts dominate.
    """

    def __init__(self, points: Floats) -> None:
        """Sort points [m, k] into fronts; in each of the k dimensions, larger is better."""
        self._points = points
        dominated_by = _dominates(points, points)
        self._front = np.full(len(points), -1)
        front = 0
        while (left := self._front < 0).any():
            free = left & ~dominated_by[left].any(axis=0)
            self._front[free] = front
            front += 1
        self._fronts = [np.sort(points[self._front == each], axis=0) for each in range(front)]

    def __len__(self) -> int:
        return len(self._fronts)

    def rewards(self, points: Floats) -> Floats:
        """Return the rewards [n] of points [n, k]: (F − r + c) / (F + 1) with F fronts.

        The rank r is the index of the front that the point would join: 0 if no point of the reference dominates it, F
        if a point of the last front does. The crowding c in [0, 1] is the mean, over the dimensions, of the gap between
        the neighbours of the point in that front. It is 1 if the point is beyond all points of the front in a
        dimension, and 0 if r is F.
        """
        found = np.empty(len(points))
        for start in range(0, len(points), _AT_ONCE):
            part = points[start : start + _AT_ONCE]
            ranks = np.where(_dominates(self._points, part), self._front[:, None] + 1, 0).max(axis=0, initial=0)
            crowding = np.array([self._crowding(point, rank) for point, rank in zip(part, ranks, strict=True)])
            found[start : start + _AT_ONCE] = (len(self) - ranks + crowding) / (len(self) + 1)
        return found

    def _crowding(self, point: Floats, rank: int) -> float:
        if rank == len(self):
            return 0.0
        gaps = []
        for value, column in zip(point, self._fronts[rank].T, strict=True):
            below, above = np.searchsorted(column, value, "left"), np.searchsorted(column, value, "right")
            if below == 0 or above == len(column):
                return 1.0
            gaps.append(column[above] - column[below - 1])
        return float(np.mean(gaps))


def _dominates(points: Floats, others: Floats) -> NDArray[np.bool_]:
    """Return the mask [m, n] of the pairs in which a point of [m, k] dominates a point of the others [n, k]."""
    nowhere_worse = np.ones((len(points), len(others)), bool)
    better = np.zeros_like(nowhere_worse)
    for mine, other in zip(points.T, others.T, strict=True):
        nowhere_worse &= mine[:, None] >= other[None, :]
        better |= mine[:, None] > other[None, :]
    return nowhere_worse & better


@dataclass(frozen=True)
class ParetoReference:
    """The raw values of the molecules of a reference.

    Attributes:
        columns: the raw values of the molecules by the name of the component, NaN where there is none.

    Raises:
        ScoringConfigurationError: there are no columns, no molecules or too many, or columns of different lengths.
    """

    columns: Mapping[str, Sequence[float]]

    def __post_init__(self) -> None:
        sizes = {name: len(each) for name, each in self.columns.items()}
        if not sizes or len(set(sizes.values())) != 1:
            raise ScoringConfigurationError(f"a reference needs equally many values of each component, got {sizes}")
        if not 1 <= next(iter(sizes.values())) <= MOST_MOLECULES:
            raise ScoringConfigurationError(f"a reference has 1 to {MOST_MOLECULES} molecules, got {sizes}")

    @property
    def values(self) -> dict[str, Floats]:
        """The raw values, float64 [m] by the name of the component."""
        return {name: np.asarray(each, np.float64) for name, each in self.columns.items()}

    @classmethod
    def read(cls, path: str | Path, names: Sequence[str]) -> ParetoReference:
        """Read the values of components from a table in CSV, as ``molbuffer top --out`` writes it.

        Args:
            path: the file.
            names: the components; their values are in the columns raw_NAME.

        Raises:
            ScoringConfigurationError: the file cannot be read, or lacks a column.
        """
        try:
            with Path(path).open(encoding="utf-8-sig", newline="") as file:
                reader = csv.DictReader(file)
                missing = [f"raw_{name}" for name in names if f"raw_{name}" not in (reader.fieldnames or ())]
                if missing:
                    raise ScoringConfigurationError(
                        f"the reference {path} has no column {missing[0]!r}; `molbuffer top --out FILE` writes such "
                        "a table"
                    )
                rows = list(reader)
            return cls({name: [_number(row[f"raw_{name}"]) for row in rows] for name in names})
        except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
            if isinstance(error, ScoringConfigurationError):
                raise
            raise ScoringConfigurationError(f"the reference {path} cannot be read: {error}") from None

    @cached_property
    def rows(self) -> list[list[float | None]]:
        """The rows of the molecules, sorted so that equal references have equal rows.

        A row has the raw values in the order of the components, None where there is none.
        """
        table = np.stack(list(self.values.values()), axis=1)
        rows: list[list[Any]] = [[None if np.isnan(value) else value for value in row] for row in table.tolist()]
        return sorted(rows, key=lambda row: [(value is None, value or 0.0) for value in row])


def _number(text: str | None) -> float:
    return float(text) if text and text.strip() else float("nan")
