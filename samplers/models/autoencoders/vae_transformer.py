"""The variational autoencoder of transformer blocks.

The encoder's blocks see the whole sequence, and the mean of their outputs determines the posterior. The decoder is that
of the transformer language model; the latent vector, mapped to the width of its blocks, is added to the vector of each
token. Sampling keeps the keys and values of earlier tokens in a cache.
"""

from __future__ import annotations

from torch import Tensor, nn

from molbuffer.samplers.models.attention.transformer_block import (
    TransformerBlock,
    attention_within,
    causal_attention,
    rotary_table,
)
from molbuffer.samplers.models.attention.transformer_stack import BlockStep, block_outputs, next_token_head
from molbuffer.samplers.models.autoencoders.vae import VAEArchitecture, VariationalAutoencoder
from molbuffer.samplers.models.decoding import DecodingStep
from molbuffer.samplers.models.protocol import token_mask


class TransformerVAE(VariationalAutoencoder):
    """p(sequence | z) and q(z | sequence), both by transformers."""

    def __init__(self, sizes: VAEArchitecture) -> None:
        super().__init__(sizes)
        encoder, hidden, heads = sizes.encoder_size, sizes.hidden_size, sizes.heads
        self.encoder_embedding = nn.Embedding(sizes.vocabulary_size, encoder)
        self.encoder = nn.ModuleList(TransformerBlock(encoder, heads) for _ in range(sizes.layers))
        self.to_posterior = nn.Linear(encoder, self.numbers_of_posterior)
        self.embedding = nn.Embedding(sizes.vocabulary_size, hidden)
        self.to_state = nn.Linear(sizes.latent_size, hidden)
        self.decoder = nn.ModuleList(TransformerBlock(hidden, heads) for _ in range(sizes.layers))
        self.head = next_token_head(hidden, sizes.vocabulary_size)

    def posterior_numbers(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        # Attention over no position is undefined, so that an empty row attends to its first PAD.
        inside = token_mask(lengths.clamp(min=1), tokens.shape[1])
        rotary = self._rotary(tokens.shape[1], self.sizes.encoder_size)
        x = self.encoder_embedding(tokens)
        encoded = block_outputs(self.encoder, x, rotary, attention_within(inside))
        total = encoded.masked_fill(~inside[..., None], 0).sum(1)
        numbers: Tensor = self.to_posterior(total / inside.sum(1, keepdim=True))
        return numbers

    def logits(self, tokens: Tensor, latents: Tensor) -> Tensor:
        x = self.embedding(self.seen(tokens)) + self.to_state(latents)[:, None]
        rotary = self._rotary(tokens.shape[1], self.sizes.hidden_size)
        dropout = self.sizes.dropout if self.training else 0.0
        logits: Tensor = self.head(block_outputs(self.decoder, x, rotary, causal_attention, dropout))
        return logits + self.impossible

    def step(self, latents: Tensor) -> DecodingStep:
        rotary = self._rotary(self.sizes.max_length, self.sizes.hidden_size)
        context = self.to_state(latents)
        return BlockStep(
            self.decoder,
            embedding=self.embedding,
            head=self.head,
            impossible=self.impossible,
            rotary=rotary,
            n=len(latents),
            context=context,
        )

    def _rotary(self, positions: int, width: int) -> Tensor:
        """Return the rotary table of the first positions for blocks of the given width."""
        return rotary_table(positions, width // self.sizes.heads).to(self.head.weight.device)
