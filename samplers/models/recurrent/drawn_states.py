"""The states of what a model has just drawn, for the gradient of its likelihood.

A learner that takes a step on what its policy has drawn with the same weights needs the states and gates of each token
again: they are a quarter of its products. Within ``keeping`` a GRU on a processor keeps those that it draws by, and
takes them from there when the likelihoods of the same rows are asked for. They are the same bit by bit where the
product of a row does not depend on the rows beside it.
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
"""The memory for states: 64 molecules take about 90 MB of a model of 3 layers of 512. The oldest draws are forgotten
first, and a draw that needs more keeps none."""


class LayerStates(NamedTuple):
    """What the gradient of a layer needs of T tokens, or of the rows of a step.

    Attributes:
        states: [T, H], after each token.
        reset_update: [T, 2H], the reset and the update gate.
        candidate: [T, H], the candidate for the state.
        from_state: [T, H], the part of the candidate gate that the state before has.
    """

    states: Tensor
    reset_update: Tensor
    candidate: Tensor
    from_state: Tensor


class _Step(NamedTuple):
    """A step of a draw: the rows that still grow, the token before, and the states of each layer."""

    rows: Tensor
    tokens: Tensor
    layers: list[LayerStates]


@dataclass
class RecordedDraw:
    """The states of n sequences that are being drawn, or were.

    Attributes:
        rows: int64 [m], those that still grow.
        most_bytes: the memory for states; a draw that needs more keeps none.
        steps: those that are kept.
        kept_bytes: what they take.
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
        # Of some layers it is a part of a larger product, all of which it would keep.
        layers = [layer._replace(from_state=layer.from_state.contiguous()) for layer in layers]
        self.steps.append(_Step(self.rows, tokens, layers))
        self.kept_bytes += sum(each.nbytes for layer in layers for each in layer)
        if self.kept_bytes > self.most_bytes:
            self.steps.clear()
            self.kept_bytes, self._too_large = 0, True

    def keep(self, rows: Tensor) -> None:
        """Go on with some of the rows, bool [m]."""
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
        # Before the first token is START; the last one is before none.
        return {key: row for row, key in enumerate(_keys(before[:, 1:], lengths))}

    def copy_to(self, made: Sequence[LayerStates], sizes: Sequence[int], places: Tensor, rows: Tensor) -> None:
        """Copy the states of some rows to their places.

        Args:
            made: of each layer, the states of packed tokens.
            sizes: the number of packed rows of each step.
            places: int64 [k], the rising places of the rows among the packed ones.
            rows: int64 [k], their numbers in this draw.
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
    """The states of all that a model has drawn with its present weights.

    Attributes:
        model: the model.
        wanted: whether further draws are kept.
        used: whether states were taken from here since ``forget``.
    """

    def __init__(self, model: nn.Module, *, wanted: bool = True) -> None:
        self.model, self.wanted, self.used = model, wanted, False
        self._draws: list[RecordedDraw] = []
        self._made_by: object = None

    def begin(self, n: int, weight: Tensor) -> RecordedDraw | None:
        """Return what keeps the states of n sequences, None where they are not kept.

        Args:
            n: the sequences.
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
        """Forget all states: the weights change."""
        self._draws.clear()
        self.used = False

    def of(self, packing: Packing, tokens: Tensor, lengths: Tensor, weight: Tensor) -> list[LayerStates] | None:
        """Return the states of packed tokens, for each layer; None where those of a row are not there.

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
        """Return what changes when the weights do, or the precision of products."""
        return Precisions.of(weight), [parameter._version for parameter in self.model.parameters()]


def _keys(tokens: Tensor, lengths: Tensor) -> list[bytes]:
    """Return a key for each row [n, L]: all tokens that have one after them."""
    rows = tokens.cpu().numpy()
    return [row[: max(0, length - 1)].tobytes() for row, length in zip(rows, lengths.tolist(), strict=True)]


_keeping: ContextVar[DrawnStates | None] = ContextVar("drawn_states", default=None)


@contextlib.contextmanager
def keeping(states: DrawnStates | None) -> Iterator[None]:
    """Keep the states of what the model of ``states`` draws within, and take them from there for its likelihoods."""
    token = _keeping.set(states)
    try:
        yield
    finally:
        _keeping.reset(token)


def states_of(model: nn.Module) -> DrawnStates | None:
    """Return where the states of what a model draws are kept here and now, None where they are not."""
    states = _keeping.get()
    return states if states is not None and states.model is model else None
