"""The diversity memory: it counts the good molecules of a run by buckets, and penalises rewards in full buckets.

A kept molecule with a reward of at least ``min_reward`` counts once, however often it is drawn; with buckets of the
kind ``molecule``, each draw counts. The penalty is a function of N, the number of molecules in the bucket at the end of
the iteration. All rows of an iteration, live and stored, have the same N, so that neither their order nor the number of
updates matters. The stored reward stays as it is; the learner is given (reward + bonus) x penalty.

The table ``bucketed_molecules`` of the store has each counted molecule with its bucket and iteration. A resumed run
reads it, and so has the same memory as a run that was never stopped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from molbuffer.scoring import Buckets, make_buckets
from molbuffer.storage import BucketedMolecule
from molbuffer.training.diversity.penalties import PENALTIES
from molbuffer.training.diversity.settings import DiversitySettings

if TYPE_CHECKING:
    from molbuffer.training.diversity.bonus import NoveltyBonus

BEFORE_THE_RUN = -1
"""The iteration of molecules that other runs had found before the run began."""


@dataclass
class DiversityMemory:
    """The counted molecules by buckets, up to the present iteration.

    Attributes:
        settings: the settings.
        counts: the number of molecules of each bucket.
        bonus: the bonus that is added to rewards; None without a bonus.
    """

    settings: DiversitySettings
    counts: Counter[str] = field(default_factory=Counter, init=False)
    bonus: NoveltyBonus | None = field(default=None, init=False)
    _buckets: Buckets = field(init=False)
    _counted: set[str] = field(default_factory=set, init=False)
    _new: list[BucketedMolecule] = field(default_factory=list, init=False)
    _untaught: list[tuple[str, float]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._buckets = make_buckets(self.settings.buckets, self.settings.least_similarity)
        if self.settings.bonus != "none":
            # The bonus imports torch, which memories without a bonus do not need.
            from molbuffer.training.diversity.bonus import NoveltyBonus

            self.bonus = NoveltyBonus(self.settings.bonus)

    def restore(self, molecules: Iterable[BucketedMolecule]) -> None:
        """Add molecules that an earlier part of the run or another run counted, in the order in which they were."""
        molecules = list(molecules)
        self._buckets.restore(each.bucket for each in molecules)
        self._counted.update(each.smiles for each in molecules)
        self.counts.update(each.bucket for each in molecules)

    def count(self, iteration: int, smiles: Sequence[str | None], rewards: NDArray[np.float64]) -> None:
        """Count kept molecules of an iteration, in the order of its rows.

        Args:
            iteration: the iteration that drew them.
            smiles: canonical SMILES [n]; None for a row that is not a molecule.
            rewards: float64 [n]; NaN without a reward.
        """
        rated = [
            (text, reward)
            for text, reward in zip(smiles, rewards.tolist(), strict=True)
            if text is not None and self._is_good(reward)
        ]
        if self.bonus is not None:
            self._untaught += rated
        good = [text for text, _ in rated]
        if self.settings.buckets != "molecule":
            good = [text for text in dict.fromkeys(good) if text not in self._counted]
        self._counted.update(good)
        for text, bucket in zip(good, self._buckets.add(good), strict=True):
            self._new.append(BucketedMolecule(iteration, text, bucket))
            self.counts[bucket] += 1

    def count_others(self, iteration: int, smiles: Sequence[str], rewards: NDArray[np.float64]) -> int:
        """Count molecules that other agents have found and that are not counted yet; return their number.

        Args:
            iteration: the iteration of this run after which they count.
            smiles: different canonical SMILES [n], of kept molecules.
            rewards: float64 [n]; NaN without a reward.
        """
        fresh = [row for row, text in enumerate(smiles) if text not in self._counted]
        rows = [row for row in fresh if self._is_good(float(rewards[row]))]
        self.count(iteration, [smiles[row] for row in rows], rewards[rows])
        return len(rows)

    def penalties(self, smiles: Sequence[str | None], rewards: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the factors on rewards at the present iteration, float64 [n] in [0, 1]; 1 below ``min_reward``.

        Args:
            smiles: canonical SMILES [n], counted or not; None for a row that is not a molecule.
            rewards: float64 [n].
        """
        factors = np.ones(len(smiles), np.float64)
        good = [row for row, reward in enumerate(rewards.tolist()) if smiles[row] is not None and self._is_good(reward)]
        if good:
            buckets = self._buckets.of([smiles[row] or "" for row in good])
            # A molecule that is not counted, such as one of another run, has the penalty of a counted one.
            counts = [max(1, self.counts[bucket]) if bucket is not None else 1 for bucket in buckets]
            factors[good] = PENALTIES[self.settings.penalty](np.array(counts, np.float64), self.settings.size)
        return factors

    def bonuses(self, smiles: Sequence[str | None], rewards: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Return the bonuses at the present iteration, float64 [n] in [0, ``bonus_weight``]; None without a bonus.

        Args:
            smiles: canonical SMILES [n], counted or not; None for a row that is not a molecule.
            rewards: float64 [n].
        """
        if self.bonus is None:
            return None
        found = np.zeros(len(smiles), np.float64)
        good = [row for row, reward in enumerate(rewards.tolist()) if smiles[row] is not None and self._is_good(reward)]
        found[good] = self.settings.bonus_weight * self.bonus.of([smiles[row] or "" for row in good], rewards[good])
        return found

    def learned(self, smiles: Sequence[str | None], rewards: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the rewards that the learner is given, float64 [n]: (reward + bonus) x penalty.

        Args:
            smiles: canonical SMILES [n], counted or not; None for a row that is not a molecule.
            rewards: float64 [n].
        """
        bonuses = self.bonuses(smiles, rewards)
        learned: NDArray[np.float64] = (rewards if bonuses is None else rewards + bonuses) * self.penalties(
            smiles, rewards
        )
        return learned

    def learn(self) -> float | None:
        """Train the bonus on the good molecules since the last call; return its loss before, None without a bonus."""
        if self.bonus is None:
            return None
        taught, self._untaught = self._untaught, []
        return self.bonus.learn([text for text, _ in taught], np.array([reward for _, reward in taught]))

    def overfull(self, smiles: Sequence[str | None], rewards: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which rows are good molecules of overfull buckets (N > ``size``), bool [n].

        Args:
            smiles: canonical SMILES [n]; None for a row that is not a molecule.
            rewards: float64 [n].
        """
        found = np.zeros(len(smiles), bool)
        buckets = {bucket for bucket, count in self.counts.items() if count > self.settings.size}
        good = [row for row, reward in enumerate(rewards.tolist()) if smiles[row] is not None and self._is_good(reward)]
        if good and buckets:
            found[good] = [bucket in buckets for bucket in self._buckets.of([smiles[row] or "" for row in good])]
        return found

    @property
    def purging(self) -> bool:
        """Whether the settings ask for a purge and a bucket is overfull, so that molecules leave the buffer."""
        return self.settings.purge and any(count > self.settings.size for count in self.counts.values())

    def metrics(self) -> dict[str, float]:
        """Return ``buckets``, the number of buckets, and ``full_buckets``, the number of full ones."""
        full = sum(count >= self.settings.size for count in self.counts.values())
        return {"buckets": float(len(self.counts)), "full_buckets": float(full)}

    def take_new(self) -> list[BucketedMolecule]:
        """Return the molecules that were counted since the last call, for the store."""
        new, self._new = self._new, []
        return new

    def _is_good(self, reward: float) -> bool:
        return reward >= self.settings.min_reward
