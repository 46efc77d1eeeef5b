"""The hidden states of the latest draws of a GRU, kept for the gradient of their likelihood.

A learner that takes a step on draws of its policy, with the same weights, needs the states and gates of each token
again, which are a quarter of its matrix products. Inside of ``keeping``, a GRU on the CPU keeps the states and gates of
its draws, and uses them again for the likelihoods of the same rows. They are bitwise the same if the matrix product of
a row does not depend on the other rows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from molbuffer.samplers.models.recurrent.packing import Packing
from molbuffer.samplers.models.recurrent.products import Precisions

MOST_BYTES = 256 << 20
"""The memory for states: 64 molecules take about 90 MB with 3 layers of width 512. The oldest draws are dropped first,
and a draw that needs more memory is not kept."""


class LayerStates(NamedTuple):
    """The values of a GRU layer for T tokens, or for the rows of a step, that its gradient needs.

    Attributes:
        states: [T, H], the states after each token.
        reset_update: [T, 2H], the reset and update gates.
        candidate: [T, H], the candidate states.
        from_state: [T, H], the contribution of the previous state to the candidate gate.
    """

    states: Tensor
    reset_update: Tensor
    candidate: Tensor
    from_state: Tensor


class _Step(NamedTuple):
    """A step of a draw: the growing rows, their previous tokens, and the states of each layer."""

    rows: Tensor
    tokens: Tensor
    layers: list[LayerStates]


@dataclass
class RecordedDraw:
    """The states of n sequences, during a draw and after it.

    Attributes:
        rows: int64 [m], the rows that still grow.
        most_bytes: the memory for states; a draw that needs more is not kept.
        steps: the kept steps.
        kept_bytes: the memory of the kept steps.
    """

    rows: Tensor
    most_bytes: int
    steps: list[_Step] = field(default_factory=list)
    kept_bytes: int = 0
    _too_large: bool = False

    def add(self, tokens: Tensor, layers: list[LayerStates]) -> None:
        """Add a step: the tokens [m] before it, and the states of each layer after them."""
        if self._too_large:
            return
        # Copied, since it may be a view of a larger product, which would stay in memory.
        layers = [layer._replace(from_state=layer.from_state.contiguous()) for layer in layers]
        self.steps.append(_Step(self.rows, tokens, layers))
        self.kept_bytes += sum(each.nbytes for layer in layers for each in layer)
        if self.kept_bytes > self.most_bytes:
            self.steps.clear()
            self.kept_bytes, self._too_large = 0, True

    def keep(self, rows: Tensor) -> None:
        """Keep the rows where the mask [m] is True as growing rows."""
        self.rows = self.rows[rows]

    def found(self) -> dict[bytes, int]:
        """Return the number of each row by its key."""
        if not self.steps:
            return {}
        size = (len(self.steps[0].rows), len(self.steps))
        before = torch.zeros(size, dtype=torch.int64, device="cpu")
        lengths = torch.zeros(size[0], dtype=torch.int64, device="cpu")
        for number, step in enumerate(self.steps):
            before[step.rows, number] = step.tokens
            lengths[step.rows] += 1
        # The first column is START, which is no part of the key; the last token of a row precedes no token.
        return {key: row for row, key in enumerate(_keys(before[:, 1:], lengths))}

    def copy_to(self, made: Sequence[LayerStates], sizes: Sequence[int], places: Tensor, rows: Tensor) -> None:
        """Copy the states of rows of this draw to their places among packed tokens.

        Args:
            made: for each layer, the states of packed tokens, which are written.
            sizes: the number of packed rows of each step.
            places: int64 [k], the places of the rows among the packed rows, ascending.
            rows: int64 [k], the numbers of the rows in this draw.
        """
        begin = 0
        for step, size in zip(self.steps, sizes, strict=False):
            k = int(torch.searchsorted(places, size))
            at = torch.searchsorted(step.rows, rows[:k])
            for to, source in zip(made, step.layers, strict=True):
                for out, values in zip(to, source, strict=True):
                    if k == size:
                        torch.index_select(values, 0, at, out=out[begin : begin + size])
                    else:
                        out[begin : begin + size].index_copy_(0, places[:k], values[at])
            begin += size


class DrawnStates:
    """The states of the draws of a model with its present weights.

    Attributes:
        model: the model.
        wanted: whether the states of further draws are kept.
        used: whether kept states were used since the last ``forget``.
    """

    def __init__(self, model: nn.Module, *, wanted: bool = True) -> None:
        self.model, self.wanted, self.used = model, wanted, False
        self._draws: list[RecordedDraw] = []
        self._made_by: object = None

    def begin(self, n: int, weight: Tensor) -> RecordedDraw | None:
        """Return a new record for the states of n sequences; None if they are not kept.

        Args:
            n: the number of sequences.
            weight: a weight of the model.
        """
        if not self.wanted:
            return None
        if self._made_by != self._now(weight):
            self.forget()
            self._made_by = self._now(weight)
        while (kept := sum(each.kept_bytes for each in self._draws)) > MOST_BYTES // 2:
            self._draws.pop(0)
        draw = RecordedDraw(torch.arange(n, device="cpu"), MOST_BYTES - kept)
        self._draws.append(draw)
        return draw

    def forget(self) -> None:
        """Drop all states, since the weights change."""
        self._draws.clear()
        self.used = False

    def of(self, packing: Packing, tokens: Tensor, lengths: Tensor, weight: Tensor) -> list[LayerStates] | None:
        """Return the states of packed tokens for each layer; None if those of any row are not kept.

        Args:
            packing: the packing of the rows.
            tokens: int64 [n, L].
            lengths: int64 [n].
            weight: a weight of the model.
        """
        if not self._draws or self._made_by != self._now(weight):
            return None
        known = {key: (draw, row) for draw in self._draws for key, row in draw.found().items()}
        keys = _keys(tokens[packing.order], lengths[packing.order])
        if not packing.sizes or packing.sizes[0] < len(keys) or not known.keys() >= set(keys):
            return None
        layers = known[keys[0]][0].steps[0].layers
        made = [
            LayerStates(*(each.new_empty(len(packing.places), each.shape[1]) for each in layer)) for layer in layers
        ]
        for draw in self._draws:
            its = [(place, known[key][1]) for place, key in enumerate(keys) if known[key][0] is draw]
            if its:
                places, rows = torch.tensor(its, device="cpu").T.contiguous()
                draw.copy_to(made, packing.sizes, places, rows)
        self.used = True
        return made

    def _now(self, weight: Tensor) -> object:
        """Return a value that changes with the weights and with the precision of products."""
        return Precisions.of(weight), [parameter._version for parameter in self.model.parameters()]


def _keys(tokens: Tensor, lengths: Tensor) -> list[bytes]:
    """Return a key for each row of [n, L]: all tokens except the last one."""
    rows = tokens.cpu().numpy()
    return [row[: max(0, length - 1)].tobytes() for row, length in zip(rows, lengths.tolist(), strict=True)]


_keeping: ContextVar[DrawnStates | None] = ContextVar("drawn_states", default=None)


@contextlib.contextmanager
def keeping(states: DrawnStates | None) -> Iterator[None]:
    """Keep the states of draws inside of this context, and use them for likelihoods; None keeps nothing."""
    token = _keeping.set(states)
    try:
        yield
    finally:
        _keeping.reset(token)


def states_of(model: nn.Module) -> DrawnStates | None:
    """Return the store of the states of a model's draws in the present context; None without one."""
    states = _keeping.get()
    return states if states is not None and states.model is model else None
