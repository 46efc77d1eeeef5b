"""The draws of a build: a first draw, and further ones in place of rejected rows.

A model needs as many steps to draw two rows as to draw a whole batch. So a sampler that can do so draws a few spare
rows together with the first draw, by the seed of the second one. They are the rows of the second draw if that needs no
more, and are dropped otherwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

from molbuffer.samplers.base import Draw, Sampler
from molbuffer.samplers.builds.checked_draws import draw_ahead_of, draw_rows_of
from molbuffer.samplers.seeds import derive_seed

SPARE_SHARE = 1 / 16
"""The number of spare rows as a share of the first draw; fewer rows of a good policy are rejected."""


@runtime_checkable
class DrawsAhead(Protocol):
    """A sampler that can draw a few rows of the next attempt together with those of the first."""

    def draw_ahead(self, n: int, seed: int, spare: int, spare_seed: int) -> tuple[Draw, Draw | None]: ...


@dataclass
class Attempts:
    """The attempts of a build to draw its rows.

    Attributes:
        sampler: the sampler.
        seed: the seed of the build, from which the seed of each attempt is derived.
    """

    sampler: Sampler
    seed: int
    _spare: Draw | None = field(default=None, init=False)

    def draw(self, attempt: int, n: int) -> Draw:
        """Return the n rows of an attempt."""
        seed = derive_seed(self.seed, attempt)
        if attempt == 0 and isinstance(self.sampler, DrawsAhead):
            spare = math.ceil(n * SPARE_SHARE)
            drawn, self._spare = draw_ahead_of(self.sampler, n, seed, spare, derive_seed(self.seed, 1))
            return drawn
        if attempt == 1 and self._spare is not None and n <= len(self._spare):
            rows = self._spare.rows.take(slice(n)).trimmed()
            return replace(self._spare, raw=self._spare.raw[:n], rows=rows)
        return draw_rows_of(self.sampler, n, seed)
