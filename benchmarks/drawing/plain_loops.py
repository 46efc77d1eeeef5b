"""Plain loops: the usual way to draw from a model without molbuffer, on the weights of molbuffer's models.

A plain loop goes over positions, and computes every row, ended or not, until all rows have ended. At each step a
recurrent model computes an embedding, one of torch's cells for each layer and a linear head; a transformer computes the
whole prefix through all of its blocks. Then come a softmax and a multinomial draw.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from molbuffer.samplers import END, PAD, START
from molbuffer.samplers.models import (
    UNCONDITIONED,
    VAE,
    Condition,
    GenerativeModel,
    GRULanguageModel,
    LSTMLanguageModel,
    Seq2SeqModel,
    Sequences,
    TransformerLanguageModel,
)

PlainStep = Callable[[Tensor], Tensor]
"""ConditionKind the last token [n] of each row and gives the logits [n, V] of the next."""


class PlainLoop:
    """The usual sampling loop, on a model of molbuffer."""

    def __init__(self, model: GenerativeModel) -> None:
        self._begin = _beginning(model)
        self._longest = int(model.architecture()["max_length"])

    @torch.no_grad()
    def sample(self, n: int, condition: Condition = UNCONDITIONED) -> Sequences:
        """Draw n sequences with torch's global generator."""
        step = self._begin(n, condition)
        token = torch.full((n,), START)
        ended = torch.zeros(n, dtype=torch.bool)
        tokens, log_probs = [], []
        for _ in range(self._longest):
            logits = step(token)
            token = torch.multinomial(logits.softmax(-1), 1)[:, 0]
            chosen = logits.log_softmax(-1).gather(1, token[:, None])[:, 0]
            tokens.append(token.masked_fill(ended, PAD))
            log_probs.append(chosen.masked_fill(ended, 0.0))
            ended |= token == END
            if ended.all():
                break
        drawn = torch.stack(tokens, 1)
        return Sequences(drawn, (drawn != PAD).sum(1), torch.stack(log_probs, 1))


class WholePrefix:
    """A step of a transformer without a cache, which keeps only the tokens.

    Args:
        logits: returns the logits [n, L, V] before each token of [n, L].
    """

    def __init__(self, logits: Callable[[Tensor], Tensor], n: int) -> None:
        self._logits = logits
        self._tokens = torch.empty(n, 0, dtype=torch.int64)

    def __call__(self, tokens: Tensor) -> Tensor:
        self._tokens = torch.cat([self._tokens, tokens[:, None]], 1)
        # ``logits`` puts START in front and leaves the last token out.
        return self._logits(functional.pad(self._tokens[:, 1:], (0, 1), value=PAD))[:, -1]

    def keep(self, rows: Tensor) -> None:
        self._tokens = self._tokens[rows]


class _Recurrent:
    """A step of a recurrent model, with torch's cells as layers."""

    def __init__(self, model: GRULanguageModel | LSTMLanguageModel | VAE) -> None:
        self._model = model
        self._cell = nn.LSTMCell if isinstance(model, LSTMLanguageModel) else nn.GRUCell
        self._cells = nn.ModuleList()
        for from_input, from_state, input_bias, state_bias in model.recurrent.all_weights:
            cell = self._cell(from_input.shape[1], from_state.shape[1])
            weights = {"weight_ih": from_input, "weight_hh": from_state, "bias_ih": input_bias, "bias_hh": state_bias}
            cell.load_state_dict(weights)
            self._cells.append(cell)

    def begin(self, n: int, condition: Condition) -> PlainStep:
        model = self._model
        zeros = torch.zeros(n, model.sizes.hidden_size)
        states = [(zeros, zeros) if self._cell is nn.LSTMCell else zeros for _ in self._cells]
        latents = torch.empty(n, 0)
        if isinstance(model, VAE):
            latents = condition.latents_of(n, model.latent_size)
            states = list(model.to_state(latents).tanh().chunk(len(states), 1))

        def step(tokens: Tensor) -> Tensor:
            output = torch.cat([model.embedding(tokens), latents], 1)
            for layer, cell in enumerate(self._cells):
                states[layer] = cell(output, states[layer])
                output = states[layer][0] if self._cell is nn.LSTMCell else states[layer]
            normed = model.normed(output) if isinstance(model, LSTMLanguageModel) else output
            logits: Tensor = model.head(normed) + model.impossible
            return logits

        return step


def _beginning(model: GenerativeModel) -> Callable[[int, Condition], PlainStep]:
    """Return a function that begins n sequences of a model."""
    if isinstance(model, TransformerLanguageModel):
        return lambda n, condition: WholePrefix(model.logits, n)
    if isinstance(model, Seq2SeqModel):

        def begin(n: int, condition: Condition) -> PlainStep:
            memories = model.memories(*condition.sources_of(n))
            return WholePrefix(functools.partial(model.logits, memories=memories), n)

        return begin
    assert isinstance(model, GRULanguageModel | LSTMLanguageModel | VAE)
    return _Recurrent(model).begin
