"""The likelihoods of rows under the prior. The prior does not change, so each row is computed once and remembered.

A resumed training begins without remembered likelihoods, and must still compute the same weights, bit by bit, as a
training that was never stopped. Therefore a likelihood must not depend on the rows that are computed together with it.
This holds where a matrix product does not depend on the number of its rows. The module tests this on the machine before
it uses a remembered likelihood; if the test fails, it computes all likelihoods again.

The likelihoods of a training are kept for later trainings (``kept_likelihoods``): an offline training on rows that an
earlier training has learned from does not compute them again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molbuffer.samplers import RESERVED, Policy, numpy_generator
from molbuffer.samplers.models import (
    Condition,
    GenerativeModel,
    GRULanguageModel,
    Precision,
    likelihoods,
    products_in,
)
from molbuffer.training.batches import TrainingBatch
from molbuffer.training.fit.kept_likelihoods import KeptLikelihoods

MOST_BYTES = 64 << 20
"""The most bytes of remembered likelihoods: some 150,000 molecules. The oldest are dropped first."""
ROWS_AT_ONCE = 64
"""The most rows that are computed together."""
_RECORD_BYTES = 250
"""The bytes of a remembered row beside its tokens and likelihoods."""


Values = NDArray[np.float32]


@dataclass
class PriorLikelihoods:
    """The log-probabilities of rows under a fixed model.

    The key of a row is its tokens: a sequence that occurs again, drawn or stored, is computed once. Only likelihoods
    under a GRU on the CPU are remembered: with other models the likelihood of a row depends on the widths and
    conditions of the rows beside it, and on other devices on their number.

    Attributes:
        model: the model, which is not trained.
        precision: the precision of its matrix products.
        most_bytes: the most bytes of remembered likelihoods.
        kept: the likelihoods that earlier trainings computed; None reads and keeps none.
        computed: the number of rows that were computed so far.
    """

    model: GenerativeModel
    precision: Precision = "float32"
    most_bytes: int = MOST_BYTES
    kept: KeptLikelihoods | None = None
    computed: int = field(default=0, init=False)
    _known: dict[bytes, Values] = field(default_factory=dict, init=False)
    _bytes: int = field(default=0, init=False)
    _independent: bool | None = field(default=None, init=False)

    @classmethod
    def of(cls, prior: Policy, precision: Precision = "float32") -> Self:
        """Return the likelihoods under a policy, including those that earlier trainings computed."""
        remembers = _may_be_independent(prior.model)
        kept = KeptLikelihoods.of(prior.model, prior.vocabulary, precision) if remembers else None
        return cls(prior.model, precision, kept=kept)

    @torch.no_grad()
    def __call__(self, batch: TrainingBatch, condition: Condition) -> Tensor:
        """Return the log-probability [n, L] of each token of a batch; 0 after the end of a row."""
        with products_in(self.precision):
            return self._values(batch, condition)

    def _values(self, batch: TrainingBatch, condition: Condition) -> Tensor:
        if not _may_be_independent(self.model):
            self.computed += len(batch)
            return likelihoods(self.model, batch.tokens, batch.lengths, condition=condition)
        lengths = batch.lengths.tolist()
        tokens = batch.tokens.cpu().numpy().astype(np.int32)
        keys = [row[:length].tobytes() for row, length in zip(tokens, lengths, strict=True)]
        rows = {key: row for row, key in enumerate(keys)}  # one row of each sequence
        found = self._remembered(rows)
        found |= self._compute(batch, {key: row for key, row in rows.items() if key not in found})
        values = np.zeros(tokens.shape, np.float32)
        for row, (key, length) in enumerate(zip(keys, lengths, strict=True)):
            values[row, :length] = found[key]
        return torch.from_numpy(values).to(batch.tokens.device)

    def keep(self) -> None:
        """Write the likelihoods to the cache folder for later trainings, if they do not depend on the other rows."""
        if self.kept is not None and self._known and self.independent:
            self.kept.add(self._known)

    @property
    def independent(self) -> bool:
        """Whether the likelihood of a row is the same bit by bit whatever rows are computed with it; tested once."""
        if self._independent is None:
            self._independent = found_independent(self.model, self.precision)
        return self._independent

    def _remembered(self, rows: dict[bytes, int]) -> dict[bytes, Values]:
        found = {key: self._known[key] for key in rows if key in self._known}
        if self.kept is not None:
            missing = (key for key in rows if key not in found)
            found |= {key: values for key in missing if (values := self.kept.get(key)) is not None}
        return found if found and self.independent else {}

    def _compute(self, batch: TrainingBatch, rows: dict[bytes, int]) -> dict[bytes, Values]:
        """Compute rows of a batch, by key, and remember them."""
        keys = sorted(rows, key=len)  # rows of about the same length need little padding
        made: dict[bytes, Values] = {}
        for start in range(0, len(keys), ROWS_AT_ONCE):
            some = keys[start : start + ROWS_AT_ONCE]
            places = torch.tensor([rows[key] for key in some], device=batch.tokens.device)
            values = self.model.log_probs(batch.tokens[places], batch.lengths[places]).cpu().numpy()
            for key, value, length in zip(some, values, batch.lengths[places].tolist(), strict=True):
                made[key] = value[:length].copy()
        self.computed += len(made)
        if self._independent is not False:
            self._remember(made)
        return made

    def _remember(self, made: dict[bytes, Values]) -> None:
        self._known |= made
        self._bytes += sum(map(_bytes_of, made.items()))
        while self._bytes > self.most_bytes:
            oldest = next(iter(self._known))
            self._bytes -= _bytes_of((oldest, self._known.pop(oldest)))


def _may_be_independent(model: GenerativeModel) -> TypeGuard[GRULanguageModel]:
    """Return whether the likelihood of a row under a model can be independent of the rows computed with it."""
    return isinstance(model, GRULanguageModel) and model.device.type == "cpu"


def _bytes_of(record: tuple[bytes, Values]) -> int:
    key, value = record
    return len(key) + value.nbytes + _RECORD_BYTES


def found_independent(model: GenerativeModel, precision: Precision) -> bool:
    """Test whether the likelihood of a row, in a precision, is the same whatever rows are computed with it."""
    with products_in(precision):
        return _may_be_independent(model) and rows_are_independent(model, ROWS_AT_ONCE)


@torch.no_grad()
def rows_are_independent(model: GRULanguageModel, n: int) -> bool:
    """Test whether likelihoods under a model on this machine are the same bit by bit, alone or among up to n rows.

    The test computes the first 1, 2, ..., n tokens of one sequence together: then each number of rows from 1 to n
    occurs at some step, and the same row is at every place.
    """
    device = model.device
    one_row = numpy_generator(0, "sequence").integers(len(RESERVED), model.sizes.vocabulary_size, (1, n))
    tokens = torch.from_numpy(one_row).to(device).expand(n, n)
    lengths = torch.arange(n, 0, -1, device=device)
    together = model.log_probs(tokens, lengths)
    one = model.log_probs(tokens[:1], lengths[:1])
    expected = torch.where(torch.arange(n, device=device) < lengths[:, None], one, 0.0)
    # Products over the tokens of all rows have as many rows as there are tokens: test further numbers of rows.
    few = [size for size in (2, n // 2 + 1) if size < n]
    return torch.equal(together, expected) and all(
        torch.equal(model.log_probs(tokens[-size:], lengths[-size:]), expected[-size:]) for size in few
    )
