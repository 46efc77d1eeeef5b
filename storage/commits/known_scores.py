"""A cache of the scores of components in memory, for a process that looks up scores in each iteration of a training.

A look-up in the tables takes at least 15 ms, while a check that no snapshot was added since the last look-up takes 3
ms. Scores that any process has added are read before each answer, so that the answer is the same as that of
``find_scores``.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from molbuffer.storage.catalog import ReadableCatalog
from molbuffer.storage.commits import tables
from molbuffer.storage.commits.scores import find_scores
from molbuffer.storage.records import Score, ScoreStatus

LOOK_UPS_BEFORE = 2
"""The number of look-ups in the tables before all scores of a component are read, which pays only after several."""
MOST_SCORES = 200_000
"""The largest number of cached scores of a component, some 60 MB; with more, each look-up reads the tables."""

_ADDED = """SELECT smiles, run_id, created, value, status, error, seconds, std FROM {scores}
    WHERE component = ? AND version = ? AND status <> 'pending'"""


@dataclass
class _OfComponent:
    """The cached scores of a version of a component.

    Attributes:
        asked: the number of look-ups up to now.
        snapshot: the snapshot up to which the scores were read; -1 before the first reading.
        count: the number of scores that were read.
        best: the newest good score, or else the newest failed one, by SMILES.
        lost: the newest lost score, by run and SMILES.
    """

    asked: int = 0
    snapshot: int = -1
    count: int = 0
    best: dict[str, dict[str, Any]] = field(default_factory=dict)
    lost: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def add(self, row: dict[str, Any]) -> None:
        self.count += 1
        if row["status"] == ScoreStatus.LOST:
            _keep_newest(self.lost, (row["run_id"], row["smiles"]), row)
        else:
            _keep_newest(self.best, row["smiles"], row)

    def find(self, smiles: str, lost_in: str | None) -> dict[str, Any] | None:
        found = [self.best.get(smiles), None if lost_in is None else self.lost.get((lost_in, smiles))]
        return max((row for row in found if row is not None), key=_rank, default=None)


class KnownScores:
    """A cache of the scores of components at the newest snapshot of a catalog.

    Args:
        catalog: the catalog.
        most: the largest number of cached scores of a component.
    """

    def __init__(self, catalog: ReadableCatalog, most: int = MOST_SCORES) -> None:
        self._catalog, self._most = catalog, most
        self._known: dict[tuple[str, str], _OfComponent] = {}
        self._lock = threading.Lock()

    def find(self, component: str, version: str, smiles: Sequence[str], lost_in: str | None = None) -> dict[str, Score]:
        """Return the known scores of molecules by SMILES, as ``find_scores`` does."""
        with self._lock:
            known = self._known.setdefault((component, version), _OfComponent())
            known.asked += 1
            if known.asked <= LOOK_UPS_BEFORE or not self._up_to_date(known, component, version):
                return find_scores(self._catalog, component, version, smiles, lost_in)
            rows = {text: known.find(text, lost_in) for text in smiles}
        return {text: tables.score_of(row, component, version) for text, row in rows.items() if row is not None}

    def _up_to_date(self, known: _OfComponent, component: str, version: str) -> bool:
        """Read the scores that were added since the last look-up; return whether the cache can hold all of them."""
        if known.count > self._most:
            return False
        newest = self._catalog.newest()
        if newest == known.snapshot:
            return True
        since = "" if known.snapshot < 0 else f" AND snapshot_id > {known.snapshot}"
        # A score that is committed at this moment may be read now and once more at the next look-up.
        limit = f" LIMIT {self._most + 1}"
        added = self._catalog.read(_ADDED + since + limit, parameters=[component, version])
        for row in added.to_pylist():
            known.add(row)
        known.snapshot = newest
        if known.count > self._most:
            known.best, known.lost = {}, {}
            return False
        return True


def _rank(row: dict[str, Any]) -> tuple[bool, Any]:
    return row["status"] == ScoreStatus.OK, row["created"]


def _keep_newest(of: dict[Any, dict[str, Any]], key: Any, row: dict[str, Any]) -> None:
    known = of.get(key)
    if known is None or _rank(row) >= _rank(known):
        of[key] = row
