"""Priors of latent vectors: true densities, draws that follow them, and versions named by their content."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from molbuffer.samplers.errors import PolicyFormatError
from molbuffer.samplers.latents.priors import LatentPrior, NormalPrior, SphericalPrior
from molbuffer.samplers.latents.source import LatentState, LatentTable, latent_files, load_latents
from molbuffer.samplers.models.autoencoders.von_mises_fisher import log_area, mean_cosine
from molbuffer.storage import SampleStore


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def moved(prior: NormalPrior) -> NormalPrior:
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator(3)) * 0.4)
    return prior


def spherical(d: int, concentration: float) -> SphericalPrior:
    prior = SphericalPrior(d)
    with torch.no_grad():
        prior.direction.copy_(torch.randn(d, generator=generator(4)) * 3)
        prior.log_concentration.fill_(math.log(concentration))
    return prior


def test_a_normal_prior_begins_as_the_standard_normal() -> None:
    prior = NormalPrior(3)
    latents = torch.randn(5, 3, generator=generator())
    standard = torch.distributions.Normal(0, 1)
    assert_close(prior.log_prob(latents), standard.log_prob(latents).sum(1))


def test_the_density_of_one_component_and_of_a_mixture_are_those_of_torch() -> None:
    latents = torch.randn(6, 4, generator=generator())
    for components in (1, 3):
        prior = moved(NormalPrior(4, components))
        parts = torch.distributions.Independent(torch.distributions.Normal(prior.means, prior.log_scales.exp()), 1)
        mixture = torch.distributions.MixtureSameFamily(
            torch.distributions.Categorical(logits=prior.weight_logits), parts
        )
        assert_close(prior.log_prob(latents), mixture.log_prob(latents))


@pytest.mark.parametrize("components", [1, 4])
def test_draws_of_a_normal_prior_have_its_moments(components: int) -> None:
    prior = moved(NormalPrior(3, components))
    drawn = prior.sample(60_000, generator())
    weights = prior.weight_logits.softmax(0)[:, None]
    mean = (weights * prior.means).sum(0).detach()
    square = (weights * (prior.means.square() + (2 * prior.log_scales).exp())).sum(0).detach()
    assert not drawn.requires_grad
    assert_close(drawn.mean(0), mean, atol=0.03, rtol=0)
    assert_close(drawn.square().mean(0), square, atol=0.08, rtol=0)


def test_a_mixture_begins_with_components_of_their_own_and_variance_1() -> None:
    drawn = NormalPrior(4, 200).sample(40_000, generator())
    assert_close(drawn.std(0), torch.ones(4), atol=0.08, rtol=0)
    means = NormalPrior(4, 3).means
    assert len({tuple(mean) for mean in means.tolist()}) == 3


@pytest.mark.parametrize("concentration", [0.2, 3.0, 40.0])
def test_the_density_on_the_circle_integrates_to_1(concentration: float) -> None:
    prior = spherical(2, concentration)
    angles = torch.linspace(-math.pi, math.pi, 20_001, dtype=torch.float64)
    circle = torch.stack([angles.cos(), angles.sin()], 1)
    assert float(torch.trapezoid(prior.log_prob(circle).exp(), angles).detach()) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("concentration", [0.2, 3.0, 40.0])
def test_the_density_on_the_sphere_integrates_to_1(concentration: float) -> None:
    prior = spherical(3, concentration)
    polar = torch.linspace(0, math.pi, 1001, dtype=torch.float64)
    azimuth = torch.linspace(0, 2 * math.pi, 1001, dtype=torch.float64)
    theta, phi = torch.meshgrid(polar, azimuth, indexing="ij")
    points = torch.stack([theta.sin() * phi.cos(), theta.sin() * phi.sin(), theta.cos()], -1)
    density = prior.log_prob(points.view(-1, 3)).exp().view(1001, 1001).detach() * theta.sin()
    assert float(torch.trapezoid(torch.trapezoid(density, azimuth), polar)) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(("d", "concentration"), [(8, 3.0), (32, 8.0)])
def test_the_density_in_more_dimensions_integrates_to_1_by_monte_carlo(d: int, concentration: float) -> None:
    prior, n = spherical(d, concentration), 200_000
    uniform = nn.functional.normalize(torch.randn(n, d, generator=generator(), dtype=torch.float64), dim=1)
    relative = (prior.log_prob(uniform).detach() + log_area(d)).exp()
    assert float(relative.mean()) == pytest.approx(1, abs=5 * float(relative.std()) / math.sqrt(n))


def test_draws_of_a_spherical_prior_scatter_around_its_mean() -> None:
    prior = spherical(16, 25.0)
    drawn = prior.sample(20_000, generator())
    assert_close(drawn.norm(dim=1), torch.ones(20_000), atol=1e-5, rtol=0)
    assert float((drawn @ prior.mean).mean().detach()) == pytest.approx(float(mean_cosine(25.0, 16)), abs=0.01)
    assert_close(nn.functional.normalize(drawn.mean(0), dim=0), prior.mean.detach(), atol=0.03, rtol=0)


@pytest.mark.parametrize("prior", [NormalPrior(3), NormalPrior(3, 2), SphericalPrior(3)], ids=["normal", "mix", "vmf"])
def test_the_mean_gradient_of_the_log_density_over_own_draws_is_0(prior: LatentPrior) -> None:
    # The integral of a density is 1 whatever its parameters: a density that is not normalised fails here.
    drawn = prior.sample(40_000, generator(1))
    prior.log_prob(drawn).mean().backward()
    for name, parameter in prior.named_parameters():
        assert parameter.grad is not None, name
        assert_close(parameter.grad, torch.zeros_like(parameter), atol=0.03, rtol=0, msg=name)


def test_the_same_generator_draws_the_same() -> None:
    for prior in (NormalPrior(4, 3), SphericalPrior(4)):
        assert torch.equal(prior.sample(9, generator(2)), prior.sample(9, generator(2)))
        assert not torch.equal(prior.sample(9, generator(2)), prior.sample(9, generator(3)))
        assert prior.sample(0, generator()).shape == (0, 4)
        assert prior.sample(1, generator()).shape == (1, 4)


@pytest.mark.parametrize(
    "source", [moved(NormalPrior(3, 2)), spherical(5, 7.0), LatentTable.of(torch.eye(4, 3))], ids=lambda s: s.kind
)
def test_a_version_is_stored_under_its_content_and_comes_back_equal(store: SampleStore, source: LatentTable) -> None:
    state = LatentState(source)
    sha256 = store.policies.add(latent_files(source))
    assert sha256 == state.sha256
    again = load_latents(store.policies.folder(sha256))
    assert again.kind == source.kind
    assert again.latent_size == source.latent_size
    assert LatentState(again).sha256 == sha256
    next(again.parameters()).data.add_(1)
    changed = LatentState(again)
    assert changed.sha256 != sha256
    next(again.parameters()).data.add_(1)
    before = changed.sha256
    changed.changed()
    assert changed.sha256 != before


def test_a_table_has_each_vector_once() -> None:
    table = LatentTable.of(torch.tensor([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0]]))
    assert table.vectors.tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_what_is_no_source_of_latents_is_refused(store: SampleStore) -> None:
    other = store.policies.add({"config.json": b'{"kind": "gru", "architecture": {}}', "weights.safetensors": b""})
    with pytest.raises(PolicyFormatError, match=r"'gru'.*: latents, normal_prior"):
        load_latents(store.policies.folder(other))
    empty = store.policies.add({"notes.txt": b""})
    with pytest.raises(PolicyFormatError, match=empty):
        load_latents(store.policies.folder(empty))
    files = latent_files(NormalPrior(3))
    large = store.policies.add(files | {"config.json": files["config.json"].replace(b"3", b"3000000000000")})
    with pytest.raises(PolicyFormatError, match="3000000000000 numbers or more"):
        load_latents(store.policies.folder(large))


@pytest.mark.parametrize("make", [lambda: NormalPrior(0), lambda: NormalPrior(3, 0), lambda: SphericalPrior(1)])
def test_sizes_that_make_no_sense_are_refused(make: object) -> None:
    with pytest.raises(ValueError, match="latent_size"):
        make()
