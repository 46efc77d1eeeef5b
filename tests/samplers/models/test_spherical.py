"""The von Mises-Fisher distribution: its density integrates to 1, its derivative is right, and its draws follow it."""

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from molbuffer.samplers.models.autoencoders.von_mises_fisher import (
    divergence_from_uniform,
    log_area,
    log_normaliser,
    mean_cosine,
    sample_directions,
)


def density(cosines: Tensor, concentration: float, d: int) -> Tensor:
    kappa = torch.tensor(concentration, dtype=torch.float64)
    return (kappa * cosines + log_normaliser(kappa, d)).exp()


@pytest.mark.parametrize("concentration", [0.0, 0.3, 4.0, 60.0])
def test_on_the_circle_the_density_integrates_to_1(concentration: float) -> None:
    angles = torch.linspace(-math.pi, math.pi, 20_001, dtype=torch.float64)
    assert float(torch.trapezoid(density(angles.cos(), concentration, 2), angles)) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("concentration", [0.0, 0.3, 4.0, 60.0])
def test_on_the_sphere_the_density_integrates_to_1(concentration: float) -> None:
    cosines = torch.linspace(-1, 1, 200_001, dtype=torch.float64)
    # Archimedes: the area between two heights of the sphere in three dimensions is 2π times their difference.
    area = 2 * math.pi * torch.trapezoid(density(cosines, concentration, 3), cosines)
    assert float(area) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("d", "concentration"), [(5, 2.0), (16, 6.0), (64, 10.0)])
def test_in_more_dimensions_the_mean_over_uniform_directions_is_one_over_the_area(d: int, concentration: float) -> None:
    uniform = torch.randn(400_000, d, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    cosines = uniform[:, 0] / uniform.norm(dim=1)
    relative = density(cosines, concentration, d) * math.exp(log_area(d))
    assert float(relative.mean()) == pytest.approx(1, abs=5 * float(relative.std()) / math.sqrt(len(relative)))


def test_the_areas_of_the_circle_and_the_sphere() -> None:
    assert math.exp(log_area(2)) == pytest.approx(2 * math.pi)
    assert math.exp(log_area(3)) == pytest.approx(4 * math.pi)


@pytest.mark.parametrize("d", [2, 3, 64, 1000])
@pytest.mark.parametrize("concentration", [1e-3, 0.5, 30.0, 900.0])
def test_the_derivative_of_the_normaliser_is_minus_the_mean_cosine(d: int, concentration: float) -> None:
    kappa = torch.tensor(concentration, dtype=torch.float64, requires_grad=True)
    log_normaliser(kappa, d).backward()
    step = 1e-4 * concentration
    above, below = (float(log_normaliser(torch.tensor(concentration + h).double(), d)) for h in (step, -step))
    assert float(kappa.grad) == pytest.approx(-float(mean_cosine(concentration, d)), abs=1e-15)
    assert float(kappa.grad) == pytest.approx((above - below) / (2 * step), rel=1e-3, abs=1e-5)


def test_few_dimensions_have_closed_forms() -> None:
    # In three dimensions C(κ) = κ / (4π sinh κ), and the mean cosine is coth κ − 1/κ.
    kappa = 2.5
    expected = math.log(kappa / (4 * math.pi * math.sinh(kappa)))
    assert float(log_normaliser(torch.tensor(kappa).double(), 3)) == pytest.approx(expected, abs=1e-12)
    assert float(mean_cosine(kappa, 3)) == pytest.approx(1 / math.tanh(kappa) - 1 / kappa, abs=1e-12)


def test_where_bessel_functions_vanish_the_power_series_takes_over() -> None:
    # To second order in κ: log C(κ) = −log area − κ² / (2d), and the mean cosine is κ/d.
    found = float(log_normaliser(torch.tensor(0.1).double(), 600))
    assert found == pytest.approx(-log_area(600) - 0.01 / 1200, abs=1e-9)
    assert float(mean_cosine(0.1, 600)) == pytest.approx(0.1 / 600, rel=1e-4)


@pytest.mark.parametrize(("d", "concentration"), [(2, 0.0), (2, 3.0), (3, 8.0), (16, 20.0), (64, 100.0), (3, 5000.0)])
def test_draws_have_the_mean_and_the_spread_of_the_distribution(d: int, concentration: float) -> None:
    n, generator = 20_000, torch.Generator().manual_seed(2)
    mean = torch.nn.functional.normalize(torch.randn(d, generator=generator), dim=0)
    drawn = sample_directions(mean.expand(n, d), concentration, generator)
    assert_close(drawn.norm(dim=1), torch.ones(n), atol=1e-5, rtol=0)
    expected = float(mean_cosine(concentration, d))
    cosines = drawn @ mean
    assert float(cosines.mean()) == pytest.approx(expected, abs=5 * float(cosines.std()) / math.sqrt(n))
    # E[t²] = 1 − (d − 1) A(κ) / κ.
    second = 1 - (d - 1) * expected / concentration if concentration else 1 / d
    spread = float(cosines.square().std()) / math.sqrt(n)
    assert float(cosines.square().mean()) == pytest.approx(second, abs=5 * spread + 1e-7)
    across = drawn - cosines[:, None] * mean
    assert float(across.mean(0).norm()) < 5 * math.sqrt(1 - second) / math.sqrt(n)


def test_a_mean_along_the_first_axis_needs_no_reflection() -> None:
    axis = torch.tensor([[1.0, 0.0, 0.0]])
    assert_close(sample_directions(axis, 1e6, torch.Generator().manual_seed(0)), axis, atol=1e-2, rtol=0)
    assert_close(sample_directions(-axis, 1e6, torch.Generator().manual_seed(0)), -axis, atol=1e-2, rtol=0)


def test_draws_have_a_gradient_in_the_mean() -> None:
    raw = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).double().requires_grad_()

    def draw(numbers: Tensor) -> Tensor:
        means = torch.nn.functional.normalize(numbers, dim=1)
        return sample_directions(means, 5.0, torch.Generator().manual_seed(3))

    assert torch.autograd.gradcheck(draw, (raw,))


def test_the_divergence_from_uniform_is_the_mean_log_ratio() -> None:
    assert divergence_from_uniform(0.0, 5) == pytest.approx(0, abs=1e-12)
    d, concentration, n = 8, 12.0, 50_000
    mean = torch.zeros(n, d, dtype=torch.float64)
    mean[:, 0] = 1
    cosines = sample_directions(mean, concentration, torch.Generator().manual_seed(0))[:, 0]
    ratios = density(cosines, concentration, d).log() + log_area(d)
    error = 5 * float(ratios.std()) / math.sqrt(n)
    assert divergence_from_uniform(concentration, d) == pytest.approx(float(ratios.mean()), abs=error)
