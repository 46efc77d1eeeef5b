"""The variational autoencoder of sequences (Kingma & Welling 2014, arXiv:1312.6114; Bowman et al. 2016,
arXiv:1511.06349).

A GRU in both directions encodes a sequence as a posterior over latent vectors; a GRU decodes a latent vector, which
gives its first state and is read again at every step. As a generative model of this package it is the decoder: draws
and likelihoods are of sequences given latent vectors, and only ``posterior`` and ``encode`` look at the encoder.

Geometries of the latent space:

normal      Gaussian posterior with a diagonal covariance, standard normal prior.
spherical   von Mises-Fisher posterior with a fixed concentration, uniform prior on the unit sphere. The divergence
            between the two is a constant, so that it cannot collapse (Xu & Durrett 2018, arXiv:1808.10805).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from samplers.models.condition import UNCONDITIONED, Condition, Takes
from samplers.models.decoding import chosen_log_probs, decode, impossible_tokens
from samplers.models.distribution import UNTRUNCATED, Sampling
from samplers.models.gru_stack import GRUStack, GRUStep
from samplers.models.posterior import NormalPosterior, Posterior, SphericalPosterior
from samplers.models.protocol import Sequences
from samplers.vocabulary import PAD, START

GEOMETRIES = ("normal", "spherical")
"""The latent spaces there are."""


@dataclass(frozen=True)
class VAEArchitecture:
    """The sizes of a VAE.

    Attributes:
        vocabulary_size: tokens, reserved ones included.
        latent_size: numbers of a latent vector.
        geometry: of the latent space, one of ``GEOMETRIES``.
        concentration: of a spherical posterior: how close to its mean it stays, >= 0.
        embedding_size: width of a token's embedding.
        encoder_size: width of the encoder's layer, in each direction.
        hidden_size: width of each layer of the decoder; layers: their number.
        dropout: of a layer's output in training, in [0, 1).
        word_dropout: the share of the tokens that the decoder does not get to see in training, in [0, 1): what it
            cannot read off them it has to read off the latent vector.
        max_length: the most tokens of a sequence, END included; sampling stops there.
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

    def __post_init__(self) -> None:
        if self.geometry not in GEOMETRIES:
            raise ValueError(f"expected geometry to be one of {', '.join(GEOMETRIES)}, got {self.geometry!r}")
        if self.latent_size < (2 if self.geometry == "spherical" else 1):
            raise ValueError(f"a {self.geometry} latent space cannot have latent_size {self.latent_size}")


