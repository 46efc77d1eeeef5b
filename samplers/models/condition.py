"""The condition that a model's sequences are drawn under: none, latent vectors, or source sequences."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from molbuffer.samplers.errors import ConditionError


class ConditionKind(StrEnum):
    """The kind of condition that a model's sequences have.

    ``nothing``: the model draws without a condition.
    ``latents``: one latent vector for each row; without them, the model draws latents from its own latent prior.
    ``sources``: one source sequence for each row, which is required.
    """

    NOTHING = "nothing"
    LATENTS = "latents"
    SOURCES = "sources"


@dataclass(frozen=True)
class Condition:
    """The condition of n rows. A model reads the fields of its ``condition_kind`` and ignores the others.

    Attributes:
        latents: float32 [n, d], the latent vectors; None without.
        sources: int64 [n, S], the tokens of the sources, PAD after the end of a row; None without.
        source_lengths: int64 [n], the lengths of the sources, END counted; None without.
    """

    latents: Tensor | None = None
    sources: Tensor | None = None
    source_lengths: Tensor | None = None

    def __getitem__(self, rows: slice | Tensor) -> Condition:
        """Return the condition of some of the rows."""
        return Condition(*(None if part is None else part[rows] for part in vars(self).values()))

    def to(self, device: torch.device) -> Condition:
        """Return the condition on a device; gradients go through the copy."""
        return Condition(*(None if part is None else part.to(device) for part in vars(self).values()))

    def latents_of(self, n: int, size: int) -> Tensor:
        """Return the latents [n, size] for a model that is conditioned on latents.

        Raises:
            ConditionError: the condition has no latents, or latents of another shape.
        """
        if self.latents is None or self.latents.shape != (n, size):
            got = "none" if self.latents is None else list(self.latents.shape)
            raise ConditionError(f"expected latents [{n}, {size}], one vector a row, got {got}")
        return self.latents

    def sources_of(self, n: int) -> tuple[Tensor, Tensor]:
        """Return the sources [n, S] and their lengths [n] for a model that is conditioned on sources.

        Raises:
            ConditionError: the condition has no sources, or another number of them, or one of them is empty.
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
"""The condition of models that have none."""
