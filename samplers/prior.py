"""PriorSampler: draws latent vectors from a prior and decodes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from samplers.base import Drawn, SamplerSize
from samplers.errors import LatentsError
from samplers.latent_priors import LatentPrior
from samplers.latent_state import LatentState
from samplers.latent_vectors import latent_model
from samplers.model import draw_rows
from samplers.models.condition import Condition
from samplers.models.distribution import UNTRUNCATED, Sampling
from samplers.policies import Policy
from samplers.seeds import torch_generator


@dataclass(frozen=True)
class PriorSampler:
    """Decodes draws of a prior, which may be in training.

    Attributes:
        policy: gives the policy that decodes, as it is at the time of the draw.
        latents: the prior, as it is at the time of the draw.
    """

    name: str
    policy: Callable[[], Policy]
    latents: LatentState
    size: SamplerSize = SamplerSize()
    sampling: Sampling = UNTRUNCATED
    kind: str = "prior"

    @property
    def prior(self) -> LatentPrior:
        """The prior that latent vectors are drawn from."""
        assert isinstance(self.latents.source, LatentPrior)
        return self.latents.source

    @property
    def policy_sha256(self) -> str:
        return self.policy().sha256

    @property
    def latent_sha256(self) -> str:
        """The version of the prior."""
        return self.latents.sha256

    @torch.no_grad()
    def draw(self, n: int, seed: int) -> Drawn:
        """Draws exactly n rows with their latents and the log-density of these under the prior."""
        policy, prior = self.policy(), self.prior
        size = latent_model(policy, self.name).latent_size
        if prior.latent_size != size:
            raise LatentsError(
                f"sampler {self.name!r}: its prior has vectors of {prior.latent_size} numbers, its policy decodes "
                f"{size}"
            )
        latents = prior.sample(n, torch_generator(seed, "latents"))
        drawn = draw_rows(policy, n, self.sampling, torch_generator(seed), Condition(latents=latents))
        return replace(drawn, latent_log_probs=prior.log_prob(latents).numpy())
