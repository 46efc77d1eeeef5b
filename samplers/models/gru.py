"""The GRU language model: an embedding, stacked gated recurrent units (Cho et al. 2014, arXiv:1406.1078), a head.

Training runs ``gated_recurrence`` over whole sequences. Sampling steps through the same weights one token at a time,
and three things make it several times faster than the usual loop: the first layer's input projection is a table with
one row a token, the gates of a layer take two matrix products, and rows that have ended leave the batch (``decode``).
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
from samplers.models.protocol import Sequences
from samplers.models.recurrence import gated_recurrence
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
        self.recurrent = nn.GRU(sizes.embedding_size, sizes.hidden_size, sizes.layers, batch_first=True)
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
        (from_input, from_state, input_bias, state_bias), *upper_layers = self.recurrent.all_weights
        # One product for the whole vocabulary, then a look-up, in place of a product for every token.
        gates = functional.embedding(before, functional.linear(self.embedding.weight, from_input, input_bias))
        output = gated_recurrence(gates, from_state, state_bias)
        for from_input, from_state, input_bias, state_bias in upper_layers:
            output = functional.dropout(output, self.sizes.dropout, self.training)
            output = gated_recurrence(functional.linear(output, from_input, input_bias), from_state, state_bias)
        output = functional.dropout(output, self.sizes.dropout, self.training)
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
        step = _Step(self, n, generator.device)
        return decode(step, n, longest=self.sizes.max_length, sampling=sampling, generator=generator)


class _Step:
    """One step of all layers for a batch, on the weights as they are when it is made."""

    def __init__(self, model: GRULanguageModel, n: int, device: torch.device) -> None:
        weights = [tuple(layer) for layer in model.recurrent.all_weights]
        self._from_input = [input_weight.T for input_weight, _, _, _ in weights]
        self._from_state = [state_weight.T for _, state_weight, _, _ in weights]
        self._input_bias = [bias for _, _, bias, _ in weights]
        self._state_bias = [bias for _, _, _, bias in weights]
        self._token_gates = torch.addmm(self._input_bias[0], model.embedding.weight, self._from_input[0])
        self._head = model.head.weight.T
        self._head_bias = model.head.bias + model.impossible
        self._states = [torch.zeros(n, model.sizes.hidden_size, device=device) for _ in weights]

    def __call__(self, tokens: Tensor) -> Tensor:
        """Logits [n, V] after tokens [n]."""
        output = tokens
        for layer, state in enumerate(self._states):
            if layer == 0:
                from_input = self._token_gates[tokens]
            else:
                from_input = torch.addmm(self._input_bias[layer], output, self._from_input[layer])
            from_state = torch.addmm(self._state_bias[layer], state, self._from_state[layer])
            hidden = state.shape[1]
            reset, update = (from_input[:, : 2 * hidden] + from_state[:, : 2 * hidden]).sigmoid_().chunk(2, 1)
            candidate = torch.addcmul(from_input[:, 2 * hidden :], reset, from_state[:, 2 * hidden :]).tanh_()
            output = self._states[layer] = torch.lerp(candidate, state, update)
        return torch.addmm(self._head_bias, output, self._head)

    def keep(self, rows: Tensor) -> None:
        self._states = [state[rows] for state in self._states]
