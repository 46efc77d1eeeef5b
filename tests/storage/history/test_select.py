"""Selections are functions of their arguments, never repeat a row in a batch, and say what they can give."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from molbuffer.storage.history.selections import (
    AboveQuantile,
    ConsumeOnce,
    Prioritized,
    Recent,
    SelectableRows,
    Selection,
    TopK,
    Uniform,
)


@dataclass(frozen=True)
class Rows:
    rewards: NDArray[np.float64]
    iterations: NDArray[np.int64]
    molecules: NDArray[np.int64]
    own: NDArray[np.bool_]

    @cached_property
    def run_numbers(self) -> NDArray[np.int64]:
        return np.where(self.own, 0, 1 + self.molecules % 2)

    def __len__(self) -> int:
        return len(self.rewards)

    @cached_property
    def best_first(self) -> NDArray[np.int64]:
        return np.argsort(-self.rewards, kind="stable")

    @cached_property
    def best_of_each_molecule(self) -> NDArray[np.int64]:
        first = np.unique(self.molecules[self.best_first], return_index=True)[1]
        return self.best_first[np.sort(first)]


def make_rows(n: int, seed: int = 0) -> Rows:
    rng = np.random.default_rng(seed)
    # Few distinct rewards, so that ties are common.
    return Rows(
        rewards=rng.integers(0, 5, n) / 4,
        iterations=np.sort(rng.integers(0, 8, n)),
        molecules=rng.integers(0, max(1, n // 2), n),
        own=rng.random(n) < 0.7,
    )


SELECTION = st.one_of(
    st.just(Uniform()),
    st.builds(ConsumeOnce, epochs=st.integers(1, 3)),
    st.builds(TopK, k=st.integers(1, 30)),
    st.builds(Prioritized, alpha=st.floats(0, 6)),
    st.builds(Recent, max_iterations=st.integers(1, 9), each_run=st.booleans()),
    st.builds(AboveQuantile, quantile=st.floats(0, 1)),
)


@settings(max_examples=200, deadline=None)
@given(SELECTION, st.integers(0, 60), st.integers(0, 70), st.integers(0, 2**32), st.data())
def test_every_selection_gives_what_it_says(
    selection: Selection, size: int, n: int, seed: int, data: st.DataObject
) -> None:
    rows: SelectableRows = make_rows(size, seed % 7)
    consumed = np.array(data.draw(st.lists(st.integers(0, 3), min_size=size, max_size=size)), dtype=np.int32)
    before = consumed.copy()
    drawn = selection.draw(rows, n, np.random.default_rng(seed), consumed)
    assert drawn.dtype == np.int64
    assert len(drawn) == min(n, selection.available(rows, consumed))
    assert len(set(drawn.tolist())) == len(drawn)
    assert all(0 <= position < size for position in drawn)
    assert np.array_equal(consumed, before)
    assert np.array_equal(drawn, selection.draw(rows, n, np.random.default_rng(seed), consumed))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 50), st.integers(1, 12), st.integers(1, 3), st.integers(0, 100))
def test_consume_once_delivers_each_row_once_a_pass(size: int, n: int, epochs: int, seed: int) -> None:
    rows, selection, rng = make_rows(size), ConsumeOnce(epochs), np.random.default_rng(seed)
    consumed, delivered = np.zeros(size, np.int32), []
    while len(batch := selection.draw(rows, n, rng, consumed)):
        consumed[batch] += 1
        delivered += batch.tolist()
        assert consumed.max() - consumed.min() <= 1 or n > size
    assert consumed.tolist() == [epochs] * size
    for epoch in range(epochs):
        assert sorted(delivered[epoch * size : (epoch + 1) * size]) == list(range(size))
    assert selection.available(rows, consumed) == 0


def test_consume_once_lets_new_rows_catch_up() -> None:
    consumed = np.array([1, 1, 0, 0, 2])
    drawn = ConsumeOnce(epochs=2).draw(make_rows(5), 3, np.random.default_rng(1), consumed)
    assert set(drawn[:2].tolist()) == {2, 3}
    assert drawn[2] in (0, 1)
    assert ConsumeOnce(epochs=2).available(make_rows(5), consumed) == 4


def test_top_k_takes_the_best_row_of_each_molecule_and_the_earlier_of_equals() -> None:
    rows = Rows(
        rewards=np.array([0.5, 0.9, 0.9, 0.7, 0.7, 0.1]),
        iterations=np.zeros(6, np.int64),
        molecules=np.array([1, 2, 2, 3, 4, 5]),
        own=np.ones(6, bool),
    )
    consumed = np.zeros(6, np.int32)
    drawn = {k: set(TopK(k).draw(rows, 10, np.random.default_rng(0), consumed).tolist()) for k in (1, 2, 3, 4, 99)}
    assert drawn == {1: {1}, 2: {1, 3}, 3: {1, 3, 4}, 4: {1, 3, 4, 0}, 99: {1, 3, 4, 0, 5}}


def test_recent_counts_from_the_runs_own_newest_iteration() -> None:
    rows = Rows(
        rewards=np.zeros(6),
        iterations=np.array([0, 3, 4, 5, 9, 5]),
        molecules=np.arange(6),
        own=np.array([True, True, True, True, False, False]),
    )
    consumed = np.zeros(6, np.int32)
    drawn = {k: set(Recent(k).draw(rows, 10, np.random.default_rng(0), consumed).tolist()) for k in (1, 2, 3, 6)}
    assert drawn == {1: {3}, 2: {2, 3}, 3: {1, 2, 3}, 6: {0, 1, 2, 3}}


@pytest.mark.parametrize("alpha", [0.0, 0.7, 1.5])
def test_prioritized_frequencies_are_rank_to_the_minus_alpha(alpha: float) -> None:
    rows, rng = make_rows(8, seed=3), np.random.default_rng(5)
    n, consumed = 20_000, np.zeros(8, np.int32)
    first = np.array([Prioritized(alpha).draw(rows, 1, rng, consumed)[0] for _ in range(n)])
    expected = np.arange(1, 9) ** -alpha
    expected /= expected.sum()
    found = np.bincount(first, minlength=8)[rows.best_first] / n
    assert np.abs(found - expected).max() < 5 * np.sqrt(0.25 / n)


@pytest.mark.parametrize("rounds", [0, 8])
def test_prioritized_draws_in_sequence_without_replacement(rounds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of drawing give p(i, j) = p_i p_j / (1 - p_i)."""
    monkeypatch.setattr("molbuffer.storage.history.selections._DRAWING_ROUNDS", rounds)
    rows = Rows(np.array([0.9, 0.5, 0.1]), np.zeros(3, np.int64), np.arange(3), np.ones(3, bool))
    rng, n, weights = np.random.default_rng(2), 20_000, np.array([6, 3, 2]) / 11
    pairs = np.array([Prioritized(1.0).draw(rows, 2, rng, np.zeros(3, np.int32)) for _ in range(n)])
    for i, j in [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)]:
        expected = weights[i] * weights[j] / (1 - weights[i])
        assert abs(np.mean((pairs == (i, j)).all(axis=1)) - expected) < 5 * np.sqrt(0.25 / n)


