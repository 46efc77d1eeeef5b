"""Stacked transformer blocks that read tokens: over whole sequences for training, token by token for sampling."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from molbuffer.samplers.models.transformer_block import Attend, KeyValueCache, rms_norm


def next_token_head(size: int, vocabulary_size: int) -> nn.Linear:
    """What makes logits of the normalised output [..., size] of blocks, so small at first that all are about equal."""
    head = nn.Linear(size, vocabulary_size, bias=False)
    nn.init.normal_(head.weight, std=0.1 * size**-0.5)
    return head


def block_outputs(
    blocks: Iterable[nn.Module], x: Tensor, rotary: Tensor, attend: Attend, dropout: float = 0.0
) -> Tensor:
    """What comes out [n, L, size] of blocks that x [n, L, size] goes through one after another, normalised.

    Args:
        rotary, attend, dropout: as of ``TransformerBlock``.
    """
    for block in blocks:
        x = block(x, rotary, attend, dropout)
    return rms_norm(x)


class BlockStep:
    """One step of all blocks and of the head for a batch, with the keys and values of the tokens so far in caches."""

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
        """Begin n sequences.

        Args:
            head: to the logits, to which ``impossible`` [V] is added.
            rotary: the table of all positions that there may be.
            context: [n, size], added to each token's vector.
        """
        self._blocks = [(block, KeyValueCache(n)) for block in blocks]
        self._embedding, self._head, self._impossible, self._rotary = embedding, head, impossible, rotary
        self._context = context
        self._position = 0

    def __call__(self, tokens: Tensor) -> Tensor:
        """Logits [n, V] after tokens [n]."""
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
