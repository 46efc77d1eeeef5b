"""The evidence lower bound by hand, and a tiny VAE on a toy language that learns to say what it was told."""

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from molbuffer.samplers.models.autoencoders.vae import VAEArchitecture, VariationalAutoencoder
from molbuffer.samplers.models.condition import Condition
from molbuffer.samplers.models.distribution import Sampling
from molbuffer.samplers.models.gru import GRUArchitecture, GRULanguageModel
from molbuffer.samplers.models.registry import MODELS
from molbuffer.samplers.policies.policy import Policy
from molbuffer.samplers.tokens.vocabulary import RESERVED, Vocabulary
from molbuffer.scoring import standardise_many
from molbuffer.training.pretraining.corpus import Corpus
from molbuffer.training.pretraining.elbo import NegativeELBO
from molbuffer.training.pretraining.objectives import PRETRAINING_LOSSES, pretraining_loss
from molbuffer.training.pretraining.pretrain import held_out_loss, negative_log_likelihood, pretrain
from molbuffer.training.pretraining.quality import reconstruction_accuracy
from molbuffer.training.pretraining.settings import PretrainSettings

CHAINS = Vocabulary((*RESERVED, "C", "N", "O"))
EPOCHS = {"gru": 14, "transformer": 30}
"""How many a decoder takes to say all that it was told."""
SETTINGS = PretrainSettings(
    epochs=30, decay_epochs=10, batch_size=32, learning_rate=1e-2, warmup_steps=4, held_out=40, patience=99, seed=3
)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """Chains of three atoms, each of three kinds: what comes next cannot be told from what came before."""
    rng = np.random.default_rng(0)
    return Corpus.split(["".join(rng.choice(list("CNO"), 3)) for _ in range(400)], CHAINS, held_out=40, seed=1)


def make(geometry: str = "normal", **changes: Any) -> VariationalAutoencoder:
    torch.manual_seed(0)
    sizes = VAEArchitecture(
        len(CHAINS),
        latent_size=4,
        geometry=geometry,
        concentration=40.0,
        embedding_size=8,
        encoder_size=16,
        hidden_size=32,
        max_length=6,
        heads=2,
    )
    vae = MODELS["vae"].make(asdict(replace(sizes, **changes)))
    assert isinstance(vae, VariationalAutoencoder)
    return vae


def reconstructed(vae: VariationalAutoencoder, corpus: Corpus) -> float:
    """The share of held-out chains that come out of their own latent vector."""
    batch = corpus.batch(corpus.held_out)
    condition = Condition(latents=vae.encode(batch.tokens, batch.lengths))
    greedy = vae.sample(
        len(batch.lengths), condition=condition, sampling=Sampling(top_k=1), generator=torch.Generator()
    )
    width = batch.tokens.shape[1]
    return (
        float((greedy.tokens[:, :width] == batch.tokens).all(1).float().mean())
        if greedy.tokens.shape[1] == width
        else 0
    )


def test_the_bound_by_hand(corpus: Corpus) -> None:
    vae, batch = make().eval(), corpus.batch(corpus.held_out[:5])
    posterior = vae.posterior(batch.tokens, batch.lengths)
    latents = posterior.sample(torch.Generator().manual_seed(0))
    said = vae.log_probs(batch.tokens, batch.lengths, condition=Condition(latents=latents)).sum(1)
    divergence = 0.5 * (posterior.mean**2 + posterior.log_variance.exp() - posterior.log_variance - 1).sum(1)
    assert_close(NegativeELBO()(vae, batch, None), divergence - said)
    assert_close(NegativeELBO(beta=0.3, warmup_steps=10)(vae, batch, None), 0.3 * divergence - said)
    assert_close(NegativeELBO(beta=0.3, free_bits=1e4)(vae, batch, None), torch.full((5,), 0.3 * 4e4) - said)
    torch.manual_seed(4)
    once = NegativeELBO(beta=0.3)(vae, batch, 7)
    torch.manual_seed(4)
    free = NegativeELBO(beta=0.0)(vae, batch, 7)
    assert_close(once - free, 0.3 * divergence)


