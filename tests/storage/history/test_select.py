"""Selections are functions of their arguments, never repeat a row in a batch, and say what they can give."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from molbuffer.kinds import PluginError
from molbuffer.storage.history.selections import (
    AboveQuantile,
    BelowQuantile,
    ConsumeOnce,
    EachMolecule,
    Mixture,
    MixturePart,
    Prioritized,
    RankWindow,
    Recent,
    SelectableRows,
    Selection,
    TopK,
    Uniform,
    WithinLag,
    weights_of,
)


@dataclass(frozen=True)
class Rows:
    rewards: NDArray[np.float64]
    iterations: NDArray[np.int64]
    molecules: NDArray[np.int64]
    own: NDArray[np.bool_]
    iteration: int = 8

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

    def matching(self, where: str) -> NDArray[np.bool_]:
        assert where == "reward > 0.5"
        return self.rewards > 0.5


def make_rows(n: int, seed: int = 0) -> Rows:
    rng = np.random.default_rng(seed)
    # Few distinct rewards, so that ties are common.
    return Rows(
        rewards=rng.integers(0, 5, n) / 4,
        iterations=np.sort(rng.integers(0, 8, n)),
        molecules=rng.integers(0, max(1, n // 2), n),
        own=rng.random(n) < 0.7,
    )


PLAIN = st.one_of(
    st.just(Uniform()),
    st.just(EachMolecule()),
    st.builds(TopK, k=st.integers(1, 30)),
    st.builds(Prioritized, alpha=st.floats(0, 6), by=st.sampled_from(["rank", "reward"])),
    st.builds(RankWindow, window=st.integers(1, 30), k=st.floats(0.001, 10)),
    st.builds(Recent, max_iterations=st.integers(1, 9), each_run=st.booleans()),
    st.builds(AboveQuantile, quantile=st.floats(0, 1)),
    st.builds(BelowQuantile, quantile=st.floats(0, 1)),
)
PART = st.builds(
    MixturePart,
    share=st.floats(0.1, 5),
    selection=PLAIN,
    runs=st.sampled_from(["all", "own", "others"]),
    where=st.sampled_from([None, "reward > 0.5"]),
)
FLAT = st.one_of(
    PLAIN, st.builds(ConsumeOnce, epochs=st.integers(1, 3)), st.builds(Mixture, st.lists(PART, min_size=1))
)
SELECTION = st.one_of(FLAT, st.builds(WithinLag, FLAT, st.integers(0, 9)))


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


def test_each_molecule_is_as_likely_as_any_other_however_many_rows_it_has() -> None:
    rewards = np.array([0.1, 0.9, 0.9, 0.3, 0.2, 0.2, 0.2, 0.2])
    rows = Rows(rewards, np.zeros(8, np.int64), np.array([0, 1, 1, 2, 3, 3, 3, 3]), np.ones(8, bool))
    best = rows.best_of_each_molecule
    assert sorted(rows.molecules[best].tolist()) == [0, 1, 2, 3]
    rng, n = np.random.default_rng(3), 20_000
    first = np.array([EachMolecule().draw(rows, 1, rng, np.zeros(8, np.int32))[0] for _ in range(n)])
    assert np.abs(np.bincount(first, minlength=8)[best] / n - 0.25).max() < 5 * np.sqrt(0.25 * 0.75 / n)
    every = EachMolecule().draw(rows, 9, rng, np.zeros(8, np.int32))
    assert sorted(every.tolist()) == sorted(best.tolist())


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


@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_prioritized_by_reward_is_a_power_of_the_reward(alpha: float) -> None:
    rewards = np.array([0.0, 0.25, 1.0, -0.5])
    rows, rng = Rows(rewards, np.zeros(4, np.int64), np.arange(4), np.ones(4, bool)), np.random.default_rng(5)
    n, selection = 20_000, Prioritized(alpha, by="reward")
    first = np.array([selection.draw(rows, 1, rng, np.zeros(4, np.int32))[0] for _ in range(n)])
    expected = np.array([0.01, 0.26, 1.01, 0.01]) ** alpha
    expected /= expected.sum()
    assert np.abs(np.bincount(first, minlength=4) / n - expected).max() < 5 * np.sqrt(0.25 / n)


@pytest.mark.parametrize("by", ["rank", "reward"])
def test_weights_undo_the_preference_of_better_rows(by: str) -> None:
    """Of single draws, w ~ 1/P: the weighted mean over draws is that over all rows."""
    rows = make_rows(6, seed=3)
    full = Prioritized(1.0, by=by, beta=1.0).weights(rows, np.arange(6))
    assert full is not None and full.mean() == pytest.approx(1)
    chances = 1 / full
    chances /= chances.sum()
    expected = np.arange(1, 7)[np.argsort(rows.best_first)] ** -1.0 if by == "rank" else rows.rewards + 0.01
    assert chances == pytest.approx(expected / expected.sum())
    half = Prioritized(1.0, by=by, beta=0.5).weights(rows, np.arange(6))
    assert half == pytest.approx(np.sqrt(full) / np.sqrt(full).mean())
    assert Prioritized(1.0, by=by).weights(rows, np.arange(6)) is None


def test_beta_rises_with_the_iteration() -> None:
    rows = make_rows(6, seed=3)
    full = Prioritized(beta=1.0).weights(rows, np.arange(6))
    rising = Prioritized(beta=0.5, anneal=16)
    at = {n: rising.weights(replace(rows, iteration=n), np.arange(6)) for n in (0, 8, 16, 99)}
    assert at[0] == pytest.approx(Prioritized(beta=0.5).weights(rows, np.arange(6)))
    assert at[8] == pytest.approx(Prioritized(beta=0.75).weights(rows, np.arange(6)))
    assert at[16] == pytest.approx(full) and at[99] == pytest.approx(full)


def test_rank_window_frequencies_are_those_of_genetic_gfn() -> None:
    rows, rng = make_rows(12, seed=1), np.random.default_rng(4)
    best = rows.best_of_each_molecule[:4]
    assert len(rows.best_of_each_molecule) > 4
    n, selection = 20_000, RankWindow(window=4, k=0.25)
    first = np.array([selection.draw(rows, 1, rng, np.zeros(12, np.int32))[0] for _ in range(n)])
    assert set(first.tolist()) == set(best.tolist())
    expected = 1 / (0.25 * 4 + np.arange(4))
    found = np.bincount(first, minlength=12)[best] / n
    assert np.abs(found - expected / expected.sum()).max() < 5 * np.sqrt(0.25 / n)


def test_lowest_takes_the_worst_rows_with_ties() -> None:
    rows = Rows(np.array([0.5, 0.0, 0.0, 1.0]), np.zeros(4, np.int64), np.arange(4), np.ones(4, bool))
    drawn = {
        q: set(BelowQuantile(q).draw(rows, 9, np.random.default_rng(0), np.zeros(4)).tolist()) for q in (0, 0.7, 1)
    }
    assert drawn == {0: {1, 2}, 0.7: {0, 1, 2}, 1: {0, 1, 2, 3}}


def test_a_mixture_divides_the_batch_by_its_shares() -> None:
    rows = make_rows(60, seed=2)
    best, worst = TopK(12), BelowQuantile(0.1)
    consumed, rng = np.zeros(60, np.int32), np.random.default_rng(0)
    mixture = Mixture([MixturePart(3.0, best), MixturePart(1.0, worst)])
    drawn = set(mixture.draw(rows, 10, rng, consumed).tolist())
    tops, lows = set(best.candidates(rows).tolist()), set(worst.candidates(rows).tolist())
    assert (len(drawn & tops), len(drawn & lows)) == (8, 2), "7.5 and 2.5 by largest remainder, the earlier part first"
    # What a part cannot give comes from the others.
    assert len(mixture.draw(rows, 15, rng, consumed)) == 15
    few = Mixture([MixturePart(9.0, TopK(1)), MixturePart(1.0, worst)])
    assert set(few.draw(rows, 4, rng, consumed).tolist()) >= {rows.best_first[0]}
    everything = few.draw(rows, 60, rng, consumed)
    assert set(everything.tolist()) == {rows.best_first[0], *lows}
    assert few.available(rows, consumed) == len(everything)


def test_the_parts_of_a_mixture_tell_runs_and_conditions_apart() -> None:
    rows = make_rows(40, seed=5)
    consumed, rng = np.zeros(40, np.int32), np.random.default_rng(0)
    halves = Mixture([MixturePart(runs="own"), MixturePart(runs="others", where="reward > 0.5")])
    drawn = halves.draw(rows, 6, rng, consumed)
    own = rows.own[drawn]
    assert np.count_nonzero(own) == 3 and (rows.rewards[drawn][~own] > 0.5).all()
    assert halves.available(rows, consumed) == np.count_nonzero(rows.own | (rows.rewards > 0.5))


def test_a_bound_on_the_policy_lag_leaves_older_rows_and_those_of_others_out() -> None:
    rows = make_rows(40, seed=5)
    consumed = np.zeros(40, np.int32)
    for bound in (1, 4):
        expected = np.flatnonzero(rows.own & (rows.iterations >= 8 - bound))
        drawn = WithinLag(Uniform(), bound).draw(rows, 99, np.random.default_rng(0), consumed)
        assert np.array_equal(np.sort(drawn), expected)
    once = consumed.copy()
    once[expected[:3]] = 1
    assert WithinLag(ConsumeOnce(), 4).available(rows, once) == len(expected) - 3
    bounded = WithinLag(Prioritized(1.0, beta=1.0), 4)
    drawn = bounded.draw(rows, 5, np.random.default_rng(0), consumed)
    ranks = {position: rank for rank, position in enumerate([p for p in rows.best_first if p in expected], start=1)}
    weights = np.array([ranks[position] for position in drawn.tolist()])
    assert bounded.weights(rows, drawn) == pytest.approx(weights / weights.mean())


@pytest.mark.parametrize("rounds", [0, 8])
def test_prioritized_draws_in_sequence_without_replacement(rounds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of drawing give p(i, j) = p_i p_j / (1 - p_i)."""
    monkeypatch.setattr("molbuffer.storage.history.selections.base._DRAWING_ROUNDS", rounds)
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
    [
        (ConsumeOnce, {"epochs": 0}),
        (TopK, {"k": 0}),
        (Recent, {"max_iterations": 0}),
        (Prioritized, {"alpha": -1.0}),
        (Prioritized, {"by": "luck"}),
        (Prioritized, {"beta": 1.5}),
        (Prioritized, {"anneal": 0}),
        (RankWindow, {"window": 0}),
        (RankWindow, {"k": 0.0}),
        (BelowQuantile, {"quantile": -0.1}),
        (Mixture, {"parts": ()}),
        (MixturePart, {"share": 0.0}),
        (MixturePart, {"runs": "theirs"}),
        (MixturePart, {"selection": ConsumeOnce()}),
        (MixturePart, {"selection": Prioritized(beta=0.5)}),
    ],
)
def test_settings_that_draw_nothing_are_refused(kind: type[TopK], wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)).removesuffix("s").replace("selection", "a part has|weight")):
        kind(**wrong)


