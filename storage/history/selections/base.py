"""The interfaces of selections and of the rows that they choose from, and drawing without replacement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from molbuffer.kinds import Family, calling, class_with, shown, wrong_result

Positions = NDArray[np.int64]

_DRAWING_ROUNDS = 8


class SelectableRows(Protocol):
    """The rows that a selection chooses from, such as an index of the history.

    Attributes:
        iteration: the iteration for which rows are selected; for an index outside of a training, the iteration after
            that of its newest own row.
        iterations: the iteration of the build of each row, int [n].
        run_numbers: a number that is equal for rows of one run, int [n].
        rewards: the rewards under the objective of the reader, float64 [n].
        molecules: a number that is equal for rows of one molecule, uint64 [n].
        own: whether the run in training drew the row, bool [n]; all true if the reader is not a run.
        best_first: all positions by descending reward, ties by position, int64 [n].
        best_of_each_molecule: the first position of each distinct molecule in ``best_first``, int64 [m].
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
        """Return the canonical SMILES of the rows at positions."""

    def matching(self, where: str) -> NDArray[np.bool_]:
        """Return whether each row fulfils a predicate over ``sample_history``, bool [n].

        Rows that are not committed yet are not in that view, and fulfil no predicate.
        """


class Selection(Protocol):
    """A rule that chooses rows for a batch. ``consumed``, int [rows], is how often each was delivered to this run."""

    def available(self, rows: SelectableRows, consumed: NDArray[np.integer]) -> int:
        """Return the size of the largest batch that can be drawn now."""

    def draw(self, rows: SelectableRows, n: int, rng: np.random.Generator, consumed: NDArray[np.integer]) -> Positions:
        """Draw the positions [m] of a batch in random order, m = min(n, available)."""


@runtime_checkable
class WeighingSelection(Protocol):
    """A selection that also weighs the rows that it has drawn in the loss."""

    def weights(self, rows: SelectableRows, positions: Positions) -> NDArray[np.float64] | None:
        """Return the weights [m] of drawn rows, with mean 1; None if all are 1."""


def weights_of(selection: Selection, rows: SelectableRows, positions: Positions) -> NDArray[np.float64] | None:
    """Return the weights [m] of rows that a selection has drawn; None if all are 1.

    Raises:
        PluginError: the selection does not return a finite number of at least 0 for each row.
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
    """Refuse a parameter of a selection that is less than 1.

    Raises:
        ValueError: the value is less than 1.
    """
    if value < 1:
        raise ValueError(f"{name} of a selection must be at least 1, got {value}")


def choose(size: int, n: int, rng: np.random.Generator) -> Positions:
    """Return min(n, size) distinct indices in [0, size), drawn uniformly and in random order."""
    return rng.choice(size, min(n, size), replace=False)


def draw_in_sequence(
    log_weights: NDArray[np.float64], n: int, rng: np.random.Generator, cumulative: NDArray[np.float64] | None = None
) -> Positions:
    """Return n distinct indices, drawn one after another with probability proportional to the remaining weights.

    Args:
        log_weights: the logarithms of the weights, finite [m].
        n: the number of indices, at most m.
        rng: the generator.
        cumulative: the cumulative sums of the weights [m]; None computes them.
    """
    if not n:
        return np.zeros(0, np.int64)
    cumulative = cumulative_weights(log_weights) if cumulative is None else cumulative
    drawn = np.zeros(0, np.int64)
    # Drawing with replacement and dropping repeats is equivalent to drawing in sequence without replacement, and takes
    # n draws instead of one for each row of the history.
    for _ in range(_DRAWING_ROUNDS):
        more = np.searchsorted(cumulative, rng.random(n - len(drawn)) * cumulative[-1], side="right")
        drawn = np.concatenate([drawn, more])
        drawn = drawn[np.sort(np.unique(drawn, return_index=True)[1])]
        if len(drawn) == n:
            return drawn
    # If nearly all rows are wanted, or few rows have nearly all the weight, most draws are repeats. An exponential race
    # continues with the same distribution: the order of arrivals is a draw without replacement (Efraimidis and Spirakis
    # 2006, https://doi.org/10.1016/j.ipl.2005.11.003).
    left = np.setdiff1d(np.arange(len(log_weights)), drawn)
    # Logarithms are used because a weight may be too small for a float.
    arrivals = np.log(rng.standard_exponential(len(left))) - log_weights[left]
    return np.concatenate([drawn, left[np.argsort(arrivals, kind="stable")[: n - len(drawn)]]])


def cumulative_weights(log_weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cumulative sums of weights [m], scaled so that the largest weight is 1."""
    cumulative: NDArray[np.float64] = np.cumsum(np.exp(log_weights - log_weights.max()))
    return cumulative


SELECTIONS = Family("selections", class_with("available", "draw"))
"""The kinds of selections."""
