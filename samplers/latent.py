"""LatentSampler: decodes the latent vectors of a table, all equally often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from molbuffer.kinds import checked
from molbuffer.samplers.base import Draw
from molbuffer.samplers.files import rows_of_draw
from molbuffer.samplers.latents import DecodedLatents, LatentTable
from molbuffer.samplers.seeds import numpy_generator


@checked
@dataclass(frozen=True)
class LatentSampler(DecodedLatents):
    """Decodes the latent vectors of a table."""

    kind: ClassVar[str] = "latent"

    @property
    def vectors(self) -> Tensor:
        """The latent vectors [m, d]."""
        assert isinstance(self.latents.source, LatentTable)
        return self.latents.source.vectors

    @torch.no_grad()
    def draw(self, n: int, seed: int) -> Draw:
        """Draw exactly n rows. Every vector is decoded once, in random order, before any is decoded again."""
        vectors = self.vectors
        chosen = rows_of_draw(len(vectors), n, numpy_generator(seed, "latents"))
        return self.decoded(vectors[torch.from_numpy(chosen)], seed)
