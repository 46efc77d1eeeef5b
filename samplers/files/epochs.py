"""Drawing the rows of a file without replacement: epoch after epoch, each in an order of its own.

The position of a run is one number, the rows drawn so far. Rows ``start`` to ``start + n`` of the sequence are a
function of (rows of the file, seed, start, n) and of nothing else, so that a repeated build gets the same rows, and
every row comes once before any row comes again, however the sequence is cut into draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from molbuffer.samplers.base import Draw
from molbuffer.samplers.seeds import numpy_generator


@dataclass(frozen=True)
class EpochPosition:
    """The position of a run in the rows of a file.

    Attributes:
        start: the rows drawn before.
        seed: the seed of the epochs' orders, the same for a whole run.
    """

    start: int
    seed: int


@runtime_checkable
class EpochSampler(Protocol):
    """A sampler whose draws can continue, within a run, where the draw before ended."""

    @property
    def has_epochs(self) -> bool:
        """Whether draws continue from each other; a sampler with a base sampler has epochs if that one has."""
        ...

    def draw_from(self, position: EpochPosition, n: int, seed: int) -> Draw:
        """Draw up to n rows from a position on; allowed only where ``has_epochs`` is true.

        Args:
            position: the position of the run.
            n: the rows to draw.
            seed: decides whatever the position does not, as the seed of ``draw`` does.
        """
        ...


def epoch_sampler(sampler: object) -> EpochSampler | None:
    """Return the sampler if it draws epochs, else None."""
    return sampler if isinstance(sampler, EpochSampler) and sampler.has_epochs else None


def rows_from(n_rows: int, start: int, n: int, seed: int) -> NDArray[np.int64]:
    """Return the row numbers [n] from ``start`` on in the endless sequence of epochs of a file of ``n_rows`` >= 1."""
    chosen = np.empty(n, np.int64)
    done = 0
    while done < n:
        epoch, first = divmod(start + done, n_rows)
        part = _order(n_rows, seed, epoch)[first : first + n - done]
        chosen[done : done + len(part)] = part
        done += len(part)
    return chosen


def rows_of_draw(n_rows: int, n: int, rng: np.random.Generator, *, replacement: bool = False) -> NDArray[np.int64]:
    """Return the row numbers [n] of a draw that no other draw continues.

    The cost in time and memory is that of n rows, while the order of a whole epoch costs that of the file.

    Args:
        n_rows: the rows of the file, at least 1.
        n: the rows to draw.
        rng: the source of randomness.
        replacement: draw each row independently; otherwise every row comes once before any row comes again.
    """
    if replacement:
        return rng.integers(n_rows, size=n)
    whole = [rng.permutation(n_rows) for _ in range(n // n_rows)]
    return np.concatenate([*whole, rng.choice(n_rows, n % n_rows, replace=False)])


@lru_cache(maxsize=2)
def _order(n_rows: int, seed: int, epoch: int) -> NDArray[np.integer]:
    """Return the order of an epoch, at 4 bytes a row for files of up to two billion rows."""
    order: NDArray[np.integer] = np.arange(n_rows, dtype=np.int32 if n_rows < 2**31 else np.int64)
    numpy_generator(seed, "epoch", epoch).shuffle(order)
    order.flags.writeable = False
    return order