def test_prioritized_ends_even_when_the_tail_has_no_weight() -> None:
    rows = make_rows(500)
    drawn = Prioritized(400.0).draw(rows, 500, np.random.default_rng(0), np.zeros(500, np.int32))
    assert sorted(drawn.tolist()) == list(range(500))


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [(ConsumeOnce, {"epochs": 0}), (TopK, {"k": 0}), (Recent, {"max_iterations": 0}), (Prioritized, {"alpha": -1.0})],
)
def test_settings_that_draw_nothing_are_refused(kind: type[TopK], wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        kind(**wrong)


def test_each_kind_draws_with_its_defaults() -> None:
    kinds = (ConsumeOnce, Uniform, TopK, Prioritized, Recent, AboveQuantile)
    assert all(kind().draw(make_rows(9), 2, np.random.default_rng(0), np.zeros(9)).size for kind in kinds)


_DRAWS = """
import numpy as np
from molbuffer.storage.history.selections import ConsumeOnce, Prioritized, Recent, TopK, Uniform
class Rows:
    iterations = np.arange(50) // 10
    own = np.ones(50, bool)
    best_first = best_of_each_molecule = np.arange(50)[::-1]
    def __len__(self): return 50
for kind in (ConsumeOnce, Prioritized, Recent, TopK, Uniform):
    print(kind().draw(Rows(), 7, np.random.default_rng(3), np.zeros(50)).tolist())
"""


def test_hash_seeds_do_not_matter() -> None:
    results = {
        subprocess.run(
            [sys.executable, "-c", _DRAWS], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("0", "1")
    }
    assert len(results) == 1
