"""A transformer encoder-decoder: each target sequence is drawn given a source, such as variants of a molecule.

The encoder's blocks see the whole source. Each layer of the decoder reads the encoded source and then goes through a
causal block, both in the form that ``transformer_block`` describes. Queries of the target and keys of the source have
rotary positions, so that copying, the main part of the task, needs only a relative position. A source is encoded once;
its keys and values are kept while a target is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from molbuffer.samplers.models.attention.transformer_block import (
    Attend,
    KeyValueCache,
    TransformerBlock,
    attention_within,
    causal_attention,
    check_heads,
    rms_norm,
    rotary_table,
    rotate,
)
from molbuffer.samplers.models.attention.transformer_stack import block_outputs, next_token_head
from molbuffer.samplers.models.condition import UNCONDITIONED, Condition, ConditionKind
from molbuffer.samplers.models.decoding import chosen_log_probs, decode, tokens_before
from molbuffer.samplers.models.distribution import UNTRUNCATED, Sampling
from molbuffer.samplers.models.language_model import SequenceModule
from molbuffer.samplers.models.protocol import Sequences, token_mask


@dataclass(frozen=True)
class Seq2SeqArchitecture:
    """The sizes of an encoder-decoder.

    Attributes:
        vocabulary_size: tokens, reserved ones included; sources and targets share them.
        hidden_size: width of a token's vector in the blocks.
        encoder_layers: number of blocks of the encoder.
        decoder_layers: number of blocks of the decoder.
        heads: number of heads of each attention; hidden_size / heads is even.
        dropout: probability of dropping a number of the output of each part during training, in [0, 1).
        max_length: the largest number of tokens of a target, END included; sampling stops there. Sources may be longer.
    """

    vocabulary_size: int
    hidden_size: int = 192
    encoder_layers: int = 3
    decoder_layers: int = 3
    heads: int = 6
    dropout: float = 0.0
    max_length: int = 128

    def __post_init__(self) -> None:
        check_heads(self.heads, hidden_size=self.hidden_size)


@dataclass(frozen=True)
class SourceMemory:
    """The keys and values of the sources that a layer of the decoder reads.

    Attributes:
        keys: [n, heads, S, size].
        values: [n, heads, S, size].
        mask: bool [n, 1, 1, S], True inside a source.
    """

    keys: Tensor
    values: Tensor
    mask: Tensor

    def __getitem__(self, rows: Tensor) -> SourceMemory:
        """Return the memory of some of the rows, bool [n]."""
        return SourceMemory(self.keys[rows], self.values[rows], self.mask[rows])


class SourceAttention(nn.Module):
    """Attention of targets to encoded sources, added to the input."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(size, size, bias=False)
        self.key_value = nn.Linear(size, 2 * size, bias=False)
        self.out = nn.Linear(size, size, bias=False)
        for layer in (self.query, self.key_value):
            nn.init.normal_(layer.weight, std=size**-0.5)
        # As in a new block, the output is at first the input.
        nn.init.zeros_(self.out.weight)

    def memory(self, encoded: Tensor, rotary: Tensor, mask: Tensor) -> SourceMemory:
        """Return the memory of encoded sources [n, S, size], given the rotary table of S and a mask [n, 1, 1, S]."""
        n, positions, size = encoded.shape
        keys, values = (
            self.key_value(encoded).view(n, positions, 2, self.heads, size // self.heads).permute(2, 0, 3, 1, 4)
        )
        return SourceMemory(rotate(keys, rotary).to(values.dtype), values, mask)

    def forward(self, x: Tensor, rotary: Tensor, memory: SourceMemory, dropout: float = 0.0) -> Tensor:
        """Return the input x [n, L, size] plus the attention to the sources, given the rotary table of L positions."""
        n, positions, size = x.shape
        queries = self.query(rms_norm(x)).view(n, positions, self.heads, size // self.heads).transpose(1, 2)
        queries = rotate(queries, rotary).to(memory.keys.dtype)
        read = functional.scaled_dot_product_attention(queries, memory.keys, memory.values, attn_mask=memory.mask)
        return x + functional.dropout(self.out(read.transpose(1, 2).flatten(2)), dropout, training=dropout > 0)


class DecoderLayer(nn.Module):
    """A layer that reads the source and then applies a causal block."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.source = SourceAttention(size, heads)
        self.block = TransformerBlock(size, heads)

    def forward(self, x: Tensor, rotary: Tensor, memory: SourceMemory, attend: Attend, dropout: float = 0.0) -> Tensor:
        output: Tensor = self.block(self.source(x, rotary, memory, dropout), rotary, attend, dropout)
        return output


class Seq2SeqModel(SequenceModule):
    """p(target | source) = Π p(token | tokens before it, source), with PAD and START impossible."""

    kind = "seq2seq"
    condition_kind = ConditionKind.SOURCES
    sizes: Seq2SeqArchitecture

    def __init__(self, sizes: Seq2SeqArchitecture) -> None:
        super().__init__(sizes)
        width, heads = sizes.hidden_size, sizes.heads
        self.source_embedding = nn.Embedding(sizes.vocabulary_size, width)
        self.encoder = nn.ModuleList(TransformerBlock(width, heads) for _ in range(sizes.encoder_layers))
        self.embedding = nn.Embedding(sizes.vocabulary_size, width)
        self.decoder = nn.ModuleList(DecoderLayer(width, heads) for _ in range(sizes.decoder_layers))
        self.head = next_token_head(width, sizes.vocabulary_size)

    def log_probs(
        self,
        tokens: Tensor,
        lengths: Tensor,
        *,
        condition: Condition = UNCONDITIONED,
        sampling: Sampling = UNTRUNCATED,
    ) -> Tensor:
        """Return the log-probability [n, L] of each token of int64 [n, L] given the sources.

        It is 0 at and after the lengths [n].
        """
        dropout = self.sizes.dropout if self.training else 0.0
        memories = self.memories(*condition.sources_of(len(tokens)), dropout)
        return chosen_log_probs(self.logits(tokens, memories, dropout), tokens, lengths, sampling)

    def logits(self, tokens: Tensor, memories: Sequence[SourceMemory], dropout: float = 0.0) -> Tensor:
        """Return the next-token logits [n, L, V] before each token of [n, L], given the memory of each layer."""
        x = self.embedding(tokens_before(tokens))
        rotary = self.rotary(tokens.shape[1])
        for layer, memory in zip(self.decoder, memories, strict=True):
            x = layer(x, rotary, memory, causal_attention, dropout)
        logits: Tensor = self.head(rms_norm(x)) + self.impossible
        return logits

    @torch.no_grad()
    def sample(
        self,
        n: int,
        *,
        condition: Condition = UNCONDITIONED,
        sampling: Sampling = UNTRUNCATED,
        generator: torch.Generator,
    ) -> Sequences:
        """Draw one sequence for each of n sources; see ``decode`` for what a row depends on."""
        step = _Step(self, n, self.memories(*condition.sources_of(n)))
        return decode(
            step, n, longest=self.sizes.max_length, sampling=sampling, generator=generator, device=self.device
        )

    def memories(self, sources: Tensor, lengths: Tensor, dropout: float = 0.0) -> list[SourceMemory]:
        """Encode sources int64 [n, S] with lengths [n] into the memory of each layer of the decoder."""
        # Padding beyond the longest source would only cost time.
        sources = sources[:, : int(lengths.max())] if len(lengths) else sources
        inside, rotary = token_mask(lengths, sources.shape[1]), self.rotary(sources.shape[1])
        x = self.source_embedding(sources)
        encoded = block_outputs(self.encoder, x, rotary, attention_within(inside), dropout)
        mask = inside[:, None, None]
        return [layer.source.memory(encoded, rotary, mask) for layer in self.decoder if isinstance(layer, DecoderLayer)]

    def rotary(self, positions: int) -> Tensor:
        """Return the rotary table of the first positions."""
        return rotary_table(positions, self.sizes.hidden_size // self.sizes.heads).to(self.head.weight.device)


class _Step:
    """One step of all layers of the decoder for a batch."""

    def __init__(self, model: Seq2SeqModel, n: int, memories: Sequence[SourceMemory]) -> None:
        self._model = model
        self._memories = list(memories)
        self._caches = [KeyValueCache(n) for _ in memories]
        self._rotary = model.rotary(model.sizes.max_length)
        self._position = 0

    def __call__(self, tokens: Tensor) -> Tensor:
        """Return the logits [n, V] after tokens [n]."""
        model = self._model
        rotary = self._rotary[:, self._position : self._position + 1]
        x = model.embedding(tokens)[:, None]
        for layer, memory, cache in zip(model.decoder, self._memories, self._caches, strict=True):
            x = layer(x, rotary, memory, cache.attend)
        self._position += 1
        logits: Tensor = model.head(rms_norm(x))[:, 0] + model.impossible
        return logits

    def keep(self, rows: Tensor) -> None:
        self._memories = [memory[rows] for memory in self._memories]
        for cache in self._caches:
            cache.keep(rows)
