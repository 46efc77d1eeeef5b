"""Stacked transformer blocks over tokens: whole sequences in training, one token at a time in sampling."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from molbuffer.samplers.models.attention.transformer_block import Attend, KeyValueCache, rms_norm


def next_token_head(size: int, vocabulary_size: int) -> nn.Linear:
    """Return the layer from the output [..., size] of blocks to logits, with small weights, for about equal logits."""
    head = nn.Linear(size, vocabulary_size, bias=False)
    nn.init.normal_(head.weight, std=0.1 * size**-0.5)
    return head


def block_outputs(
    blocks: Iterable[nn.Module], x: Tensor, rotary: Tensor, attend: Attend, dropout: float = 0.0
) -> Tensor:
    """Return the normalised output [n, L, size] of a sequence of blocks for the input x [n, L, size].

    Args:
        blocks: applied one after another.
        x: the input.
        rotary: the table of the L positions.
        attend: the attention of each block.
        dropout: the dropout probability of ``TransformerBlock.forward``.
    """
    for block in blocks:
        x = block(x, rotary, attend, dropout)
    return rms_norm(x)


class BlockStep:
    """One step of all blocks and of the head for a batch, with the keys and values of earlier tokens in caches."""

    def __init__(
        self,
        blocks: Iterable[nn.Module],
        *,
        embedding: nn.Embedding,
        head: nn.Linear,
        impossible: Tensor,
        rotary: Tensor,
        n: int,
        context: Tensor | None = None,
    ) -> None:
        """Set the state before the first token of n sequences.

        Args:
            blocks: applied one after another.
            embedding: the vectors of tokens.
            head: maps the normalised output to logits.
            impossible: [V], added to the logits.
            rotary: the table of all positions that a sequence may have.
            n: the number of sequences.
            context: [n, size], added to each token's vector.
        """
        self._blocks = [(block, KeyValueCache(n)) for block in blocks]
        self._embedding, self._head, self._impossible, self._rotary = embedding, head, impossible, rotary
        self._context = context
        self._position = 0

    def __call__(self, tokens: Tensor) -> Tensor:
        """Return the logits [n, V] after tokens [n]."""
        rotary = self._rotary[:, self._position : self._position + 1]
        x = self._embedding(tokens)
        x = (x if self._context is None else x + self._context)[:, None]
        for block, cache in self._blocks:
            x = block(x, rotary, cache.attend)
        self._position += 1
        logits: Tensor = self._head(rms_norm(x))[:, 0] + self._impossible
        return logits

    def keep(self, rows: Tensor) -> None:
        for _, cache in self._blocks:
            cache.keep(rows)
        if self._context is not None:
            self._context = self._context[rows]
