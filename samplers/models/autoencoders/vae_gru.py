"""The variational autoencoder of GRUs.

A bidirectional GRU encodes a sequence; a GRU decodes a latent vector, which determines the first state and is an input
at every step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from molbuffer.samplers.models.autoencoders.vae import VAEArchitecture, VariationalAutoencoder
from molbuffer.samplers.models.condition import UNCONDITIONED, Condition
from molbuffer.samplers.models.decoding import DecodingStep
from molbuffer.samplers.models.distribution import UNTRUNCATED, Sampling
from molbuffer.samplers.models.recurrent.gru_stack import GRUStack, GRUStep
from molbuffer.samplers.models.recurrent.packing import Packing, packed_log_probs
from molbuffer.samplers.models.recurrent.products import logits_of
from molbuffer.samplers.tokens import PAD


class VAE(VariationalAutoencoder):
    """p(sequence | z) and q(z | sequence), both by GRUs."""

    def __init__(self, sizes: VAEArchitecture) -> None:
        super().__init__(sizes)
        embedding, hidden, latent = sizes.embedding_size, sizes.hidden_size, sizes.latent_size
        self.encoder_embedding = nn.Embedding(sizes.vocabulary_size, embedding)
        self.encoder_forward = GRUStack(embedding, sizes.encoder_size, 1)
        self.encoder_backward = GRUStack(embedding, sizes.encoder_size, 1)
        self.to_posterior = nn.Linear(2 * sizes.encoder_size, self.numbers_of_posterior)
        self.embedding = nn.Embedding(sizes.vocabulary_size, embedding)
        self.to_state = nn.Linear(latent, sizes.layers * hidden)
        self.recurrent = GRUStack(embedding, hidden, sizes.layers, context_size=latent)
        self.head = nn.Linear(hidden, sizes.vocabulary_size)

    def posterior_numbers(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        last = [
            _last_states(stack, self.encoder_embedding.weight, each, lengths)
            for stack, each in (
                (self.encoder_forward, tokens),
                (self.encoder_backward, reversed_rows(tokens, lengths)),
            )
        ]
        numbers: Tensor = self.to_posterior(torch.cat(last, 1))
        return numbers

    def logits(self, tokens: Tensor, latents: Tensor) -> Tensor:
        packing = Packing.whole(tokens)
        return packing.unpack(self._logits(packing, tokens, latents))

    def log_probs(
        self,
        tokens: Tensor,
        lengths: Tensor,
        *,
        condition: Condition = UNCONDITIONED,
        sampling: Sampling = UNTRUNCATED,
    ) -> Tensor:
        latents = condition.latents_of(len(lengths), self.latent_size)
        packing = Packing.of(lengths, tokens.shape[1])
        return packed_log_probs(self._logits(packing, tokens, latents), packing, tokens, sampling)

    def _logits(self, packing: Packing, tokens: Tensor, latents: Tensor) -> Tensor:
        """Return the next-token logits [T, V] before each packed token of [n, L]."""
        table = self.recurrent.token_gates(self.embedding.weight)
        gates = functional.embedding(packing.pack(self.seen(tokens)), table)
        gates = gates + packing.pack_rows(self.recurrent.context_gates(latents))
        output = self.recurrent.outputs(gates, packing, self.sizes.dropout, self._first_states(latents))
        return logits_of(output, self.head) + self.impossible

    def step(self, latents: Tensor) -> DecodingStep:
        return GRUStep(
            self.recurrent,
            embedding=self.embedding.weight,
            head=self.head,
            impossible=self.impossible,
            states=self._first_states(latents),
            context_gates=self.recurrent.context_gates(latents),
        )

    def _first_states(self, latents: Tensor) -> Tensor:
        """Return the decoder's states [layers, n, H] before the first token."""
        states: Tensor = self.to_state(latents).tanh()
        return states.view(len(latents), self.sizes.layers, self.sizes.hidden_size).transpose(0, 1)


def reversed_rows(tokens: Tensor, lengths: Tensor) -> Tensor:
    """Reverse each row of [n, L] of lengths [n]; PAD stays at the end."""
    places = lengths[:, None] - 1 - torch.arange(tokens.shape[1], device=tokens.device)
    return tokens.gather(1, places.clamp(min=0)).masked_fill(places < 0, PAD)


def _last_states(stack: GRUStack, embedding: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
    """Return the state [n, H] after the last token of each row."""
    packing = Packing.of(lengths, tokens.shape[1])
    gates = functional.embedding(packing.pack(tokens), stack.token_gates(embedding))
    return packing.last(stack.outputs(gates, packing), lengths)
