"""The GRU language model: an embedding, stacked gated recurrent units (Cho et al. 2014, arXiv:1406.1078), a head.

Training runs ``GRUStack`` over whole sequences. Sampling uses the same weights one token at a time, several times
faster than the usual loop for three reasons: the first layer's input projection is a table with one row for each token,
the gates of a layer take two matrix products, and rows that have ended leave the batch (``decode``).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from molbuffer.samplers.models.decoding import DecodingStep, tokens_before
from molbuffer.samplers.models.gru_stack import GRUStack, GRUStep
from molbuffer.samplers.models.language_model import LanguageModel


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
        max_length: the most tokens of a sequence, END included; sampling stops there.
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
        gates = functional.embedding(tokens_before(tokens).T, self.recurrent.token_gates(self.embedding.weight))
        output = self.recurrent.outputs(gates, self.sizes.dropout)
        logits: Tensor = self.head(output.transpose(0, 1)) + self.impossible
        return logits

    def step(self, n: int, device: torch.device) -> DecodingStep:
        states = torch.zeros(self.sizes.layers, n, self.sizes.hidden_size, device=device)
        return GRUStep(
            self.recurrent, embedding=self.embedding.weight, head=self.head, impossible=self.impossible, states=states
        )
