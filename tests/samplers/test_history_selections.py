"""Which rows of the history are drawn: ties belong to a quantile, and each scaffold has the same chance."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from molbuffer.samplers.by_scaffold import ByScaffold
from molbuffer.storage.history.selections import AboveQuantile, Recent, TopK, Uniform


class Rows:
    """What choices look at of an index: rows of one build each, in the order given."""

    def __init__(
        self,
        rewards: Sequence[float],
        smiles: Sequence[str] | None = None,
        runs: Sequence[str] | None = None,
        iterations: Sequence[int] | None = None,
    ) -> None:
        n = len(rewards)
        self.rewards = np.array(rewards, np.float64)
        self.texts = list(smiles or [f"{'C' * (1 + row)}" for row in range(n)])
        self.molecules = np.array([self.texts.index(text) for text in self.texts], np.uint64)
        self.run_numbers = np.unique(runs or ["run"] * n, return_inverse=True)[1]
        self.iterations = np.array(iterations or [0] * n, np.int32)
        self.looked_up: list[str] = []

    def __len__(self) -> int:
        return len(self.rewards)

    @property
    def best_of_each_molecule(self) -> NDArray[np.int64]:
        best = np.argsort(-self.rewards, kind="stable")
        first = np.unique(self.molecules[best], return_index=True)[1]
        return best[np.sort(first)]

    def smiles(self, positions: NDArray[np.int64]) -> list[str]:
        found = [self.texts[position] for position in positions]
        self.looked_up += found
        return found


def chosen(selection: Any, rows: Rows, n: int = 100, seed: int = 0) -> list[int]:
    found: list[int] = selection.draw(rows, n, np.random.default_rng(seed), np.zeros(len(rows), np.int32)).tolist()
    return found


SELECTIONS = [Uniform(), TopK(3), AboveQuantile(0.5), Recent(2, each_run=True), ByScaffold()]


@pytest.mark.parametrize("selection", SELECTIONS)
def test_a_history_without_rows_gives_none(selection: Any) -> None:
    assert chosen(selection, Rows([])) == []


@pytest.mark.parametrize("selection", SELECTIONS)
def test_a_draw_is_a_function_of_its_seed_and_has_no_row_twice(selection: Any) -> None:
    rows = Rows(np.linspace(0, 1, 40).tolist(), iterations=[row // 10 for row in range(40)])
    draws = [tuple(chosen(selection, rows, 2, seed)) for seed in range(60)]
    assert draws == [tuple(chosen(selection, rows, 2, seed)) for seed in range(60)]
    assert len(set(draws)) > 3
    assert all(len(set(draw)) == 2 for draw in draws)
    everything = chosen(selection, rows, 1000)
    assert len(set(everything)) == len(everything) > 0


@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.99, 1.0])
def test_ties_at_the_top_are_all_drawn_from(quantile: float) -> None:
    """A strict comparison with the quantile would find nothing above the best reward."""
    rows = Rows([0.1, 1.0, 1.0, 0.2, 1.0, 1.0])
    assert sorted(chosen(AboveQuantile(quantile), rows)) == [1, 2, 4, 5]
    assert sorted(chosen(AboveQuantile(quantile), Rows([0.7] * 5))) == [0, 1, 2, 3, 4]


def test_a_quantile_is_the_best_share_of_the_rows() -> None:
    rows = Rows([0.5, 0.1, 0.9, 0.3, 0.7, 0.2, 0.8, 0.4, 0.6, 1.0])
    assert sorted(chosen(AboveQuantile(0.9), rows)) == [9]
    assert sorted(chosen(AboveQuantile(0.5), rows)) == [2, 4, 6, 8, 9]
    assert sorted(chosen(AboveQuantile(0), rows)) == list(range(10))
    assert chosen(AboveQuantile(0.9), Rows([0.3])) == [0]


def test_the_best_molecules_are_drawn_once_each_with_their_best_row() -> None:
    rows = Rows([0.9, 0.95, 0.2, 0.8, 0.9], smiles=["CC", "CC", "CO", "CN", "CS"])
    assert sorted(chosen(TopK(3), rows)) == [1, 3, 4]
    assert sorted(chosen(TopK(1), rows)) == [1]


def test_the_newest_iterations_are_those_of_each_run() -> None:
    rows = Rows([0] * 7, runs=["a", "a", "a", "b", "b", "b", "b"], iterations=[0, 1, 2, 7, 9, 9, 8])
    assert sorted(chosen(Recent(1, each_run=True), rows)) == [2, 4, 5]
    assert sorted(chosen(Recent(2, each_run=True), rows)) == [1, 2, 4, 5, 6]


RINGS = ["c1ccccc1C", "c1ccccc1CC", "c1ccccc1O", "c1ccccc1N", "c1ccncc1", "C1CCCC1C", "CCO", "CCCC"]
SCAFFOLDS = ["benzene"] * 4 + ["pyridine", "cyclopentane", "none", "none"]


def test_each_scaffold_has_the_same_chance_however_many_rows_it_has() -> None:
    rows, selection = Rows([0] * 8, smiles=RINGS), ByScaffold()
    first = Counter(SCAFFOLDS[chosen(selection, rows, 1, seed)[0]] for seed in range(2000))
    # Of 2,000 draws, 500 each: five standard deviations are 97.
    assert {name: abs(count - 500) < 97 for name, count in first.items()} == dict.fromkeys(SCAFFOLDS, True)
    within = Counter(row for seed in range(2000) for row in chosen(selection, rows, 1, seed) if row < 4)
    assert all(abs(within[row] - 125) < 55 for row in range(4))


def test_every_scaffold_is_drawn_once_before_one_is_drawn_twice() -> None:
    rows, selection = Rows([0] * 8, smiles=RINGS), ByScaffold()
    for seed in range(20):
        drawn = [SCAFFOLDS[row] for row in chosen(selection, rows, 8, seed)]
        assert sorted(drawn[:4]) == sorted(set(SCAFFOLDS))
        assert sorted(drawn[4:6]) == ["benzene", "none"]
        assert drawn[6:] == ["benzene", "benzene"]


def test_the_scaffold_of_a_molecule_is_found_once() -> None:
    rows, selection = Rows([0] * 9, smiles=[*RINGS, RINGS[0]]), ByScaffold()
    chosen(selection, rows, 2)
    chosen(selection, rows, 2)
    assert sorted(rows.looked_up) == sorted(RINGS)
