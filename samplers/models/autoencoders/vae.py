"""The base class of variational autoencoders of sequences, for any kind of layers (Kingma & Welling 2014,
arXiv:1312.6114; Bowman et al. 2016, arXiv:1511.06349).

The encoder maps a sequence to a posterior over latent vectors; the decoder maps a latent vector to a distribution of
sequences. As a generative model of this package an autoencoder is its decoder: draws and likelihoods are those of
sequences given latent vectors, and only ``posterior`` and ``encode`` use the encoder.

Geometries of the latent space:

normal      Gaussian posterior with a diagonal covariance, standard normal prior.
spherical   von Mises-Fisher posterior with a fixed concentration, uniform prior on the unit sphere. The divergence
            of the two is constant, so that the posterior cannot collapse (Xu & Durrett 2018, arXiv:1808.10805).
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from molbuffer.samplers.models.attention.transformer_block import check_heads
from molbuffer.samplers.models.autoencoders.posterior import NormalPosterior, Posterior, SphericalPosterior
from molbuffer.samplers.models.condition import UNCONDITIONED, Condition, ConditionKind
from molbuffer.samplers.models.decoding import DecodingStep, chosen_log_probs, decode, tokens_before
from molbuffer.samplers.models.distribution import UNTRUNCATED, Sampling
from molbuffer.samplers.models.language_model import SequenceModule
from molbuffer.samplers.models.protocol import LatentModel, Sequences
from molbuffer.samplers.tokens import START

GEOMETRIES = ("normal", "spherical")
"""The geometries of a latent space."""
ARCHITECTURES = ("gru", "transformer")
"""The kinds of layers."""


@dataclass(frozen=True)
class VAEArchitecture:
    """The sizes of a VAE.

    Attributes:
        vocabulary_size: tokens, reserved ones included.
        latent_size: numbers of a latent vector.
        geometry: the geometry of the latent space, one of ``GEOMETRIES``.
        concentration: κ of a spherical posterior, >= 0; the larger, the closer draws are to the mean.
        embedding_size: width of a token's embedding in GRUs; in transformers it is the width of the layers.
        encoder_size: width of the encoder's layers, of GRUs in each direction.
        hidden_size: width of each layer of the decoder.
        layers: number of layers of the decoder, and of a transformer's encoder.
        dropout: probability of dropping a number of the output of a decoder layer in training, in [0, 1).
        word_dropout: the share of input tokens that are hidden from the decoder in training, in [0, 1), so that it has
            to use the latent vector.
        max_length: the largest number of tokens of a sequence, END included; sampling stops there.
        architecture: the layers of encoder and decoder, one of ``ARCHITECTURES``.
        heads: heads of a transformer's attention; hidden_size / heads and encoder_size / heads are even.
    """

    vocabulary_size: int
    latent_size: int = 64
    geometry: str = "normal"
    concentration: float = 100.0
    embedding_size: int = 64
    encoder_size: int = 256
    hidden_size: int = 384
    layers: int = 1
    dropout: float = 0.0
    word_dropout: float = 0.0
    max_length: int = 128
    architecture: str = "gru"
    heads: int = 4

    def __post_init__(self) -> None:
        if self.geometry not in GEOMETRIES:
            raise ValueError(f"expected geometry to be one of {', '.join(GEOMETRIES)}, got {self.geometry!r}")
        if self.latent_size < (2 if self.geometry == "spherical" else 1):
            raise ValueError(f"a {self.geometry} latent space cannot have latent_size {self.latent_size}")
        if self.architecture not in ARCHITECTURES:
            raise ValueError(
                f"expected architecture to be one of {', '.join(ARCHITECTURES)}, got {self.architecture!r}"
            )
        if self.architecture == "transformer":
            check_heads(self.heads, hidden_size=self.hidden_size, encoder_size=self.encoder_size)


class VariationalAutoencoder(SequenceModule, LatentModel):
    """p(sequence | z) = Π p(token | tokens before it, z), and q(z | sequence)."""

    kind = "vae"
    condition_kind = ConditionKind.LATENTS
    sizes: VAEArchitecture

    @abstractmethod
    def posterior_numbers(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Encode int64 [n, L] with lengths [n] into the parameters [n, numbers_of_posterior] of the posterior."""

    @abstractmethod
    def logits(self, tokens: Tensor, latents: Tensor) -> Tensor:
        """Return the next-token logits [n, L, V] before each token of [n, L], given latents [n, d]."""

    @abstractmethod
    def step(self, latents: Tensor) -> DecodingStep:
        """Return the state of the decoder before the first token for latent vectors [n, d], without dropout."""

    @property
    def latent_size(self) -> int:
        return self.sizes.latent_size

    @property
    def numbers_of_posterior(self) -> int:
        """The number of parameters of a posterior: 2 d if it is normal (means and variances), d if it is spherical."""
        return 2 * self.latent_size if self.sizes.geometry == "normal" else self.latent_size

    def posterior(self, tokens: Tensor, lengths: Tensor) -> Posterior:
        """Return the posterior q(z | sequence) of each sequence of int64 [n, L] with lengths [n]."""
        numbers = self.posterior_numbers(tokens, lengths).float()
        if self.sizes.geometry == "spherical":
            return SphericalPosterior(functional.normalize(numbers, dim=1), self.sizes.concentration)
        return NormalPosterior(*numbers.chunk(2, 1))

    def encode(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Return the mean [n, d] of each sequence's posterior, on the sphere its direction."""
        return self.posterior(tokens, lengths).mean

    def log_probs(
        self,
        tokens: Tensor,
        lengths: Tensor,
        *,
        condition: Condition = UNCONDITIONED,
        sampling: Sampling = UNTRUNCATED,
    ) -> Tensor:
        """Return the log-probability [n, L] of each token of int64 [n, L] given the condition's latents."""
        latents = condition.latents_of(len(lengths), self.latent_size)
        return chosen_log_probs(self.logits(tokens, latents), tokens, lengths, sampling)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        *,
        condition: Condition = UNCONDITIONED,
        sampling: Sampling = UNTRUNCATED,
        generator: torch.Generator,
    ) -> Sequences:
        """Draw n sequences, given the condition's latents or, without any, draws of the model's own latent prior.

        Given latents, a row depends only on its own random numbers (see ``decode``). Latents of the latent prior are
        drawn from the same generator before the tokens, so that splitting a draw into several changes its rows.
        """
        given = condition.latents is not None
        latents = condition.latents_of(n, self.latent_size) if given else self.prior_latents(n, generator)
        drawn = decode(
            self.step(latents),
            n,
            longest=self.sizes.max_length,
            sampling=sampling,
            generator=generator,
            device=self.device,
        )
        return Sequences(drawn.tokens, drawn.lengths, drawn.log_probs, latents)

    def seen(self, tokens: Tensor) -> Tensor:
        """Return the token before each of [n, L], START before the first, with word dropout in training."""
        before = tokens_before(tokens)
        if self.training and self.sizes.word_dropout:
            # START, which no sequence contains, replaces a dropped token.
            unseen = torch.rand(before.shape, device=before.device) < self.sizes.word_dropout
            before = before.masked_fill(unseen, START)
        return before

    def prior_latents(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw vectors [n, d] from the latent prior that the model is trained with."""
        latents = torch.randn(n, self.latent_size, generator=generator, device=generator.device).to(self.device)
        return functional.normalize(latents, dim=1) if self.sizes.geometry == "spherical" else latents
