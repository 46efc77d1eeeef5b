"""The GRU language model: an embedding, stacked gated recurrent units (Cho et al. 2014, arXiv:1406.1078), a head.

Training runs ``GRUStack`` over whole sequences. Sampling steps through the same weights one token at a time, and three
things make it several times faster than the usual loop: the first layer's input projection is a table with one row a
token, the gates of a layer take two matrix products, and rows that have ended leave the batch (``decode``).
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
from samplers.models.protocol import Sequences
from samplers.vocabulary import START


@dataclass(frozen=True)
class GRUArchitecture:
    """The sizes of a GRU language model.

    Attributes:
        vocabulary_size: tokens, reserved ones included.
        embedding_size: width of a token's embedding.
        hidden_size: width of each recurrent layer.
        layers: number of recurrent layers.
        dropout: probability of dropping a layer's output on its way up during training, in [0, 1); states are passed
            on whole (Zaremba et al. 2014, arXiv:1409.2329).
        max_length: the most tokens of a sequence, END included; sampling stops there.
    """

    vocabulary_size: int
    embedding_size: int = 192
    hidden_size: int = 384
    layers: int = 2
    dropout: float = 0.0
    max_length: int = 128


class GRULanguageModel(nn.Module):
    """p(sequence) = Π p(token | tokens before it), with PAD and START impossible."""

    kind = "gru"
    takes = Takes.NOTHING

    def __init__(self, sizes: GRUArchitecture) -> None:
        super().__init__()
        self.sizes = sizes
        self.embedding = nn.Embedding(sizes.vocabulary_size, sizes.embedding_size)
        self.recurrent = GRUStack(sizes.embedding_size, sizes.hidden_size, sizes.layers)
        self.head = nn.Linear(sizes.hidden_size, sizes.vocabulary_size)
        self.register_buffer("impossible", impossible_tokens(sizes.vocabulary_size), persistent=False)
        self.impossible: Tensor

    def architecture(self) -> Mapping[str, Any]:
        return asdict(self.sizes)

    def as_module(self) -> nn.Module:
        return self

    def logits(self, tokens: Tensor) -> Tensor:
        """The next-token logits [n, L, V] before each token of [n, L]."""
        before = functional.pad(tokens[:, :-1], (1, 0), value=START).T
        gates = functional.embedding(before, self.recurrent.token_gates(self.embedding.weight))
        output = self.recurrent.outputs(gates, self.sizes.dropout)
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
        states = torch.zeros(self.sizes.layers, n, self.sizes.hidden_size, device=generator.device)
        step = GRUStep(self.recurrent, self.embedding.weight, self.head, self.impossible, states)
        return decode(step, n, longest=self.sizes.max_length, sampling=sampling, generator=generator)
