"""A selection of stored rows by scaffold."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from molbuffer.kinds import checked
from molbuffer.scoring import scaffolds_of
from molbuffer.storage import Positions, SelectableRows


@checked
@dataclass
class ByScaffold:
    """A selection stratified by Bemis-Murcko scaffold: all scaffolds have the same chance, however many rows they have.

    Every scaffold is drawn once before any is drawn a second time. Molecules without a ring share one scaffold. The
    scaffold of a molecule is computed once, in about 0.1 ms.
    """

    _of_molecule: dict[int, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def available(self, rows: SelectableRows, consumed: NDArray[np.integer]) -> int:
        return len(rows)

    def draw(self, rows: SelectableRows, n: int, rng: np.random.Generator, consumed: NDArray[np.integer]) -> Positions:
        if not len(rows):
            return np.zeros(0, np.int64)
        scaffolds = self._numbers(rows)
        order = rng.permutation(len(rows))
        # The position of each row among those of its scaffold, in random order.
        by_scaffold = order[np.argsort(scaffolds[order], kind="stable")]
        sizes = np.unique(scaffolds, return_counts=True)[1]
        turns = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        # The scaffolds of one turn come in random order, too.
        return by_scaffold[np.lexsort((rng.random(len(rows)), turns))[:n]]

    def _numbers(self, rows: SelectableRows) -> NDArray[np.int64]:
        """Return a number for each row [n], equal for equal scaffolds."""
        molecules, first, of_row = np.unique(rows.molecules, return_index=True, return_inverse=True)
        missing = np.flatnonzero([molecule not in self._of_molecule for molecule in molecules.tolist()])
        if len(missing):
            smiles = [text or "" for text in rows.smiles(first[missing])]
            self._of_molecule |= dict(zip(molecules[missing].tolist(), scaffolds_of(smiles), strict=True))
        scaffolds = [self._of_molecule[molecule] for molecule in molecules.tolist()]
        numbers: NDArray[np.int64] = np.unique(scaffolds, return_inverse=True)[1]
        return numbers[of_row]
