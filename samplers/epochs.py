"""Drawing the rows of a file without replacement: epoch after epoch, each in an order of its own.

Where a run has come to is one number, the rows drawn so far. Rows ``start`` to ``start + n`` of the sequence are a
function of (rows of the file, seed, start, n) and of nothing else, so that a build which is made again gets the same
rows, and every row comes once before any comes again, however the sequence is cut into draws.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from samplers.base import Drawn
from samplers.seeds import numpy_generator


@runtime_checkable
class GoesOn(Protocol):
    """What a sampler is whose draws go on, within a run, where the one before ended."""

    def draw_from(self, start: int, n: int, seed: int) -> Drawn:
        """Rows ``start`` to ``start + n`` of the endless sequence that a seed, the same for a whole run, stands for."""
        ...


def rows_from(n_rows: int, start: int, n: int, seed: int, *, replacement: bool = False) -> NDArray[np.int64]:
    """Which rows of ``n_rows`` the draws ``start`` to ``start + n`` of a sequence give [n].

    Args:
        n_rows: at least 1.
        start: how many were drawn before.
        n: how many are drawn.
        seed: of the sequence.
        replacement: each row is independent of all others; otherwise each epoch has every row once.
    """
    if replacement:
        return numpy_generator(seed, "replacement", start).integers(n_rows, size=n)
    chosen = np.empty(n, np.int64)
    done = 0
    while done < n:
        epoch, first = divmod(start + done, n_rows)
        part = _order(n_rows, seed, epoch)[first : first + n - done]
        chosen[done : done + len(part)] = part
        done += len(part)
    return chosen


@lru_cache(maxsize=2)
def _order(n_rows: int, seed: int, epoch: int) -> NDArray[np.integer]:
    """The order of an epoch: 4 bytes a row for files of up to two billion."""
    order: NDArray[np.integer] = np.arange(n_rows, dtype=np.int32 if n_rows < 2**31 else np.int64)
    numpy_generator(seed, "epoch", epoch).shuffle(order)
    order.flags.writeable = False
    return order
