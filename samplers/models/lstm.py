"""The LSTM language model: an embedding, stacked LSTM layers (Hochreiter & Schmidhuber 1997), a head.

Training runs ``torch.nn.LSTM`` over whole sequences. Sampling uses the same weights one token at a time, with the first
layer's input projection as a table with one row for each token, as the GRU does.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from molbuffer.samplers.models.decoding import DecodingStep, tokens_before
from molbuffer.samplers.models.language_model import LanguageModel


@dataclass(frozen=True)
class LSTMArchitecture:
    """The sizes of an LSTM language model.

    Attributes:
        vocabulary_size: tokens, reserved ones included.
        embedding_size: width of a token's embedding.
        hidden_size: width of each recurrent layer.
        layers: number of recurrent layers.
        dropout: probability of dropping a number of a layer's output to the next layer or the head during training, in
            [0, 1).
        layer_norm: whether the last layer's output is normalised to mean 0 and variance 1 at each token.
        max_length: the largest number of tokens of a sequence, END included; sampling stops there.
    """

    vocabulary_size: int
    embedding_size: int = 192
    hidden_size: int = 384
    layers: int = 2
    dropout: float = 0.0
    layer_norm: bool = False
    max_length: int = 128


class LSTMLanguageModel(LanguageModel):
    """A language model of stacked LSTM layers."""

    kind = "lstm"
    sizes: LSTMArchitecture

    def __init__(self, sizes: LSTMArchitecture) -> None:
        super().__init__(sizes)
        self.embedding = nn.Embedding(sizes.vocabulary_size, sizes.embedding_size)
        # torch drops outputs between layers only, and warns about dropout in a single layer.
        between = sizes.dropout if sizes.layers > 1 else 0.0
        self.recurrent = nn.LSTM(
            sizes.embedding_size, sizes.hidden_size, sizes.layers, batch_first=True, dropout=between
        )
        self.head = nn.Linear(sizes.hidden_size, sizes.vocabulary_size)

    def logits(self, tokens: Tensor) -> Tensor:
        output, _ = self.recurrent(self.embedding(tokens_before(tokens)))
        output = functional.dropout(self.normed(output), self.sizes.dropout, self.training)
        logits: Tensor = self.head(output) + self.impossible
        return logits

    def normed(self, output: Tensor) -> Tensor:
        """Return the last layer's output [..., H], normalised if the model has layer normalisation."""
        return functional.layer_norm(output, output.shape[-1:]) if self.sizes.layer_norm else output

    def step(self, n: int, device: torch.device) -> DecodingStep:
        return _Step(self, n, device)


class _Step:
    """One step of all layers for a batch, with the weights at the time of construction."""

    def __init__(self, model: LSTMLanguageModel, n: int, device: torch.device) -> None:
        self._model = model
        weights = [tuple(layer) for layer in model.recurrent.all_weights]
        self._from_input = [input_weight.T for input_weight, _, _, _ in weights]
        self._from_state = [state_weight.T for _, state_weight, _, _ in weights]
        self._bias = [input_bias + state_bias for _, _, input_bias, state_bias in weights]
        self._token_gates = torch.addmm(self._bias[0], model.embedding.weight, self._from_input[0])
        self._states = [torch.zeros(n, model.sizes.hidden_size, device=device) for _ in weights]
        self._cells = [torch.zeros_like(state) for state in self._states]

    def __call__(self, tokens: Tensor) -> Tensor:
        """Return the logits [n, V] after tokens [n]."""
        output = tokens
        for layer, state in enumerate(self._states):
            if layer == 0:
                from_input = self._token_gates[tokens]
            else:
                from_input = torch.addmm(self._bias[layer], output, self._from_input[layer])
            gates = torch.addmm(from_input, state, self._from_state[layer])
            accept, forget, candidate, reveal = gates.chunk(4, 1)
            cell = forget.sigmoid() * self._cells[layer] + accept.sigmoid() * candidate.tanh()
            output = self._states[layer] = reveal.sigmoid() * cell.tanh()
            self._cells[layer] = cell
        logits: Tensor = self._model.head(self._model.normed(output)) + self._model.impossible
        return logits

    def keep(self, rows: Tensor) -> None:
        self._states = [state[rows] for state in self._states]
        self._cells = [cell[rows] for cell in self._cells]
