"""Posteriors of latent vectors: draws with a gradient, and the divergence from the latent prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from molbuffer.samplers.models.autoencoders.von_mises_fisher import divergence_from_uniform, sample_directions


class Posterior(Protocol):
    """The posterior q(z | sequence) of n sequences."""

    @property
    def mean(self) -> Tensor:
        """The vectors [n, d] that represent the sequences."""
        ...

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Return one reparameterised draw each [n, d]; torch's global generator is the default."""
        ...

    def divergence(self) -> Tensor:
        """Return KL(q || prior) in nats [n, groups], of independent parts that sum to the whole."""
        ...


@dataclass(frozen=True)
class NormalPosterior:
    """Independent normal distributions; the latent prior is the standard normal distribution.

    Attributes:
        mean: [n, d].
        log_variance: [n, d].
    """

    mean: Tensor
    log_variance: Tensor

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        noise = torch.randn(self.mean.shape, generator=generator, device="cpu").to(self.mean)
        return self.mean + (self.log_variance / 2).exp() * noise

    def divergence(self) -> Tensor:
        """Return (μ² + σ² − 1 − log σ²) / 2 of each number [n, d] (Kingma & Welling 2014, appendix B)."""
        return (self.mean.square() + self.log_variance.exp() - 1 - self.log_variance) / 2


@dataclass(frozen=True)
class SphericalPosterior:
    """von Mises-Fisher distributions of one concentration; the latent prior is uniform on the unit sphere.

    Attributes:
        mean: unit vectors [n, d].
        concentration: κ, the same for all.
    """

    mean: Tensor
    concentration: float

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        return sample_directions(self.mean, self.concentration, generator)

    def divergence(self) -> Tensor:
        """Return the divergence [n, 1], which is the same for every sequence."""
        divergence = divergence_from_uniform(self.concentration, self.mean.shape[1])
        return self.mean.new_full((len(self.mean), 1), divergence)