def test_each_kind_draws_with_its_defaults() -> None:
    kinds = (ConsumeOnce, Uniform, EachMolecule, TopK, Prioritized, Recent, AboveQuantile, BelowQuantile, RankWindow)
    assert all(kind().draw(make_rows(9), 2, np.random.default_rng(0), np.zeros(9)).size for kind in kinds)


_DRAWS = """
import numpy as np
from molbuffer.storage.history.selections import (
    ConsumeOnce, Mixture, MixturePart, Prioritized, RankWindow, Recent, TopK, Uniform
)
class Rows:
    iteration, iterations = 5, np.arange(50) // 10
    own = np.ones(50, bool)
    molecules = np.arange(50)
    best_first = best_of_each_molecule = np.arange(50)[::-1]
    def __len__(self): return 50
halves = lambda: Mixture([MixturePart(1.0, TopK(5)), MixturePart(2.0, Uniform())])
for kind in (ConsumeOnce, Prioritized, RankWindow, Recent, TopK, Uniform, halves):
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


@pytest.mark.parametrize("wrong", [np.ones(2), [-1.0, 1.0, 1.0], [np.nan, 1.0, 1.0], "many"])
def test_weights_of_somebody_else_that_are_none_are_refused(wrong: object) -> None:
    class Wrong(Uniform):
        def weights(self, rows: SelectableRows, positions: NDArray[np.int64]) -> object:
            return wrong

    with pytest.raises(PluginError, match=r"selection .*expected a number of at least 0 for each of 3 rows"):
        weights_of(Wrong(), make_rows(9), np.arange(3))
    assert weights_of(Uniform(), make_rows(9), np.arange(3)) is None