def test_free_bits_cost_the_same_whether_they_are_used_or_not(corpus: Corpus) -> None:
    vae, batch = make().eval(), corpus.batch(corpus.held_out)
    of_parts = vae.posterior(batch.tokens, batch.lengths).divergence().mean(0).detach()
    threshold = float(of_parts.sort().values[1:3].mean())
    losses = []
    for loss in (NegativeELBO(free_bits=threshold), NegativeELBO(beta=0.0)):
        torch.manual_seed(4)
        losses.append(loss(vae, batch, 0).mean())
    assert_close(losses[0] - losses[1], of_parts.clamp(min=threshold).sum(), atol=1e-5, rtol=1e-5)
    # A threshold above all of them leaves the encoder only the gradient of what it makes possible to say.
    (gradient,) = torch.autograd.grad(losses[0], vae.to_posterior.bias, retain_graph=True)
    (unpriced,) = torch.autograd.grad(losses[1], vae.to_posterior.bias)
    below = (of_parts < threshold).repeat(2)
    assert below.any() and not below.all()
    assert_close(gradient[below], unpriced[below])
    assert not torch.allclose(gradient[~below], unpriced[~below])


def test_beta_rises_linearly() -> None:
    loss = NegativeELBO(beta=0.5, warmup_steps=10)
    assert [loss.beta_at(step) for step in (0, 5, 10, 99)] == pytest.approx([0, 0.25, 0.5, 0.5])
    assert NegativeELBO(beta=0.5).beta_at(0) == 0.5


@pytest.mark.parametrize(
    ("geometry", "architecture"), [("normal", "gru"), ("spherical", "gru"), ("normal", "transformer")]
)
def test_a_tiny_vae_reconstructs_what_it_has_not_seen(corpus: Corpus, geometry: str, architecture: str) -> None:
    vae = make(geometry, architecture=architecture)
    before = reconstructed(vae, corpus)
    loss = NegativeELBO(beta=0.1, warmup_steps=100)
    epochs = EPOCHS[architecture]
    after = pretrain(vae, corpus, replace(SETTINGS, epochs=epochs, decay_epochs=epochs // 3), loss=loss)
    assert before < 0.2 and reconstructed(vae, corpus) >= 0.95
    assert after == pytest.approx(held_out_loss(vae, corpus, 32, loss)), "the noise of a validation is always the same"


def divergence_after(corpus: Corpus, loss: NegativeELBO, epochs: int = 6) -> float:
    vae = make()
    pretrain(vae, corpus, replace(SETTINGS, epochs=epochs, decay_epochs=epochs // 6), loss=loss)
    batch = corpus.batch(corpus.held_out)
    return float(vae.posterior(batch.tokens, batch.lengths).divergence().sum(1).mean().detach())


def test_the_divergence_is_paid_for(corpus: Corpus) -> None:
    cheap, dear = (divergence_after(corpus, NegativeELBO(beta)) for beta in (0.02, 5.0))
    assert dear < 0.1, "a latent vector that costs more than it says is not used"
    # What there is to say are three atoms of three kinds: 3 ln 3 nats.
    assert cheap > 3 * np.log(3)
    assert divergence_after(corpus, NegativeELBO(5.0, free_bits=0.5), epochs=12) > 1.0


def test_a_model_without_a_posterior_is_refused(corpus: Corpus) -> None:
    gru = GRULanguageModel(GRUArchitecture(len(CHAINS), embedding_size=8, hidden_size=8, layers=1))
    with pytest.raises(TypeError, match="'gru'"):
        NegativeELBO()(gru, corpus.batch(corpus.held_out), 0)


def test_each_kind_of_model_has_a_loss_and_options_of_its_own() -> None:
    assert set(PRETRAINING_LOSSES) == set(MODELS)
    assert pretraining_loss("gru", {}) is negative_log_likelihood
    assert pretraining_loss("vae", {"beta": 0.5}) == NegativeELBO(0.5, 2000, 0.0)


def test_reconstruction_counts_molecules_not_strings(corpus: Corpus) -> None:
    vae = make()
    pretrain(vae, corpus, replace(SETTINGS, epochs=8, decay_epochs=2), loss=NegativeELBO(0.05))
    policy = Policy(vae, CHAINS, "a" * 64)
    # Each chain is the same molecule as its reverse; what is encoded is the canonical one.
    canonical = replace(corpus, smiles=[text or "" for text in standardise_many(corpus.smiles)])
    found = reconstruction_accuracy(policy, canonical, 30)
    assert 0.3 < found <= 1
    reverse = replace(corpus, smiles=[text[::-1] for text in corpus.smiles])
    assert reconstruction_accuracy(policy, reverse, 30) == found
