"""LatentSampler: decodes given latent vectors, each as often as the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from samplers.base import Drawn, SamplerSize
from samplers.epochs import rows_of_draw
from samplers.errors import LatentsError
from samplers.latent_state import LatentState, LatentTable
from samplers.latent_vectors import latent_model
from samplers.model import draw_rows
from samplers.models.condition import Condition
from samplers.models.distribution import UNTRUNCATED, Sampling
from samplers.policies import Policy
from samplers.seeds import numpy_generator, torch_generator


@dataclass(frozen=True)
class LatentSampler:
    """Decodes the vectors of a table, which may be in training.

    Attributes:
        policy: gives the policy that decodes, as it is at the time of the draw.
        latents: the table, as it is at the time of the draw.
    """

    name: str
    policy: Callable[[], Policy]
    latents: LatentState
    size: SamplerSize = SamplerSize()
    sampling: Sampling = UNTRUNCATED
    kind: str = "latent"

    @property
    def vectors(self) -> Tensor:
        """The latent vectors [m, d]."""
        assert isinstance(self.latents.source, LatentTable)
        return self.latents.source.vectors

    @property
    def policy_sha256(self) -> str:
        return self.policy().sha256

    @property
    def latent_sha256(self) -> str:
        """The version of the table."""
        return self.latents.sha256

    @torch.no_grad()
    def draw(self, n: int, seed: int) -> Drawn:
        """Draws exactly n rows: all vectors in random order, again and again, so that none is left out for long."""
        policy, vectors = self.policy(), self.vectors
        size = latent_model(policy, self.name).latent_size
        if vectors.shape[1] != size:
            raise LatentsError(
                f"sampler {self.name!r}: its vectors have {vectors.shape[1]} numbers, its policy decodes {size}"
            )
        chosen = rows_of_draw(len(vectors), n, numpy_generator(seed, "latents"))
        latents = vectors[torch.from_numpy(chosen)]
        return draw_rows(policy, n, self.sampling, torch_generator(seed), Condition(latents=latents))