class VAE(nn.Module):
    """p(sequence | z) = Π p(token | tokens before it, z), and q(z | sequence)."""

    kind = "vae"
    takes = Takes.LATENTS

    def __init__(self, sizes: VAEArchitecture) -> None:
        super().__init__()
        self.sizes = sizes
        embedding, hidden, latent = sizes.embedding_size, sizes.hidden_size, sizes.latent_size
        self.encoder_embedding = nn.Embedding(sizes.vocabulary_size, embedding)
        self.encoder_forward = GRUStack(embedding, sizes.encoder_size, 1)
        self.encoder_backward = GRUStack(embedding, sizes.encoder_size, 1)
        # A spherical posterior has a direction only.
        numbers = 2 * latent if sizes.geometry == "normal" else latent
        self.to_posterior = nn.Linear(2 * sizes.encoder_size, numbers)
        self.embedding = nn.Embedding(sizes.vocabulary_size, embedding)
        self.to_state = nn.Linear(latent, sizes.layers * hidden)
        self.recurrent = GRUStack(embedding, hidden, sizes.layers, context_size=latent)
        self.head = nn.Linear(hidden, sizes.vocabulary_size)
        self.register_buffer("impossible", impossible_tokens(sizes.vocabulary_size), persistent=False)
        self.impossible: Tensor

    @property
    def latent_size(self) -> int:
        return self.sizes.latent_size

    @property
    def geometry(self) -> str:
        return self.sizes.geometry

    def architecture(self) -> Mapping[str, Any]:
        return asdict(self.sizes)

    def as_module(self) -> nn.Module:
        return self

    def posterior(self, tokens: Tensor, lengths: Tensor) -> Posterior:
        """q(z | sequence) of each sequence of int64 [n, L] with lengths [n]."""
        last = [
            _last_states(stack, self.encoder_embedding.weight, each, lengths)
            for stack, each in (
                (self.encoder_forward, tokens),
                (self.encoder_backward, reversed_rows(tokens, lengths)),
            )
        ]
        numbers = self.to_posterior(torch.cat(last, 1)).float()
        if self.sizes.geometry == "spherical":
            return SphericalPosterior(functional.normalize(numbers, dim=1), self.sizes.concentration)
        return NormalPosterior(*numbers.chunk(2, 1))

    def encode(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """The mean [n, d] of each sequence's posterior; on the sphere its direction."""
        return self.posterior(tokens, lengths).mean

    def logits(self, tokens: Tensor, latents: Tensor) -> Tensor:
        """The next-token logits [n, L, V] before each token of [n, L], given latents [n, d]."""
        before = functional.pad(tokens[:, :-1], (1, 0), value=START)
        if self.training and self.sizes.word_dropout:
            # START, which is nowhere else within a sequence, stands for a token that is not seen.
            unseen = torch.rand(before.shape, device=before.device) < self.sizes.word_dropout
            before = before.masked_fill(unseen, START)
        gates = functional.embedding(before.T, self.recurrent.token_gates(self.embedding.weight))
        gates = gates + self.recurrent.context_gates(latents)
        output = self.recurrent.outputs(gates, self.sizes.dropout, self._first_states(latents))
        logits: Tensor = self.head(output.transpose(0, 1)) + self.impossible
        return logits

    def log_probs(
        self,
        tokens: Tensor,
        lengths: Tensor,
        *,
        condition: Condition = UNCONDITIONED,
        sampling: Sampling = UNTRUNCATED,
    ) -> Tensor:
        """The log-probability [n, L] of each token of int64 [n, L] given the condition's latents."""
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
        """Draws n sequences, given the condition's latents or, without any, latents from the model's own prior.

        Given latents, a row depends on its own numbers only, as ``decode`` says. Latents of the prior come from the
        same generator before the tokens, so that a draw that is split gives other rows.
        """
        given = condition.latents is not None
        latents = condition.latents_of(n, self.latent_size) if given else self._prior_latents(n, generator)
        step = GRUStep(
            self.recurrent,
            self.embedding.weight,
            self.head,
            self.impossible,
            self._first_states(latents),
            self.recurrent.context_gates(latents),
        )
        drawn = decode(step, n, longest=self.sizes.max_length, sampling=sampling, generator=generator)
        return Sequences(drawn.tokens, drawn.lengths, drawn.log_probs, latents)

    def _prior_latents(self, n: int, generator: torch.Generator) -> Tensor:
        latents = torch.randn(n, self.latent_size, generator=generator, device=generator.device)
        return functional.normalize(latents, dim=1) if self.sizes.geometry == "spherical" else latents

    def _first_states(self, latents: Tensor) -> Tensor:
        """The decoder's states [layers, n, H] before the first token."""
        states: Tensor = self.to_state(latents).tanh()
        return states.view(len(latents), self.sizes.layers, self.sizes.hidden_size).transpose(0, 1)


def reversed_rows(tokens: Tensor, lengths: Tensor) -> Tensor:
    """Each row of [n, L] from its end, at lengths [n], to its beginning; PAD stays behind."""
    places = lengths[:, None] - 1 - torch.arange(tokens.shape[1], device=tokens.device)
    return tokens.gather(1, places.clamp(min=0)).masked_fill(places < 0, PAD)


def _last_states(stack: GRUStack, embedding: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
    """The state [n, H] after the last token of each row."""
    outputs = stack.outputs(functional.embedding(tokens.T, stack.token_gates(embedding)))
    rows = torch.arange(len(lengths), device=tokens.device)
    return outputs[(lengths - 1).clamp(min=0), rows]
