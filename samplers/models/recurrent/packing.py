"""The tokens of rows of different lengths, without those after the end of a row.

A recurrent layer processes all rows at once, step by step. The longest rows come first, so that the rows that have not
ended are always the first ones, and no step computes anything for a row that has ended.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from molbuffer.samplers.models.distribution import Sampling, log_distribution


@dataclass(frozen=True)
class Packing:
    """The places of the T tokens inside n rows, ordered by step and, within a step, by falling length of the rows.

    Attributes:
        order: int64 [n], the rows by falling length; equally long ones stay in their order.
        sizes: the number of rows, at least 1, that have a token at each step.
        places: int64 [T], the place of each token in the flattened rows [n * L].
        shape: n and L.
    """

    order: Tensor
    sizes: list[int]
    places: Tensor
    shape: tuple[int, int]

    @classmethod
    def of(cls, lengths: Tensor, width: int) -> Packing:
        """Return the packing of rows of lengths int64 [n], each at most ``width``."""
        n = len(lengths)
        order = lengths.argsort(descending=True, stable=True)
        inside = torch.arange(width, device=lengths.device)[:, None] < lengths[order]
        steps, rows = inside.nonzero(as_tuple=True)
        sizes = [size for size in inside.sum(1).tolist() if size]
        return cls(order, sizes, order[rows] * width + steps, (n, width))

    @classmethod
    def whole(cls, tokens: Tensor) -> Packing:
        """Return the packing of rows [n, L] that all have L tokens."""
        n, width = tokens.shape
        return cls.of(torch.full((n,), width, device=tokens.device), width)

    def pack(self, values: Tensor) -> Tensor:
        """Return the values [T] of [n, L] at the positions inside of the rows."""
        return values.reshape(-1)[self.places]

    def unpack(self, values: Tensor) -> Tensor:
        """Return values [T, ...] as [n, L, ...], with 0 after the end of a row."""
        n, width = self.shape
        outside = values.new_zeros(n * width, *values.shape[1:])
        return outside.index_copy(0, self.places, values).view(n, width, *values.shape[1:])

    def pack_rows(self, values: Tensor) -> Tensor:
        """Return for each token the value of its row, [T, ...], from values [n, ...]."""
        n, width = self.shape
        return values[self.places // width] if n else values

    def last(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Return the value [n, H] of the last token of each row, from values [T, H]; 0 for a row without tokens."""
        n, width = self.shape
        where = torch.zeros(n * width, dtype=torch.int64, device=values.device)
        where[self.places] = torch.arange(len(self.places), device=values.device)
        last = where.view(n, width)[torch.arange(n, device=values.device), (lengths - 1).clamp(min=0)]
        return values[last].masked_fill((lengths == 0)[:, None], 0.0)


def packed_log_probs(logits: Tensor, packing: Packing, tokens: Tensor, sampling: Sampling) -> Tensor:
    """Return the log-probability [n, L] of each token of int64 [n, L], given the packed logits [T, V].

    It is 0 after the end of a row.
    """
    chosen = packing.pack(tokens)[:, None]
    return packing.unpack(log_distribution(logits, sampling).gather(-1, chosen)[:, 0])
