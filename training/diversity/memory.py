"""The diversity memory: it counts the good molecules of a run by buckets, and penalises the reward of full buckets.

A molecule counts once it was kept with a reward of at least ``min_reward``; it counts once, however often it is drawn.
The penalty at an iteration is a function of the rows up to it: of N, the number of molecules that the bucket has at the
end of the iteration. All rows of one iteration, live and stored, see the same N, so that neither their order nor the
number of updates matters. The stored reward stays as it is; what the learner is given is reward x penalty.

The store has each molecule that counts, with its bucket and iteration, in the table ``bucketed_molecules``. From there
a run that is resumed has the memory of one that was never stopped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from molbuffer.scoring import Buckets, make_buckets
from molbuffer.storage import BucketedMolecule
from molbuffer.training.diversity.penalties import PENALTIES
from molbuffer.training.diversity.settings import DiversitySettings

BEFORE_THE_RUN = -1
"""The iteration of molecules that other runs had found before the run began."""


@dataclass
class DiversityMemory:
    """The molecules that count, by buckets, up to the present iteration.

    Attributes:
        settings: the settings.
        counts: the number of molecules of each bucket.
    """

    settings: DiversitySettings
    counts: Counter[str] = field(default_factory=Counter, init=False)
    _buckets: Buckets = field(init=False)
    _counted: set[str] = field(default_factory=set, init=False)
    _new: list[BucketedMolecule] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._buckets = make_buckets(self.settings.buckets, self.settings.min_similarity)

    def restore(self, molecules: Iterable[BucketedMolecule]) -> None:
        """Count what an earlier part of the run, or another run, has counted, in the order in which it did."""
        molecules = list(molecules)
        self._buckets.restore(each.bucket for each in molecules)
        self._counted.update(each.smiles for each in molecules)
        self.counts.update(each.bucket for each in molecules)

    def count(self, iteration: int, smiles: Sequence[str | None], rewards: NDArray[np.float64]) -> None:
        """Count kept molecules of an iteration, in the order of its rows.

        Args:
            iteration: the iteration that drew them.
            smiles: canonical SMILES [n]; None for a row that is no molecule.
            rewards: float64 [n]; NaN without a reward.
        """
        rated = zip(smiles, rewards.tolist(), strict=True)
        good = [text for text, reward in rated if text is not None and self._is_good(reward)]
        if self.settings.buckets != "molecule":
            good = [text for text in dict.fromkeys(good) if text not in self._counted]
        self._counted.update(good)
        for text, bucket in zip(good, self._buckets.add(good), strict=True):
            self._new.append(BucketedMolecule(iteration, text, bucket))
            self.counts[bucket] += 1

    def penalties(self, smiles: Sequence[str | None], rewards: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the factors on rewards at the present iteration, float64 [n] in [0, 1].

        Args:
            smiles: canonical SMILES [n] of molecules, whether they count or not; None for a row that is none.
            rewards: float64 [n].
        """
        factors = np.ones(len(smiles), np.float64)
        good = [row for row, reward in enumerate(rewards.tolist()) if smiles[row] is not None and self._is_good(reward)]
        if good:
            buckets = self._buckets.of([smiles[row] or "" for row in good])
            # A molecule that does not count itself, such as one of another run, is judged as if it did.
            counts = [max(1, self.counts[bucket]) if bucket is not None else 1 for bucket in buckets]
            factors[good] = PENALTIES[self.settings.penalty](np.array(counts, np.float64), self.settings.size)
        return factors

    def metrics(self) -> dict[str, float]:
        """Return ``buckets``, the number of buckets, and ``full_buckets``, of those that are full."""
        full = sum(count >= self.settings.size for count in self.counts.values())
        return {"buckets": float(len(self.counts)), "full_buckets": float(full)}

    def take_new(self) -> list[BucketedMolecule]:
        """Return what was counted since the last call, for the store."""
        new, self._new = self._new, []
        return new

    def _is_good(self, reward: float) -> bool:
        return reward >= self.settings.min_reward
