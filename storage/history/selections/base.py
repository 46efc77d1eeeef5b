"""What a selection is, and what it looks at; drawing rows one after another without replacement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from molbuffer.kinds import Family, calling, class_with, shown, wrong_result

Positions = NDArray[np.int64]

_DRAWING_ROUNDS = 8


class SelectableRows(Protocol):
    """What a selection looks at; an index of the history is one.

    Attributes:
        iteration: the iteration that rows are selected for. An index that is no part of a training has the one after
            its newest own row.
        iterations: int [n], those of the builds that drew the rows.
        run_numbers: int [n], equal for rows of one run.
        rewards: float64 [n] under the objective of the reader.
        molecules: uint64 [n], equal for rows of one molecule.
        own: bool [n], whether the run in training drew the row; all true when the reader is no run.
        best_first: int64 [n], all positions by descending reward, ties by position.
        best_of_each_molecule: int64 [m], of ``best_first`` the first position of each distinct molecule.
    """

    def __len__(self) -> int: ...
    @property
    def iteration(self) -> int: ...
    @property
    def iterations(self) -> NDArray[np.integer]: ...
    @property
    def run_numbers(self) -> NDArray[np.integer]: ...
    @property
    def rewards(self) -> NDArray[np.float64]: ...
    @property
    def molecules(self) -> NDArray[np.uint64]: ...
    @property
    def own(self) -> NDArray[np.bool_]: ...
    @property
    def best_first(self) -> Positions: ...
    @property
    def best_of_each_molecule(self) -> Positions: ...
    def smiles(self, positions: Positions) -> Sequence[str | None]:
        """Return the canonical SMILES of some rows."""

    def matching(self, where: str) -> NDArray[np.bool_]:
        """Return which rows fulfil a predicate over ``sample_history``, bool [n]; rows that are not committed yet, and
        so not in that view, do not.
        """


class Selection(Protocol):
    """A choice of rows for a batch. ``consumed`` is int [rows]: how often each was delivered to this run."""

    def available(self, rows: SelectableRows, consumed: NDArray[np.integer]) -> int:
        """Return the size of the largest batch that can be drawn now."""

    def draw(self, rows: SelectableRows, n: int, rng: np.random.Generator, consumed: NDArray[np.integer]) -> Positions:
        """Draw the positions [m] of a batch in random order, m = min(n, available)."""


@runtime_checkable
class WeighingSelection(Protocol):
    """A selection that also says how much each row that it has drawn counts in the loss."""

    def weights(self, rows: SelectableRows, positions: Positions) -> NDArray[np.float64] | None:
        """Return the weights [m] of drawn rows, of mean 1; None where all are 1."""


def weights_of(selection: Selection, rows: SelectableRows, positions: Positions) -> NDArray[np.float64] | None:
    """Return the weights [m] of rows that a selection has drawn; None where all are 1.

    Raises:
        PluginError: the selection, which may be that of somebody else, gives no such weights.
    """
    if not isinstance(selection, WeighingSelection) or not len(positions):
        return None
    with calling("selection", selection, f"to weigh {len(positions)} rows"):
        found = selection.weights(rows, positions)
    if found is None:
        return None
    weights = np.asarray(found)
    if (
        weights.shape != (len(positions),)
        or weights.dtype.kind not in "iuf"
        or not (np.isfinite(weights) & (weights >= 0)).all()
    ):
        raise wrong_result(
            "selection", selection, shown(found), f"a number of at least 0 for each of {len(positions)} rows"
        )
    return weights.astype(np.float64)


def require_positive(name: str, value: int) -> None:
    """Refuse a number of a selection below 1.

    Raises:
        ValueError: naming it.
    """
    if value < 1:
        raise ValueError(f"{name} of a selection must be at least 1, got {value}")


def choose(size: int, n: int, rng: np.random.Generator) -> Positions:
    """Draw at most n distinct indices below ``size``, all equally likely, in random order."""
    return rng.choice(size, min(n, size), replace=False)


def draw_in_sequence(
    log_weights: NDArray[np.float64], n: int, rng: np.random.Generator, cumulative: NDArray[np.float64] | None = None
) -> Positions:
    """Draw n distinct indices one after another, each time with probability proportional to the weights of those left.

    Args:
        log_weights: the logarithms of the weights, finite [m].
        n: the number of indices, at most m.
        rng: the generator.
        cumulative: the cumulative sums of the weights [m], where the caller has them.
    """
    if not n:
        return np.zeros(0, np.int64)
    cumulative = cumulative_weights(log_weights) if cumulative is None else cumulative
    drawn = np.zeros(0, np.int64)
    # To draw with replacement and drop repeats is to draw in sequence without replacement, at the cost of n draws and
    # not of one for each row of the history.
    for _ in range(_DRAWING_ROUNDS):
        more = np.searchsorted(cumulative, rng.random(n - len(drawn)) * cumulative[-1], side="right")
        drawn = np.concatenate([drawn, more])
        drawn = drawn[np.sort(np.unique(drawn, return_index=True)[1])]
        if len(drawn) == n:
            return drawn
    # When nearly all rows are asked for, or few hold nearly all the weight, new ones are hardly met. An exponential
    # race goes on in the same distribution: the order of arrivals is a draw without replacement (Efraimidis and
    # Spirakis 2006, https://doi.org/10.1016/j.ipl.2005.11.003).
    left = np.setdiff1d(np.arange(len(log_weights)), drawn)
    # In logarithms, since a weight may be below any float.
    arrivals = np.log(rng.standard_exponential(len(left))) - log_weights[left]
    return np.concatenate([drawn, left[np.argsort(arrivals, kind="stable")[: n - len(drawn)]]])


def cumulative_weights(log_weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cumulative sums of weights [m], scaled so that the largest weight is 1."""
    cumulative: NDArray[np.float64] = np.cumsum(np.exp(log_weights - log_weights.max()))
    return cumulative


SELECTIONS = Family("selections", class_with("available", "draw"))
"""The kinds of selections."""
