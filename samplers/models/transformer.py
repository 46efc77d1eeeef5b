"""The transformer language model: a decoder of causal blocks (Vaswani et al. 2017, arXiv:1706.03762; Radford et al.
2018) in their present form, which ``attention`` describes.

Training takes all positions of a sequence at once. Sampling goes token by token with the keys and values of the tokens
so far in a cache, so that a step costs the same products however long the sequence already is.
``benchmarks/bench_transformer.py`` measures what that gains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from samplers.models.attention import Block, causal_attention, check_heads, rotary_table
from samplers.models.block_stack import BlockStep, block_outputs, next_token_head
from samplers.models.condition import UNCONDITIONED, Condition, Takes
from samplers.models.decoding import chosen_log_probs, decode, impossible_tokens
from samplers.models.distribution import UNTRUNCATED, Sampling
from samplers.models.protocol import Sequences
from samplers.vocabulary import START


@dataclass(frozen=True)
class TransformerArchitecture:
    """The sizes of a transformer language model.

    Attributes:
        vocabulary_size: tokens, reserved ones included.
        hidden_size: width of a token's vector on its way through the blocks.
        layers: number of blocks.
        heads: of each block's attention; hidden_size / heads is even.
        dropout: probability of dropping a number of what a block's parts add during training, in [0, 1).
        max_length: the most tokens of a sequence, END included; sampling stops there.
    """

    vocabulary_size: int
    hidden_size: int = 256
    layers: int = 4
    heads: int = 4
    dropout: float = 0.0
    max_length: int = 128

    def __post_init__(self) -> None:
        check_heads(self.heads, hidden_size=self.hidden_size)


class TransformerLanguageModel(nn.Module):
    """p(sequence) = Π p(token | tokens before it), with PAD and START impossible."""

    kind = "transformer"
    takes = Takes.NOTHING

    def __init__(self, sizes: TransformerArchitecture) -> None:
        super().__init__()
        self.sizes = sizes
        self.embedding = nn.Embedding(sizes.vocabulary_size, sizes.hidden_size)
        self.blocks = nn.ModuleList(Block(sizes.hidden_size, sizes.heads) for _ in range(sizes.layers))
        self.head = next_token_head(sizes.hidden_size, sizes.vocabulary_size)
        self.register_buffer("impossible", impossible_tokens(sizes.vocabulary_size), persistent=False)
        table = rotary_table(sizes.max_length, sizes.hidden_size // sizes.heads)
        self.register_buffer("rotary", table, persistent=False)
        self.impossible: Tensor
        self.rotary: Tensor

    def architecture(self) -> Mapping[str, Any]:
        return asdict(self.sizes)

    def as_module(self) -> nn.Module:
        return self

    def logits(self, tokens: Tensor) -> Tensor:
        """The next-token logits [n, L, V] before each token of [n, L]."""
        before = functional.pad(tokens[:, :-1], (1, 0), value=START)
        dropout = self.sizes.dropout if self.training else 0.0
        rotary = self._rotary(before.shape[1])
        x = block_outputs(self.blocks, self.embedding(before), rotary, causal_attention, dropout)
        logits: Tensor = self.head(x) + self.impossible
        return logits

    def log_probs(
        self,
        tokens: Tensor,
        lengths: Tensor,
        *,
        condition: Condition = UNCONDITIONED,
        sampling: Sampling = UNTRUNCATED,
    ) -> Tensor:
        """The log-probability [n, L] of each token of int64 [n, L] under ``sampling``; 0 at and after lengths [n]."""
        return chosen_log_probs(self.logits(tokens), tokens, lengths, sampling)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        *,
        condition: Condition = UNCONDITIONED,
        sampling: Sampling = UNTRUNCATED,
        generator: torch.Generator,
    ) -> Sequences:
        """Draws n sequences; see ``decode`` for what a row depends on. A condition is left alone."""
        step = BlockStep(self.blocks, self.embedding, self.head, self.impossible, self.rotary, n)
        return decode(step, n, longest=self.sizes.max_length, sampling=sampling, generator=generator)

    def _rotary(self, positions: int) -> Tensor:
        """The table of the first positions; rows that were not drawn here may have more than max_length."""
        if positions > self.rotary.shape[1]:
            return rotary_table(positions, self.sizes.hidden_size // self.sizes.heads).to(self.rotary.device)
        return self.rotary[:, :positions]
