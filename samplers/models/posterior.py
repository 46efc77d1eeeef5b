"""Posteriors of latent vectors, as an encoder gives them: draws with a gradient, and the divergence from the prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from molbuffer.samplers.models.von_mises_fisher import divergence_from_uniform, sample_directions


class Posterior(Protocol):
    """q(z | sequence) of n sequences."""

    @property
    def mean(self) -> Tensor:
        """What stands for each sequence [n, d]."""
        ...

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One reparameterised draw each [n, d]; from torch's global generator by default."""
        ...

    def divergence(self) -> Tensor:
        """KL(q || prior) in nats, [n, groups]: the parts that are independent of each other; they add up."""
        ...


@dataclass(frozen=True)
class NormalPosterior:
    """Independent normal distributions; the prior is the standard one.

    Attributes:
        mean, log_variance: [n, d].
    """

    mean: Tensor
    log_variance: Tensor

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        noise = torch.randn(self.mean.shape, generator=generator).to(self.mean)
        return self.mean + (self.log_variance / 2).exp() * noise

    def divergence(self) -> Tensor:
        """(μ² + σ² − 1 − log σ²) / 2 of each number [n, d] (Kingma & Welling 2014, appendix B)."""
        return (self.mean.square() + self.log_variance.exp() - 1 - self.log_variance) / 2


@dataclass(frozen=True)
class SphericalPosterior:
    """von Mises-Fisher distributions of one concentration; the prior is the uniform one.

    Attributes:
        mean: unit vectors [n, d].
    """

    mean: Tensor
    concentration: float

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        return sample_directions(self.mean, self.concentration, generator)

    def divergence(self) -> Tensor:
        """Return the same number for every sequence [n, 1]."""
        divergence = divergence_from_uniform(self.concentration, self.mean.shape[1])
        return self.mean.new_full((len(self.mean), 1), divergence)
