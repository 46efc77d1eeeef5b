"""The rate limit, which keeps actors that insert rows and a learner that samples them at a fixed ratio.

As Reverb's ``SampleToInsertRatio`` (Cassirer et al. 2021, https://arxiv.org/abs/2102.04736), with I rows inserted by
actors, S rows sampled by the learner, ρ samples per insert and the tolerance T, the surplus

    D = ρ (I − min_rows) − S

stays in [−T, T] once there are ``min_rows`` rows: the learner may sample m rows when D − m ≥ −T, and an actor may
insert b rows when D + ρ b ≤ T. Before, actors insert freely and the learner waits. In the long run each row is used ρ
times.

While the learner waits, D < m − T. An actor may then insert, for every such D, if and only if 2 T ≥ m + ρ b: under this
condition the two never wait for each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from molbuffer.kinds import checked


@checked
@dataclass(frozen=True)
class RateLimit:
    """A bound on the surplus of a learner with actors.

    Attributes:
        samples_per_insert: how often each inserted row is sampled in the long run, above 0.
        tolerance: half the width of the band of the surplus, in samples.
        min_rows: the number of rows that are inserted before the first is sampled, at least 1.
    """

    samples_per_insert: float
    tolerance: float
    min_rows: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.samples_per_insert) and self.samples_per_insert > 0):
            raise ValueError(f"samples_per_insert must be a number above 0, got {self.samples_per_insert}")
        if not (math.isfinite(self.tolerance) and self.tolerance > 0):
            raise ValueError(f"tolerance must be a number above 0, got {self.tolerance}")
        if self.min_rows < 1:
            raise ValueError(f"min_rows must be at least 1, got {self.min_rows}")

    def surplus(self, inserted: int, sampled: int) -> float:
        """Return the surplus D: the samples that are due less the samples that were taken."""
        return self.samples_per_insert * (inserted - self.min_rows) - sampled

    def may_sample(self, rows: int, *, inserted: int, sampled: int) -> bool:
        """Return whether the learner may sample some rows now."""
        return inserted >= self.min_rows and self.surplus(inserted, sampled) - rows >= -self.tolerance

    def may_insert(self, rows: int, *, inserted: int, sampled: int) -> bool:
        """Return whether an actor may insert some rows now."""
        full = self.surplus(inserted, sampled) + rows * self.samples_per_insert > self.tolerance
        return inserted < self.min_rows or not full


def least_tolerance(samples_per_insert: float, *, sampled: int, inserted: int) -> float:
    """Return the tolerance below which a learner and its actors may wait for each other without end.

    Args:
        samples_per_insert: the attribute of ``RateLimit``.
        sampled: the most rows that the learner samples at once.
        inserted: the most rows that an actor inserts at once.
    """
    return (sampled + samples_per_insert * inserted) / 2
