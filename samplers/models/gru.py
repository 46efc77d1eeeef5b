"""The GRU language model: an embedding, stacked gated recurrent units (Cho et al. 2014, arXiv:1406.1078), a head.

Training runs ``GRUStack`` over packed sequences, and the head over the tokens inside them. Sampling uses the same
weights one token at a time, several times faster than the usual loop: the first layer's input projection is a table
with one row for each token, the gates of a layer take two matrix products by the fastest library of the machine
(``recurrent.products``), and rows that have ended leave the batch (``decode``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from molbuffer.samplers.models.condition import UNCONDITIONED, Condition
from molbuffer.samplers.models.decoding import DecodingStep, tokens_before
from molbuffer.samplers.models.distribution import UNTRUNCATED, Sampling
from molbuffer.samplers.models.language_model import LanguageModel
from molbuffer.samplers.models.recurrent.drawn_states import LayerStates, states_of
from molbuffer.samplers.models.recurrent.gru_stack import GRUStack, GRUStep
from molbuffer.samplers.models.recurrent.packing import Packing, packed_log_probs
from molbuffer.samplers.models.recurrent.products import logits_of


@dataclass(frozen=True)
class GRUArchitecture:
    """The sizes of a GRU language model.

    Attributes:
        vocabulary_size: tokens, reserved ones included.
        embedding_size: width of a token's embedding.
        hidden_size: width of each recurrent layer.
        layers: number of recurrent layers.
        dropout: probability of dropping a number of a layer's output during training, in [0, 1); the states that a
            layer passes to its next step keep all numbers (Zaremba et al. 2014, arXiv:1409.2329).
        max_length: the largest number of tokens of a sequence, END included; sampling stops there.
    """

    vocabulary_size: int
    embedding_size: int = 192
    hidden_size: int = 384
    layers: int = 2
    dropout: float = 0.0
    max_length: int = 128


class GRULanguageModel(LanguageModel):
    """A language model of stacked gated recurrent units."""

    kind = "gru"
    sizes: GRUArchitecture

    def __init__(self, sizes: GRUArchitecture) -> None:
        super().__init__(sizes)
        self.embedding = nn.Embedding(sizes.vocabulary_size, sizes.embedding_size)
        self.recurrent = GRUStack(sizes.embedding_size, sizes.hidden_size, sizes.layers)
        self.head = nn.Linear(sizes.hidden_size, sizes.vocabulary_size)

    def logits(self, tokens: Tensor) -> Tensor:
        packing = Packing.whole(tokens)
        return packing.unpack(self._logits(packing, tokens))

    def log_probs(
        self,
        tokens: Tensor,
        lengths: Tensor,
        *,
        condition: Condition = UNCONDITIONED,
        sampling: Sampling = UNTRUNCATED,
    ) -> Tensor:
        packing = Packing.of(lengths, tokens.shape[1])
        drawn = None if self.training and self.sizes.dropout else states_of(self)
        known = None if drawn is None else drawn.of(packing, tokens, lengths, self.head.weight)
        return packed_log_probs(self._logits(packing, tokens, known), packing, tokens, sampling)

    def _logits(self, packing: Packing, tokens: Tensor, known: Sequence[LayerStates] | None = None) -> Tensor:
        """Return the next-token logits [T, V] before each packed token of [n, L].

        Args:
            packing: the packing of the rows.
            tokens: int64 [n, L].
            known: the states of each layer for the packed tokens, if they were kept.
        """
        table = self.recurrent.token_gates(self.embedding.weight)
        gates = functional.embedding(packing.pack(tokens_before(tokens)), table)
        output = self.recurrent.outputs(gates, packing, self.sizes.dropout, known=known)
        return logits_of(output, self.head) + self.impossible

    def step(self, n: int, device: torch.device) -> DecodingStep:
        drawn = states_of(self)
        return GRUStep(
            self.recurrent,
            embedding=self.embedding.weight,
            head=self.head,
            impossible=self.impossible,
            states=torch.zeros(self.sizes.layers, n, self.sizes.hidden_size, device=device),
            record=None if drawn is None else drawn.begin(n, self.head.weight),
        )
