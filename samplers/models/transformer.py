"""The transformer language model: a decoder of causal blocks (Vaswani et al. 2017, arXiv:1706.03762; Radford et al.
2018) in their present form, which ``transformer_block`` describes.

Training computes all positions of a sequence at once. Sampling computes one token at a time with the keys and values of
earlier tokens in a cache, so that a step costs the same products however long the sequence is.
``benchmarks/drawing/bench_transformer.py`` measures the gain.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from molbuffer.samplers.models.attention.transformer_block import (
    TransformerBlock,
    causal_attention,
    check_heads,
    rotary_table,
)
from molbuffer.samplers.models.attention.transformer_stack import BlockStep, block_outputs, next_token_head
from molbuffer.samplers.models.decoding import DecodingStep, tokens_before
from molbuffer.samplers.models.language_model import LanguageModel


@dataclass(frozen=True)
class TransformerArchitecture:
    """The sizes of a transformer language model.

    Attributes:
        vocabulary_size: tokens, reserved ones included.
        hidden_size: width of a token's vector in the blocks.
        layers: number of blocks.
        heads: number of heads of each block's attention; hidden_size / heads is even.
        dropout: probability of dropping a number of the output of a block's parts during training, in [0, 1).
        max_length: the largest number of tokens of a sequence, END included; sampling stops there.
    """

    vocabulary_size: int
    hidden_size: int = 256
    layers: int = 4
    heads: int = 4
    dropout: float = 0.0
    max_length: int = 128

    def __post_init__(self) -> None:
        check_heads(self.heads, hidden_size=self.hidden_size)


class TransformerLanguageModel(LanguageModel):
    """A language model of causal transformer blocks."""

    kind = "transformer"
    sizes: TransformerArchitecture
    rotary: Tensor

    def __init__(self, sizes: TransformerArchitecture) -> None:
        super().__init__(sizes)
        self.embedding = nn.Embedding(sizes.vocabulary_size, sizes.hidden_size)
        self.blocks = nn.ModuleList(TransformerBlock(sizes.hidden_size, sizes.heads) for _ in range(sizes.layers))
        self.head = next_token_head(sizes.hidden_size, sizes.vocabulary_size)
        table = rotary_table(sizes.max_length, sizes.hidden_size // sizes.heads)
        self.register_buffer("rotary", table, persistent=False)

    def logits(self, tokens: Tensor) -> Tensor:
        dropout = self.sizes.dropout if self.training else 0.0
        rotary = self._rotary(tokens.shape[1])
        x = block_outputs(self.blocks, self.embedding(tokens_before(tokens)), rotary, causal_attention, dropout)
        logits: Tensor = self.head(x) + self.impossible
        return logits

    def step(self, n: int, device: torch.device) -> DecodingStep:
        return BlockStep(
            self.blocks, embedding=self.embedding, head=self.head, impossible=self.impossible, rotary=self.rotary, n=n
        )

    def _rotary(self, positions: int) -> Tensor:
        """Return the rotary table of the first positions; rows drawn by other models may be longer than max_length."""
        if positions > self.rotary.shape[1]:
            return rotary_table(positions, self.sizes.hidden_size // self.sizes.heads).to(self.rotary.device)
        return self.rotary[:, :positions]
