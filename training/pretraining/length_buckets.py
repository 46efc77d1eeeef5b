"""Length-bucketed batches: rows of similar length share a batch, which saves padding.

The batches are a pure function of (lengths, batch size, seed, epoch), so that the position of a training is the epoch
and the number of the batch. The composition of batches changes every epoch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BATCHES_PER_BUCKET = 64
"""The number of batches of a shuffled epoch within which rows are sorted by length."""


def bucketed_batches(lengths: NDArray[np.integer], batch_size: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Return the row numbers of each batch of an epoch; every row occurs once, and at most one batch is smaller."""
    rng = np.random.default_rng((seed, epoch))
    order = rng.permutation(len(lengths))
    size = batch_size * BATCHES_PER_BUCKET
    buckets = [order[start : start + size] for start in range(0, len(order), size)]
    ordered = [bucket[np.argsort(lengths[bucket], kind="stable")] for bucket in buckets]
    batches = [bucket[i : i + batch_size] for bucket in ordered for i in range(0, len(bucket), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]
