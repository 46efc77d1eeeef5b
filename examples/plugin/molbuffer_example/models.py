"""A generative model: a neural n-gram model (Bengio et al. 2003), which predicts a token from the last few tokens."""

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
        vocabulary_size: the number of tokens, including reserved ones.
        order: the number of previous tokens that the next token depends on.
        embedding_size: the width of a token's embedding.
        hidden_size: the width of the hidden layer.
        max_length: the largest number of tokens of a sequence, including END.
    """

    vocabulary_size: int
    order: int = 8
    embedding_size: int = 32
    hidden_size: int = 256
    max_length: int = 128


class NGramModel(LanguageModel):
    """A language model p(sequence) = Π p(token | the last ``order`` tokens).

    ``molbuffer pretrain --model ngram`` trains one.
    """

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
    """The decoding state of n sequences: the last ``order`` tokens of each."""

    def __init__(self, model: NGramModel, n: int, device: torch.device) -> None:
        self._model = model
        self._context = torch.full((n, model.sizes.order), START, dtype=torch.int64, device=device)

    def __call__(self, tokens: Tensor) -> Tensor:
        """Return the logits [m, V] of the next token of each row, given the last drawn token of each, int64 [m]."""
        self._context = torch.cat([self._context[:, 1:], tokens[:, None]], 1)
        return self._model.after(self._context)

    def keep(self, rows: Tensor) -> None:
        """Keep only the rows where the mask ``rows``, bool [m], is true."""
        self._context = self._context[rows]
