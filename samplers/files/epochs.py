"""Drawing the rows of a file without replacement: epoch after epoch, each in an order of its own.

The position of a run is one number, the number of rows drawn so far. The rows [``start``, ``start + n``) of the
sequence depend only on the number of rows of the file, the seed, start and n. So a repeated build has the same rows,
and every row is drawn once before any row is drawn again, however the sequence is divided into draws.
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
        start: the number of rows drawn before.
        seed: the seed of the orders of the epochs, the same for a whole run.
    """

    start: int
    seed: int


@runtime_checkable
class EpochSampler(Protocol):
    """A sampler whose draws can continue, within a run, where the previous draw ended."""

    @property
    def has_epochs(self) -> bool:
        """Whether draws continue each other; a sampler with a base sampler has epochs if the base sampler has."""
        ...

    def draw_from(self, position: EpochPosition, n: int, seed: int) -> Draw:
        """Draw up to n rows from a position on; ``has_epochs`` must be true.

        Args:
            position: the position of the run.
            n: the number of rows to draw.
            seed: the seed of everything that the position does not determine, as in ``draw``.
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

    Time and memory grow with n, while the order of an epoch needs those of the whole file.

    Args:
        n_rows: the number of rows of the file, at least 1.
        n: the number of rows to draw.
        rng: the source of randomness.
        replacement: whether each row is drawn independently; otherwise every row is drawn once before any is drawn
            again.
    """
    if replacement:
        return rng.integers(n_rows, size=n)
    whole = [rng.permutation(n_rows) for _ in range(n // n_rows)]
    return np.concatenate([*whole, rng.choice(n_rows, n % n_rows, replace=False)])


@lru_cache(maxsize=2)
def _order(n_rows: int, seed: int, epoch: int) -> NDArray[np.integer]:
    """Return the order of an epoch, in 4 bytes a row for files of up to two billion rows."""
    order: NDArray[np.integer] = np.arange(n_rows, dtype=np.int32 if n_rows < 2**31 else np.int64)
    numpy_generator(seed, "epoch", epoch).shuffle(order)
    order.flags.writeable = False
    return order
