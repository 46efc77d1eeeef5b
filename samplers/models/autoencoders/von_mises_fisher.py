"""The von Mises-Fisher distribution on the unit sphere of R^d: p(z) = C_d(κ) exp(κ μ·z), for |μ| = 1, κ >= 0, d >= 2.

C_d(κ) = κ^(d/2 − 1) / ((2π)^(d/2) I_(d/2 − 1)(κ)) with the modified Bessel function I. κ = 0 is the uniform
distribution. Source: Mardia & Jupp 2000, Directional Statistics, chapter 9.
"""

from __future__ import annotations

import math
from typing import Any

import lazy_loader  # type: ignore[import-untyped]
import numpy as np
import torch
from torch import Tensor

# Loaded lazily: every process that draws imports this module, few need these functions, and the import is slow.
special: Any = lazy_loader.load("scipy.special", suppress_warning=True)

_SMALLEST = 1e-280
"""The least value of a scaled Bessel function, near the end of double precision; below it the power series is used."""


def log_area(d: int) -> float:
    """Return the logarithm of the area of the unit sphere of R^d: 2 π^(d/2) / Γ(d/2)."""
    return math.log(2) + d / 2 * math.log(math.pi) - math.lgamma(d / 2)


def log_normaliser(concentration: Tensor, d: int) -> Tensor:
    """Return log C_d(κ) for κ of any shape, computed in float64; its derivative is −A_d(κ) (``mean_cosine``)."""
    result: Tensor = _LogNormaliser.apply(concentration, d)  # type: ignore[no-untyped-call]
    return result


class _LogNormaliser(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, concentration: Tensor, d: int) -> Tensor:
        kappa = concentration.detach().double().cpu().numpy()
        ctx.slope = torch.as_tensor(-mean_cosine(kappa, d)).to(concentration)
        order = d / 2 - 1
        scaled, vanishes = _scaled_bessel(order, kappa)
        by_bessel = order * np.log(np.where(vanishes, 1, kappa)) - np.log(scaled) - kappa
        # I_ν(κ) = (κ/2)^ν / Γ(ν + 1) · 0F1(ν + 1; κ²/4): the power of κ cancels.
        by_series = order * math.log(2) + special.gammaln(order + 1) - _log_series(order, np.where(vanishes, kappa, 0))
        result = np.where(vanishes, by_series, by_bessel) - d / 2 * math.log(2 * math.pi)
        return torch.as_tensor(result).to(concentration)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        return upstream[0] * ctx.slope, None


def mean_cosine(concentration: Any, d: int) -> Any:
    """Return A_d(κ) = I_(d/2)(κ) / I_(d/2 − 1)(κ), the length E[μ·z] of the mean, for a number or an array."""
    kappa = np.asarray(concentration, np.float64)
    order = d / 2 - 1
    below, vanishes = _scaled_bessel(order, kappa)
    small = np.where(vanishes, kappa, 0)
    by_series = small / d * np.exp(_log_series(order + 1, small) - _log_series(order, small))
    return np.where(vanishes, by_series, special.ive(order + 1, kappa) / below)


def divergence_from_uniform(concentration: float, d: int) -> float:
    """Return KL(vMF(μ, κ) || uniform) = κ A_d(κ) + log C_d(κ) + log area, equal for all μ (Xu & Durrett 2018)."""
    normaliser = float(log_normaliser(torch.tensor(concentration, dtype=torch.float64, device="cpu"), d))
    return concentration * float(mean_cosine(concentration, d)) + normaliser + log_area(d)


def sample_directions(means: Tensor, concentration: float, generator: torch.Generator | None = None) -> Tensor:
    """Return one draw [n, d] around each unit vector of means [n, d], differentiable in the means.

    The cosine with the first axis is drawn by rejection and the other directions uniformly; a reflection then maps the
    first axis to the mean. Source: Ulrich 1984, corrected by Wood 1994 (doi:10.1080/03610919408813161), algorithm VM*.

    Args:
        means: unit vectors [n, d].
        concentration: κ, the same for all rows.
        generator: the source of randomness; None for torch's global generator.
    """
    n, d = means.shape
    cosines = _sample_cosines(n, d, concentration, generator).to(means)
    across = torch.randn(n, d - 1, generator=generator, device="cpu").to(means)
    across = across / across.norm(dim=1, keepdim=True)
    around_first = torch.cat([cosines[:, None], (1 - cosines.square()).clamp(min=0).sqrt()[:, None] * across], 1)
    return _reflect(around_first, means)


def _sample_cosines(n: int, d: int, concentration: float, generator: torch.Generator | None) -> Tensor:
    """Return the cosines [n] of the angles to the means, in float64 on the CPU."""
    b = (d - 1) / (2 * concentration + math.hypot(2 * concentration, d - 1))
    x = (1 - b) / (1 + b)
    c = concentration * x + (d - 1) * math.log(4 * b / (1 + b) ** 2)  # the last is 1 − x²
    cosines = torch.zeros(n, dtype=torch.float64, device="cpu")
    left = torch.arange(n, device="cpu")
    while len(left):
        # A coordinate u of a uniform direction makes (1 + u) / 2 follow Beta((d − 1)/2, (d − 1)/2).
        normal = torch.randn(len(left), d, generator=generator, dtype=torch.float64, device="cpu")
        beta = (1 + normal[:, 0] / normal.norm(dim=1)) / 2
        proposed = (1 - (1 + b) * beta) / (1 - (1 - b) * beta)
        uniform = torch.rand(len(left), generator=generator, dtype=torch.float64, device="cpu")
        accepted = concentration * proposed + (d - 1) * torch.log1p(-x * proposed) - c >= uniform.log()
        cosines[left[accepted]] = proposed[accepted]
        left = left[~accepted]
    return cosines


def _reflect(vectors: Tensor, means: Tensor) -> Tensor:
    """Return the reflection of vectors [n, d] that maps the first axis to the mean of each row (Householder)."""
    axis = torch.zeros_like(means)
    axis[:, 0] = 1
    normal = axis - means
    # If the mean is the axis itself, there is nothing to reflect, and the normal has no direction.
    squared = normal.square().sum(1, keepdim=True)
    factor = torch.where(squared > 1e-12, 2 / squared.clamp(min=1e-12), torch.zeros_like(squared))
    return vectors - factor * (vectors * normal).sum(1, keepdim=True) * normal


def _scaled_bessel(order: float, kappa: Any) -> tuple[Any, Any]:
    """Return I_order(κ) exp(−κ), and a mask where it is too small for double precision or κ is 0; it is 1 there."""
    scaled = special.ive(order, kappa)
    vanishes = (scaled < _SMALLEST) | (kappa == 0)
    return np.where(vanishes, 1, scaled), vanishes


def _log_series(order: float, kappa: Any) -> Any:
    return np.log(special.hyp0f1(order + 1, np.square(kappa) / 4))
