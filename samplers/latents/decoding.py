"""The base class of samplers that decode latent vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

from torch import Tensor

from molbuffer.samplers.base import Draw, Sampler, SamplerSize
from molbuffer.samplers.errors import LatentsError
from molbuffer.samplers.latents.source import LatentState
from molbuffer.samplers.latents.vectors import latent_model
from molbuffer.samplers.models import UNTRUNCATED, Condition, Sampling
from molbuffer.samplers.policies import Policy, check_function, draw_rows
from molbuffer.samplers.seeds import torch_generator


@dataclass(frozen=True)
class DecodedLatents(Sampler):
    """A sampler that decodes vectors of a source of latent vectors, which may be in training.

    Attributes:
        policy: a function that returns the policy that decodes, at the time of a draw.
        latents: the source of the latent vectors.
    """

    name: str
    policy: Callable[[], Policy]
    latents: LatentState
    _: KW_ONLY
    size: SamplerSize = SamplerSize()
    sampling: Sampling = UNTRUNCATED

    def __post_init__(self) -> None:
        check_function("policy", self.policy)

    @property
    def policy_sha256(self) -> str:
        return self.policy().sha256

    @property
    def latent_sha256(self) -> str:
        """The sha256 of the present version of the source of latent vectors."""
        return self.latents.sha256

    def decoded(self, latents: Tensor, seed: int) -> Draw:
        """Decode latents [n, d] into one row each.

        Raises:
            LatentsError: the policy decodes vectors of another size.
        """
        policy, size = self.policy(), latents.shape[1]
        decodes = latent_model(policy, self.name).latent_size
        if size != decodes:
            raise LatentsError(
                f"sampler {self.name!r}: its latent vectors have {size} numbers, its policy decodes {decodes}"
            )
        return draw_rows(policy, len(latents), self.sampling, torch_generator(seed), Condition(latents=latents))
