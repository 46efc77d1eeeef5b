"""The VAE: a latent model whose draws have the likelihood it says, and an encoder that reads each row to its end."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from molbuffer.samplers.errors import ConditionError
from molbuffer.samplers.models.autoencoders.posterior import NormalPosterior
from molbuffer.samplers.models.autoencoders.vae import ARCHITECTURES, VAEArchitecture
from molbuffer.samplers.models.autoencoders.vae_gru import VAE, reversed_rows
from molbuffer.samplers.models.autoencoders.von_mises_fisher import divergence_from_uniform
from molbuffer.samplers.models.condition import Condition, ConditionKind
from molbuffer.samplers.models.distribution import UNTRUNCATED, Sampling
from molbuffer.samplers.models.protocol import GenerativeModel, LatentModel, token_mask
from molbuffer.samplers.models.registry import MODELS
from molbuffer.samplers.models.transformer import TransformerArchitecture, TransformerLanguageModel
from molbuffer.samplers.policies.policy import load_policy, policy_files
from molbuffer.samplers.tokens.vocabulary import END, PAD, START, Vocabulary
from molbuffer.storage import SampleStore

SIZES = VAEArchitecture(
    0, latent_size=6, embedding_size=8, encoder_size=12, hidden_size=24, layers=2, max_length=30, heads=2
)
MakeVAE = Callable[..., Any]
BOTH = pytest.mark.parametrize("geometry", ["normal", "spherical"])


def make_vae(vocabulary: Vocabulary, architecture: str, geometry: str = "normal", **changes: float) -> Any:
    """A tiny model with random weights, whose head is scaled up so that tokens are far from equally likely."""
    torch.manual_seed(0)
    sizes = replace(SIZES, vocabulary_size=len(vocabulary), geometry=geometry, architecture=architecture, **changes)
    vae = MODELS["vae"].make(asdict(sizes))
    with torch.no_grad():
        vae.head.weight.mul_(8 if architecture == "gru" else 30)
        vae.to_state.weight.mul_(3)
        for name, weight in vae.named_parameters():
            if name.endswith("_out.weight"):  # zeros, with which blocks would only pass on what comes in
                weight.normal_(std=0.2)
    return vae.eval()


@pytest.fixture(params=ARCHITECTURES)
def make(request: pytest.FixtureRequest, vocabulary: Vocabulary) -> MakeVAE:
    return partial(make_vae, vocabulary, request.param)


def generator(seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@BOTH
def test_it_is_a_latent_model_that_can_be_built_again(make: MakeVAE, geometry: str) -> None:
    vae = make(geometry)
    assert isinstance(vae, GenerativeModel)
    assert isinstance(vae, LatentModel)
    assert vae.condition_kind is ConditionKind.LATENTS
    again = MODELS["vae"].make(vae.architecture())
    again.load_state_dict(vae.state_dict())


def test_it_is_stored_as_every_policy(make: MakeVAE, vocabulary: Vocabulary, store: SampleStore) -> None:
    vae = make()
    policy = load_policy(store.policies.folder(store.policies.add(policy_files(vae, vocabulary))))
    assert policy.kind == "vae"
    assert isinstance(policy.model, LatentModel)
    one, two = vae.sample(9, generator=generator()), policy.model.sample(9, generator=generator())
    assert torch.equal(one.tokens, two.tokens)


@BOTH
@pytest.mark.parametrize("sampling", [UNTRUNCATED, Sampling(0.7), Sampling(1.6), Sampling(0.9, 12, 0.9)])
@pytest.mark.parametrize("given", [True, False])
def test_behaviour_log_probs_are_those_the_model_gives_its_draws(
    make: MakeVAE, geometry: str, sampling: Sampling, given: bool
) -> None:
    vae = make(geometry)
    condition = Condition(latents=torch.randn(64, 6, generator=generator(1)) if given else None)
    drawn = vae.sample(64, condition=condition, sampling=sampling, generator=generator())
    assert drawn.latents is not None
    if condition.latents is not None:
        assert torch.equal(drawn.latents, condition.latents)
    again = vae.log_probs(drawn.tokens, drawn.lengths, condition=Condition(latents=drawn.latents), sampling=sampling)
    assert_close(drawn.log_probs, again.detach(), atol=1e-4, rtol=0)
    others = Condition(latents=drawn.latents.roll(1, 0))
    assert not torch.allclose(drawn.log_probs, vae.log_probs(drawn.tokens, drawn.lengths, condition=others), atol=1e-2)


def test_a_sequence_is_as_likely_as_the_product_of_the_steps_of_an_ordinary_gru(vocabulary: Vocabulary) -> None:
    vae = make_vae(vocabulary, "gru")
    drawn = vae.sample(3, generator=generator())
    assert drawn.latents is not None
    gru = torch.nn.GRU(8 + 6, 24, 2, batch_first=True)
    gru.load_state_dict(vae.recurrent.state_dict())
    for row in range(3):
        z, before, found = drawn.latents[row], START, []
        state = vae.to_state(z).tanh().view(2, 1, 24)
        for token in drawn.tokens[row, : int(drawn.lengths[row])].tolist():
            read = torch.cat([vae.embedding(torch.tensor(before)), z]).view(1, 1, -1)
            output, state = gru(read, state)
            found.append((vae.head(output[0, 0]) + vae.impossible).log_softmax(-1)[token])
            before = token
        assert_close(torch.stack(found).detach(), drawn.log_probs[row, : len(found)], atol=1e-4, rtol=0)


def test_a_decoder_of_blocks_is_the_language_model_whose_tokens_have_the_latent_vector_added(
    vocabulary: Vocabulary,
) -> None:
    vae = make_vae(vocabulary, "transformer")
    z = torch.randn(1, 6, generator=generator(1))
    plain = TransformerLanguageModel(
        TransformerArchitecture(len(vocabulary), hidden_size=24, layers=2, heads=2, max_length=30)
    ).eval()
    plain.blocks.load_state_dict(vae.decoder.state_dict())
    plain.head.load_state_dict(vae.head.state_dict())
    with torch.no_grad():
        plain.embedding.weight.copy_(vae.embedding.weight + vae.to_state(z))
    drawn = vae.sample(1, condition=Condition(latents=z), generator=generator())
    assert_close(plain.log_probs(drawn.tokens, drawn.lengths).detach(), drawn.log_probs, atol=1e-4, rtol=0)


def test_the_encoder_reads_the_order_of_tokens(make: MakeVAE) -> None:
    one, other = torch.tensor([[5, 6, 7, END]]), torch.tensor([[7, 6, 5, END]])
    encoded, turned = (make().encode(tokens, torch.tensor([4])) for tokens in (one, other))
    assert not torch.allclose(encoded, turned, atol=1e-3)


def test_a_policy_of_before_there_was_a_choice_of_layers_is_one_of_grus(vocabulary: Vocabulary, tmp_path: Path) -> None:
    vae = make_vae(vocabulary, "gru")
    files = policy_files(vae, vocabulary)
    config = json.loads(files["config.json"])
    del config["architecture"]["architecture"], config["architecture"]["heads"]
    for name, content in (files | {"config.json": json.dumps(config).encode()}).items():
        (tmp_path / name).write_bytes(content)
    policy = load_policy(tmp_path)
    assert isinstance(policy.model, VAE)
    one, two = vae.sample(9, generator=generator()), policy.model.sample(9, generator=generator())
    assert torch.equal(one.tokens, two.tokens)


def test_rows_given_latents_do_not_depend_on_how_a_draw_is_split(make: MakeVAE) -> None:
    vae, latents = make(), torch.randn(30, 6, generator=generator(1))
    seeded, whole = generator(), vae.sample(30, condition=Condition(latents=latents), generator=generator())
    for rows in (slice(0, 10), slice(10, 30)):
        part = vae.sample(rows.stop - rows.start, condition=Condition(latents=latents[rows]), generator=seeded)
        assert torch.equal(part.tokens, whole.tokens[rows, : part.tokens.shape[1]])


@BOTH
def test_the_models_own_prior_is_drawn_by_the_generator(make: MakeVAE, geometry: str) -> None:
    vae = make(geometry)
    one, two, other = (vae.sample(500, generator=generator(seed)) for seed in (1, 1, 2))
    assert one.latents is not None and two.latents is not None and other.latents is not None
    assert torch.equal(one.latents, two.latents) and torch.equal(one.tokens, two.tokens)
    assert not torch.equal(one.latents, other.latents)
    assert_close(one.latents.mean(0), torch.zeros(6), atol=0.25, rtol=0)
    if geometry == "spherical":
        assert_close(one.latents.norm(dim=1), torch.ones(500))
    else:
        assert float(one.latents.std()) == pytest.approx(1, abs=0.05)


@BOTH
@pytest.mark.parametrize("n", [0, 1])
def test_few_rows(make: MakeVAE, geometry: str, n: int) -> None:
    drawn = make(geometry).sample(n, generator=generator())
    assert drawn.latents is not None
    assert len(drawn) == len(drawn.latents) == n


def test_likelihoods_need_latents_of_the_right_size(make: MakeVAE) -> None:
    vae = make()
    drawn = vae.sample(4, generator=generator())
    with pytest.raises(ConditionError, match=r"latents \[4, 6\]"):
        vae.log_probs(drawn.tokens, drawn.lengths)
    with pytest.raises(ConditionError, match=r"latents \[4, 6\].* \[4, 5\]"):
        vae.sample(4, condition=Condition(latents=torch.zeros(4, 5)), generator=generator())


@BOTH
def test_encoding_is_the_mean_of_the_posterior_and_sees_nothing_after_the_end(make: MakeVAE, geometry: str) -> None:
    vae = make(geometry)
    drawn = vae.sample(20, generator=generator())
    encoded = vae.encode(drawn.tokens, drawn.lengths)
    assert_close(encoded, vae.posterior(drawn.tokens, drawn.lengths).mean)
    for row in range(20):
        length = drawn.lengths[row : row + 1]
        alone = vae.encode(drawn.tokens[row : row + 1, : int(length)], length)
        assert_close(alone[0], encoded[row], atol=1e-5, rtol=1e-5)
    if geometry == "spherical":
        assert_close(encoded.norm(dim=1), torch.ones(20))


def test_rows_are_reversed_within_their_lengths() -> None:
    tokens = torch.tensor([[5, 6, END, PAD], [7, END, PAD, PAD]])
    assert reversed_rows(tokens, torch.tensor([3, 2])).tolist() == [[END, 6, 5, PAD], [END, 7, PAD, PAD]]


def test_the_divergence_of_a_normal_posterior_by_hand() -> None:
    posterior = NormalPosterior(torch.tensor([[1.0, 0.0]]), torch.tensor([[math.log(4.0), 0.0]]))
    assert_close(posterior.divergence(), torch.tensor([[(1 + 4 - 1 - math.log(4)) / 2, 0.0]]))
    draws = torch.stack([posterior.sample(generator(seed))[0] for seed in range(3000)])
    assert_close(draws.mean(0), torch.tensor([1.0, 0.0]), atol=0.15, rtol=0)
    assert_close(draws.std(0), torch.tensor([2.0, 1.0]), atol=0.1, rtol=0)


def test_the_divergence_of_a_spherical_posterior_is_a_constant(make: MakeVAE) -> None:
    vae = make("spherical", concentration=20.0)
    drawn = vae.sample(3, generator=generator())
    posterior = vae.posterior(drawn.tokens, drawn.lengths)
    expected = divergence_from_uniform(20.0, 6)
    assert_close(posterior.divergence(), torch.full((3, 1), expected))
    assert_close(posterior.sample(generator()).norm(dim=1), torch.ones(3), atol=1e-5, rtol=0)


def test_word_dropout_hides_tokens_in_training_only(make: MakeVAE) -> None:
    vae = make(word_dropout=0.5)
    drawn = vae.sample(8, generator=generator())
    condition = Condition(latents=drawn.latents)
    plain = vae.log_probs(drawn.tokens, drawn.lengths, condition=condition)
    assert_close(plain, make().log_probs(drawn.tokens, drawn.lengths, condition=condition))
    vae.train()
    hidden = vae.log_probs(drawn.tokens, drawn.lengths, condition=condition)
    assert not torch.allclose(plain, hidden)
    # The first token is read off the latent vector alone, whatever is hidden.
    assert_close(plain[:, 0], hidden[:, 0])
    assert torch.equal(vae.sample(8, generator=generator()).tokens, drawn.tokens)


def test_sampling_and_encoding_are_without_dropout_in_any_mode(make: MakeVAE) -> None:
    vae = make(dropout=0.5, layers=2)
    drawn = vae.sample(12, generator=generator())
    encoded, condition = vae.encode(drawn.tokens, drawn.lengths), Condition(latents=drawn.latents)
    plain = vae.log_probs(drawn.tokens, drawn.lengths, condition=condition)
    assert_close(plain, drawn.log_probs, atol=1e-4, rtol=0)
    vae.train()
    assert torch.equal(vae.sample(12, generator=generator()).tokens, drawn.tokens)
    assert torch.equal(vae.encode(drawn.tokens, drawn.lengths), encoded)
    assert vae.training
    assert not torch.allclose(vae.log_probs(drawn.tokens, drawn.lengths, condition=condition), plain)


def test_the_gradient_reaches_every_weight(make: MakeVAE) -> None:
    vae = make()
    drawn = vae.sample(8, generator=generator())
    posterior = vae.posterior(drawn.tokens, drawn.lengths)
    condition = Condition(latents=posterior.sample(generator()))
    log_probs = vae.log_probs(drawn.tokens, drawn.lengths, condition=condition)
    assert (log_probs[~token_mask(drawn.lengths, drawn.tokens.shape[1])] == 0).all()
    (posterior.divergence().sum() - log_probs.sum()).backward()
    for name, parameter in vae.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"geometry": "flat"}, "normal, spherical, .*'flat'"),
        ({"latent_size": 0}, "latent_size 0"),
        ({"geometry": "spherical", "latent_size": 1}, "latent_size 1"),
        ({"architecture": "lstm"}, "gru, transformer, .*'lstm'"),
        ({"architecture": "transformer", "encoder_size": 14}, "encoder_size 14 .*heads 2"),
        ({"architecture": "transformer", "heads": 0}, "heads 0"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(changes: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SIZES, **changes)
