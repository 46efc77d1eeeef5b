"""PriorSampler: draws latent vectors from a latent prior and decodes them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from molbuffer.kinds import checked
from molbuffer.samplers.base import Draw
from molbuffer.samplers.latents import DecodedLatents, LatentPrior
from molbuffer.samplers.seeds import torch_generator


@checked
@dataclass(frozen=True)
class PriorSampler(DecodedLatents):
    """Decodes latent vectors drawn from a latent prior."""

    kind: ClassVar[str] = "prior"

    @property
    def prior(self) -> LatentPrior:
        """The latent prior."""
        assert isinstance(self.latents.source, LatentPrior)
        return self.latents.source

    @torch.no_grad()
    def draw(self, n: int, seed: int) -> Draw:
        """Draw exactly n rows with their latent vectors, and the log-density of these under the latent prior."""
        prior = self.prior
        latents = prior.sample(n, torch_generator(seed, "latents"))
        drawn = self.decoded(latents, seed)
        return replace(drawn, rows=replace(drawn.rows, latent_log_probs=prior.log_prob(latents).numpy()))
