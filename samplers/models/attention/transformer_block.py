"""Transformer blocks in their present form, and the cache of keys and values for sampling token by token.

A block has an RMS norm without a gain before each part (Zhang & Sennrich 2019, arXiv:1910.07467), rotary positions (Su
et al. 2021, arXiv:2104.09864), a squared ReLU between the two layers of the perceptron (So et al. 2021,
arXiv:2109.08668), and no biases. Its attention is an argument: ``causal_attention`` for known sequences, a
``KeyValueCache`` for sequences that are being drawn, so that training and sampling run the same code.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""A function of queries, keys and values, all [n, heads, L, size], that returns the attention [n, heads, L, size]."""

ROTARY_BASE = 10_000.0
CACHE_BLOCK = 32
"""The number of positions by which a cache grows; each growth copies the whole cache."""
FULLEST = 0.75
"""The share of growing rows at or below which a cache is rewritten; each rewriting copies the growing rows."""


def rms_norm(x: Tensor) -> Tensor:
    """Scale the vectors [..., d] to a mean square of 1."""
    return functional.rms_norm(x, (x.shape[-1],))


def rotary_table(positions: int, size: int) -> Tensor:
    """Return the rotary table: the cosines and sines [2, positions, size / 2] of the rotations of queries and keys."""
    # On the CPU, so that the table is the same on every device.
    frequencies = ROTARY_BASE ** (-torch.arange(0, size, 2, device="cpu") / size)
    angles = torch.outer(torch.arange(positions, device="cpu"), frequencies)
    return torch.stack([angles.cos(), angles.sin()])


def rotate(x: Tensor, rotary: Tensor) -> Tensor:
    """Rotate x [..., L, size] by the rotary table [2, L, size / 2] of its positions."""
    cosine, sine = rotary
    first, second = x.chunk(2, -1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1)


def causal_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Return the attention of each position to itself and to earlier positions."""
    return functional.scaled_dot_product_attention(queries, keys, values, is_causal=True)


def attention_within(inside: Tensor) -> Attend:
    """Return the attention of each position to all positions of its row where the mask [n, L] is True.

    Each row of the mask needs at least one True.
    """
    mask = inside[:, None, None]

    def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        return functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)

    return attend


def check_heads(heads: int, **widths: int) -> None:
    """Refuse widths that cannot be divided among heads so that each head has an even part.

    Raises:
        ValueError: heads < 1, or a width is no multiple of 2 × heads.
    """
    if heads < 1 or any(width % (2 * heads) for width in widths.values()):
        multiple = "a multiple" if len(widths) == 1 else "multiples"
        got = ", ".join(f"{name} {width}" for name, width in widths.items())
        raise ValueError(f"expected {' and '.join(widths)} to be {multiple} of 2 × heads, got {got} and heads {heads}")


class TransformerBlock(nn.Module):
    """Attention, then a perceptron, each added to its input.

    Args:
        size: width of input and output.
        heads: heads of the attention; size / heads is even.
    """

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_in = nn.Linear(size, 3 * size, bias=False)
        self.attention_out = nn.Linear(size, size, bias=False)
        self.perceptron_in = nn.Linear(size, 4 * size, bias=False)
        self.perceptron_out = nn.Linear(4 * size, size, bias=False)
        for layer in (self.attention_in, self.perceptron_in):
            nn.init.normal_(layer.weight, std=size**-0.5)
        # The output of a new block is its input, so that the gradient reaches the lowest of many blocks unchanged.
        for layer in (self.attention_out, self.perceptron_out):
            nn.init.zeros_(layer.weight)

    def forward(self, x: Tensor, rotary: Tensor, attend: Attend, dropout: float = 0.0) -> Tensor:
        """Return the input x [n, L, size] plus the outputs of the block's parts.

        Args:
            x: the input.
            rotary: the rotary table [2, L, size / heads / 2] of the L positions.
            attend: the attention.
            dropout: probability of dropping a number of an output, whatever mode the module is in.
        """
        x = x + functional.dropout(self._attention(rms_norm(x), rotary, attend), dropout, training=dropout > 0)
        hidden = functional.relu(self.perceptron_in(rms_norm(x))).square()
        return x + functional.dropout(self.perceptron_out(hidden), dropout, training=dropout > 0)

    def _attention(self, x: Tensor, rotary: Tensor, attend: Attend) -> Tensor:
        n, positions, size = x.shape
        parts = self.attention_in(x).view(n, positions, 3, self.heads, size // self.heads).permute(2, 0, 3, 1, 4)
        queries, keys = rotate(parts[:2], rotary)
        mixed = attend(queries.to(parts.dtype), keys.to(parts.dtype), parts[2])
        added: Tensor = self.attention_out(mixed.transpose(1, 2).flatten(2))
        return added


class KeyValueCache:
    """The keys and values of all earlier tokens in one block, for n rows that are drawn together."""

    def __init__(self, n: int) -> None:
        self._stored = torch.empty(0, device="cpu")
        """Keys and values [2, rows, heads, positions, size], with room for further positions."""
        self._length = 0
        self._rows = n
        self._growing: Tensor | None = None
        """The stored rows that still grow; None for all."""

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Store the next token's key and value, and return the attention of its query; all [m, heads, 1, size]."""
        self._make_room(keys)
        at = slice(None) if self._growing is None else self._growing
        self._stored[0, at, :, self._length] = keys[:, :, 0]
        self._stored[1, at, :, self._length] = values[:, :, 0]
        self._length += 1
        known = self._stored[:, :, :, : self._length]
        if self._growing is None:
            return functional.scaled_dot_product_attention(queries, known[0], known[1])
        # Rows that have ended are computed, too: to leave them out, all other rows would be copied at every step.
        asked = queries.new_zeros(self._rows, *queries.shape[1:])
        asked[self._growing] = queries
        return functional.scaled_dot_product_attention(asked, known[0], known[1])[self._growing]

    def keep(self, rows: Tensor) -> None:
        """Keep the growing rows where the mask [m] is True, and drop the others."""
        growing = rows.nonzero()[:, 0] if self._growing is None else self._growing[rows]
        self._growing = growing
        if len(growing) <= FULLEST * self._rows:
            self._stored = self._stored[:, growing]
            self._rows, self._growing = len(growing), None

    def _make_room(self, keys: Tensor) -> None:
        """Make room for another position if there is none."""
        if self._length == 0:
            self._stored = keys.new_zeros(2, self._rows, keys.shape[1], CACHE_BLOCK, keys.shape[3])
        elif self._length == self._stored.shape[3]:
            self._stored = functional.pad(self._stored, (0, 0, 0, CACHE_BLOCK))
