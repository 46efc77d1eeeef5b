"""Drawing the rows of a file without replacement: epoch after epoch, each in an order of its own.

Where a run has come to is one number, the rows drawn so far. Rows ``start`` to ``start + n`` of the sequence are a
function of (rows of the file, seed, start, n) and of nothing else, so that a build which is made again gets the same
rows, and every row comes once before any comes again, however the sequence is cut into draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from molbuffer.samplers.base import Drawn
from molbuffer.samplers.seeds import numpy_generator


@dataclass(frozen=True)
class Place:
    """Where a run has come to in the rows of a file.

    Attributes:
        start: how many were drawn before. seed: of the orders, the same for a whole run.
    """

    start: int
    seed: int


@runtime_checkable
class GoesOn(Protocol):
    """What a sampler is whose draws can go on, within a run, where the one before ended."""

    @property
    def goes_on(self) -> bool:
        """Whether they do: those of a sampler that holds another one do where those of the other do."""
        ...

    def draw_from(self, place: Place, n: int, seed: int) -> Drawn:
        """Draws up to n rows from a place on; ``seed`` is as of ``draw``, for all that does not follow from the place.

        It may only be called where ``goes_on`` is true.
        """
        ...


def going_on(sampler: object) -> GoesOn | None:
    """The sampler, where its draws go on."""
    return sampler if isinstance(sampler, GoesOn) and sampler.goes_on else None


def rows_from(n_rows: int, start: int, n: int, seed: int) -> NDArray[np.int64]:
    """The rows ``start`` to ``start + n`` of the endless sequence of epochs of a file of ``n_rows`` >= 1 rows [n]."""
    chosen = np.empty(n, np.int64)
    done = 0
    while done < n:
        epoch, first = divmod(start + done, n_rows)
        part = _order(n_rows, seed, epoch)[first : first + n - done]
        chosen[done : done + len(part)] = part
        done += len(part)
    return chosen


def rows_of_draw(n_rows: int, n: int, rng: np.random.Generator, *, replacement: bool = False) -> NDArray[np.int64]:
    """Which rows of ``n_rows`` a draw gives that no other goes on from [n].

    It takes the time and the memory of n rows, while an order of a whole file takes those of the file.

    Args:
        n_rows: at least 1.
        n: how many are drawn.
        rng: what is random.
        replacement: each row is independent of all others; otherwise every row comes once before any comes again.
    """
    if replacement:
        return rng.integers(n_rows, size=n)
    whole = [rng.permutation(n_rows) for _ in range(n // n_rows)]
    return np.concatenate([*whole, rng.choice(n_rows, n % n_rows, replace=False)])


@lru_cache(maxsize=2)
def _order(n_rows: int, seed: int, epoch: int) -> NDArray[np.integer]:
    """The order of an epoch: 4 bytes a row for files of up to two billion."""
    order: NDArray[np.integer] = np.arange(n_rows, dtype=np.int32 if n_rows < 2**31 else np.int64)
    numpy_generator(seed, "epoch", epoch).shuffle(order)
    order.flags.writeable = False
    return order
