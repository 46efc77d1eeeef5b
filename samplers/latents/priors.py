"""Latent priors: the distributions of latent vectors, with learnable parameters, that PriorSampler draws from.

A draw has no gradient; ``log_prob`` has one in the parameters. ``latents.source`` stores latent priors as files. Their
few parameters stay on the CPU, whatever the device of the policy that decodes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from molbuffer.samplers.models import log_normaliser, sample_directions
from molbuffer.samplers.seeds import cpu_generator

_FIRST_SPREAD = 0.5
"""The standard deviation of the initial means of a mixture: components that start equal would stay equal."""


class LatentSource(nn.Module, ABC):
    """A torch module that latent vectors come from: a latent prior, or a table of vectors.

    Attributes:
        kind: the name under which the source is stored.
    """

    kind: str

    @property
    @abstractmethod
    def latent_size(self) -> int:
        """The size d of a latent vector."""

    @abstractmethod
    def architecture(self) -> Mapping[str, Any]:
        """Return the sizes from which a source of the same shape can be built, as JSON values."""


class LatentPrior(LatentSource):
    """A distribution of latent vectors."""

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw vectors [n, d] without a gradient graph."""

    @abstractmethod
    def log_prob(self, latents: Tensor) -> Tensor:
        """Return the log-density [n] of vectors [n, d], differentiable in the parameters."""


class NormalPrior(LatentPrior):
    """A mixture of normal distributions with diagonal covariances; one component by default, the standard normal.

    The components of a mixture begin with different means and equal weights, so that the mixture has variance 1.
    """

    kind = "normal_prior"

    def __init__(self, latent_size: int, components: int = 1) -> None:
        super().__init__()
        if latent_size < 1 or components < 1:
            raise ValueError(f"latent_size and components must be >= 1, got {latent_size} and {components}")
        spread = _FIRST_SPREAD if components > 1 else 0.0
        means = torch.randn(components, latent_size, generator=cpu_generator(0), device="cpu") * spread
        self.means = nn.Parameter(means)
        self.log_scales = nn.Parameter(
            torch.full((components, latent_size), math.log1p(-(spread**2)) / 2, device="cpu")
        )
        self.weight_logits = nn.Parameter(torch.zeros(components, device="cpu"))

    @property
    def latent_size(self) -> int:
        return self.means.shape[1]

    def architecture(self) -> Mapping[str, Any]:
        return {"latent_size": self.latent_size, "components": len(self.means)}

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        uniform = torch.rand(n, generator=generator, device="cpu")
        borders = self.weight_logits.softmax(0).cumsum(0)[:-1].contiguous()
        component = torch.searchsorted(borders, uniform, right=True)
        noise = torch.randn(n, self.latent_size, generator=generator, device="cpu")
        return self.means[component] + self.log_scales[component].exp() * noise

    def log_prob(self, latents: Tensor) -> Tensor:
        standard = (latents[:, None] - self.means) / self.log_scales.exp()
        of_numbers = -0.5 * standard.square() - self.log_scales - 0.5 * math.log(2 * math.pi)
        return torch.logsumexp(self.weight_logits.log_softmax(0) + of_numbers.sum(2), dim=1)


class SphericalPrior(LatentPrior):
    """A von Mises-Fisher distribution of unit vectors, with a direction and a concentration.

    The concentration begins at 1, which is nearly uniform in more than a few dimensions; at 0 there would be no
    gradient for the direction.
    """

    kind = "spherical_prior"

    def __init__(self, latent_size: int) -> None:
        super().__init__()
        if latent_size < 2:
            raise ValueError(f"a sphere needs latent_size >= 2, got {latent_size}")
        self.direction = nn.Parameter(torch.full((latent_size,), latent_size**-0.5, device="cpu"))
        self.log_concentration = nn.Parameter(torch.zeros((), device="cpu"))

    @property
    def latent_size(self) -> int:
        return len(self.direction)

    @property
    def mean(self) -> Tensor:
        """The mean direction, a unit vector [d]; the length of the parameter has no effect."""
        return functional.normalize(self.direction, dim=0)

    def architecture(self) -> Mapping[str, Any]:
        return {"latent_size": self.latent_size}

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        means = self.mean.expand(n, self.latent_size)
        return sample_directions(means, float(self.log_concentration.exp()), generator)

    def log_prob(self, latents: Tensor) -> Tensor:
        # In double precision, since the normaliser is a small difference of large numbers.
        concentration = self.log_concentration.double().exp()
        normaliser = log_normaliser(concentration, self.latent_size)
        return (concentration * (latents.double() @ self.mean.double()) + normaliser).to(latents.dtype)
