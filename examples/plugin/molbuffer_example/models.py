"""A generative model: an n-gram model with learnt embeddings (Bengio et al. 2003), the next token by the last few."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from molbuffer.samplers import START
from molbuffer.samplers.models import DecodingStep, LanguageModel


@dataclass(frozen=True)
class NGramSizes:
    """The sizes of an n-gram model.

    Attributes:
        vocabulary_size: tokens, reserved ones included.
        order: the tokens before the next one that it depends on.
        embedding_size: width of a token's embedding.
        hidden_size: width of the hidden layer.
        max_length: the most tokens of a sequence, END included.
    """

    vocabulary_size: int
    order: int = 8
    embedding_size: int = 32
    hidden_size: int = 256
    max_length: int = 128


class NGramModel(LanguageModel):
    """p(sequence) = Π p(token | the last ``order`` tokens). ``molbuffer pretrain --model ngram`` trains one."""

    kind = "ngram"
    Sizes = NGramSizes
    sizes: NGramSizes

    def __init__(self, sizes: NGramSizes) -> None:
        super().__init__(sizes)
        self.embedding = nn.Embedding(sizes.vocabulary_size, sizes.embedding_size)
        self.hidden = nn.Linear(sizes.order * sizes.embedding_size, sizes.hidden_size)
        self.head = nn.Linear(sizes.hidden_size, sizes.vocabulary_size)

    def logits(self, tokens: Tensor) -> Tensor:
        """Return the next-token logits [n, L, V] before each token of [n, L]."""
        before = functional.pad(tokens[:, :-1], (self.sizes.order, 0), value=START)
        return self.after(before.unfold(1, self.sizes.order, 1))

    def after(self, context: Tensor) -> Tensor:
        """Return the logits [..., V] after the last tokens [..., order]."""
        hidden = torch.relu(self.hidden(self.embedding(context).flatten(-2)))
        logits: Tensor = self.head(hidden) + self.impossible
        return logits

    def step(self, n: int, device: torch.device) -> DecodingStep:
        return _Step(self, n, device)


class _Step:
    """The last tokens of n sequences that are being drawn."""

    def __init__(self, model: NGramModel, n: int, device: torch.device) -> None:
        self._model = model
        self._context = torch.full((n, model.sizes.order), START, dtype=torch.int64, device=device)

    def __call__(self, tokens: Tensor) -> Tensor:
        """Return the logits [m, V] of the next token of each row, given the last token of each, int64 [m]."""
        self._context = torch.cat([self._context[:, 1:], tokens[:, None]], 1)
        return self._model.after(self._context)

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but some, bool [m]."""
        self._context = self._context[rows]
