"""Stacked gated recurrent units over tokens: whole sequences in training, one token at a time in sampling.

The input of the first layer is a token's embedding and, optionally, a context that is the same at every step. Its
product with the weights is a table with one row for each token of the vocabulary, plus one row for each sequence,
instead of a product for every token of every sequence.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from molbuffer.samplers.models.recurrent.drawn_states import LayerStates, RecordedDraw
from molbuffer.samplers.models.recurrent.gated import gated_recurrence, next_states
from molbuffer.samplers.models.recurrent.packing import Packing
from molbuffer.samplers.models.recurrent.products import Precisions, Product, linear


class GRUStack(nn.GRU):
    """Layers of GRU over embeddings [E] and a context [C]; parameters are named as in ``torch.nn.GRU``."""

    def __init__(self, embedding_size: int, hidden_size: int, layers: int, context_size: int = 0) -> None:
        super().__init__(embedding_size + context_size, hidden_size, layers, batch_first=True)
        self._embedding_size = embedding_size

    def token_gates(self, embedding: Tensor) -> Tensor:
        """Return each token's part of the first layer's gates [V, 3H], bias included, from embeddings [V, E]."""
        from_input, _, bias, _ = self.all_weights[0]
        return functional.linear(embedding, from_input[:, : self._embedding_size], bias)

    def context_gates(self, context: Tensor) -> Tensor:
        """Return the part of the context [n, C] in the first layer's gates [n, 3H], the same at every step."""
        return functional.linear(context, self.all_weights[0][0][:, self._embedding_size :])

    def outputs(
        self,
        gates: Tensor,
        packing: Packing,
        dropout: float = 0.0,
        first: Tensor | None = None,
        known: Sequence[LayerStates] | None = None,
    ) -> Tensor:
        """Return the last layer's states [T, H] after each token.

        Args:
            gates: [T, 3H], the gates of the first layer, from tokens and context.
            packing: the packing of the rows of the tokens.
            dropout: the probability of dropping a number of a layer's output, applied in training.
            first: [layers, n, H], the states before the first step of each row; zeros by default.
            known: the kept states of each layer for these tokens, without dropout; with them, only the gradient is
                computed.
        """
        output = gates
        of_layers: Sequence[LayerStates | None] = known or [None] * self.num_layers
        for layer, (from_input, from_state, input_bias, state_bias) in enumerate(self.all_weights):
            if layer:
                gates = linear(output, from_input, input_bias, gradient_only=known is not None)
            before = None if first is None else first[layer][packing.order]
            output = gated_recurrence(
                gates=gates,
                weight=from_state,
                bias=state_bias,
                sizes=packing.sizes,
                first=before,
                known=of_layers[layer],
            )
            output = functional.dropout(output, dropout, self.training)
        return output


class GRUStep:
    """One step of all layers and of the head for a batch, with the weights and in the precision at the time of
    construction.
    """

    def __init__(
        self,
        recurrent: GRUStack,
        *,
        embedding: Tensor,
        head: nn.Linear,
        impossible: Tensor,
        states: Tensor,
        context_gates: Tensor | None = None,
        record: RecordedDraw | None = None,
    ) -> None:
        """Set the state before the first token of n sequences.

        Args:
            recurrent: the layers.
            embedding: [V, E].
            head: maps the last layer's output to logits.
            impossible: [V], added to the logits.
            states: [layers, n, H], before the first token.
            context_gates: [n, 3H], as ``GRUStack.context_gates`` returns them.
            record: the record that keeps the states of each step; None keeps nothing.
        """
        weights = [tuple(layer) for layer in recurrent.all_weights]
        dtype = Precisions.of(head.weight).forward
        self._from_input = [Product(weight, bias, dtype) for weight, _, bias, _ in weights[1:]]
        self._from_state = [Product(weight, bias, dtype) for _, weight, _, bias in weights]
        self._token_gates = recurrent.token_gates(embedding)
        self._context_gates = context_gates
        self._head = Product(head.weight, head.bias + impossible)
        self._states = list(states)
        self._record = record

    def __call__(self, tokens: Tensor) -> Tensor:
        """Return the logits [n, V] after tokens [n]."""
        gates, made = self._token_gates[tokens], []
        if self._context_gates is not None:
            gates += self._context_gates
        for layer, state in enumerate(self._states):
            from_state = self._from_state[layer]
            if layer:
                gates = self._from_input[layer - 1](self._states[layer - 1].to(from_state.dtype)).to(state.dtype)
            made.append(next_states(gates, from_state(state.to(from_state.dtype)), state))
            self._states[layer] = made[-1].states
        if self._record is not None:
            self._record.add(tokens, made)
        return self._head(self._states[-1])

    def keep(self, rows: Tensor) -> None:
        self._states = [state[rows] for state in self._states]
        if self._context_gates is not None:
            self._context_gates = self._context_gates[rows]
        if self._record is not None:
            self._record.keep(rows)
