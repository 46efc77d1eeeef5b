"""What the sequences of a model are conditioned on: nothing, latent vectors, or source sequences."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from torch import Tensor

from molbuffer.samplers.errors import ConditionError


class Takes(StrEnum):
    """What a model's sequences are conditioned on."""

    NOTHING = "nothing"
    LATENTS = "latents"
    """A latent vector a row; a model draws them from its own prior when it is given none."""
    SOURCES = "sources"
    """Another sequence a row, without which nothing can be drawn."""


@dataclass(frozen=True)
class Condition:
    """What each of n rows is conditioned on; a model reads what it takes and leaves the rest alone.

    Attributes:
        latents: float32 [n, d].
        sources: int64 [n, S], PAD after the end of a row; source_lengths: int64 [n], END counted.
    """

    latents: Tensor | None = None
    sources: Tensor | None = None
    source_lengths: Tensor | None = None

    def __getitem__(self, rows: slice | Tensor) -> Condition:
        """The condition of some of the rows."""
        return Condition(*(None if part is None else part[rows] for part in vars(self).values()))

    def latents_of(self, n: int, size: int) -> Tensor:
        """The latents [n, size] for a model that takes them.

        Raises:
            ConditionError: there are none, or not of n rows of this size.
        """
        if self.latents is None or self.latents.shape != (n, size):
            got = "none" if self.latents is None else list(self.latents.shape)
            raise ConditionError(f"expected latents [{n}, {size}], one vector a row, got {got}")
        return self.latents

    def sources_of(self, n: int) -> tuple[Tensor, Tensor]:
        """The sources [n, S] and their lengths [n] for a model that takes them.

        Raises:
            ConditionError: there are none, or not of n rows, or one of them is empty.
        """
        if self.sources is None or self.source_lengths is None:
            raise ConditionError(f"expected the sources of {n} rows, got none: a conditional model needs one a row")
        if not len(self.sources) == len(self.source_lengths) == n:
            got = f"{len(self.sources)} sources and {len(self.source_lengths)} lengths"
            raise ConditionError(f"expected the sources of {n} rows, got {got}")
        if n and int(self.source_lengths.min()) < 1:
            row = int(self.source_lengths.argmin())
            raise ConditionError(f"row {row} has no source: a conditional model needs one a row")
        return self.sources, self.source_lengths


UNCONDITIONED = Condition()
"""The condition of models that take nothing."""
