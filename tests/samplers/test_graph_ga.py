"""The parents of a graph GA: their ranks, their settings, and what stands in for those that are missing."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from molbuffer.samplers.dataset import DatasetSampler
from molbuffer.samplers.graph_ga import GraphGASampler, by_rank
from molbuffer.samplers.tables.history import GraphGASamplerTable
from molbuffer.samplers.tokens.vocabulary import Vocabulary
from molbuffer.scoring import WAYS, Breeding, ScoringConfigurationError

FILE = Path(__file__).parents[1] / "data/molecules.smi"
VOCABULARY = Vocabulary.from_smiles(line.split()[0] for line in FILE.read_text().splitlines())
BASE = DatasetSampler("base", FILE, VOCABULARY, replacement=True)
MUTANTS = Breeding(0, 0, 0, 1)


@dataclass(frozen=True)
class Best:
    """A history of molecules, the best first."""

    smiles: Sequence[str]

    def best_molecules(self, n: int) -> dict[str, float]:
        return {text: -float(rank) for rank, text in enumerate(self.smiles[:n])}


def test_probabilities_by_rank_by_hand() -> None:
    falling = np.array([0.9, 0.5, 0.1])
    np.testing.assert_allclose(by_rank(falling, None), [1 / 2, 1 / 3, 1 / 6])
    np.testing.assert_allclose(by_rank(falling, 1.0), np.array([6, 3, 2]) / 11)
    harmonic = by_rank(-np.arange(1024.0), 0.01 * 1024)
    assert harmonic[0] / harmonic[10] == pytest.approx(20.24 / 10.24)
    assert by_rank(falling[:0], 1.0).size == by_rank(falling[:0], None).size == 0


def test_parents_of_equal_rewards_have_equal_probabilities() -> None:
    np.testing.assert_allclose(by_rank(np.zeros(5), 1.0), np.full(5, 0.2))
    tied = by_rank(np.array([0.9, 0.5, 0.5, -np.inf, -np.inf]), None)
    np.testing.assert_allclose(tied, np.array([5, 3.5, 3.5, 1.5, 1.5]) / 15)


def test_the_best_have_more_children_the_smaller_k() -> None:
    history = Best(["F" + "C" * n for n in range(4, 8)] + ["Cl" + "C" * n for n in range(4, 100)])

    def of_the_best(**settings: Any) -> int:
        sampler = GraphGASampler("children", history, BASE, VOCABULARY, parents=100, breeding=MUTANTS, **settings)
        return sum("F" in text for text in sampler.draw(60, seed=1).raw)

    assert of_the_best(k=0.001) > of_the_best(k=0.05) > of_the_best(weighting="linear")


def test_the_share_of_the_best_is_of_the_parents_that_there_are() -> None:
    history = Best(["F" + "C" * n for n in range(4, 8)] + ["Cl" + "C" * n for n in range(4, 100)])
    few, many = (
        GraphGASampler("children", history, BASE, VOCABULARY, parents=parents, breeding=MUTANTS, k=0.01)
        for parents in (100, 10_000)
    )
    assert few.draw(20, seed=1).raw == many.draw(20, seed=1).raw


def test_the_base_sampler_gives_no_more_parents_than_children_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    draw = DatasetSampler.draw
    monkeypatch.setattr(DatasetSampler, "draw", lambda self, n, seed: asked.append(n) or draw(self, n, seed))
    sampler = GraphGASampler("children", Best(["CCO", "CCN", "CCC"]), BASE, VOCABULARY)
    for n in (8, 2, 0):
        sampler.draw(n, seed=1)
    assert asked == [5], "three molecules are enough for two children"


def test_immigrants_are_parents_as_often_as_they_shall_be() -> None:
    history = Best([f"{left}{'C' * n}{right}" for n in range(3, 13) for left in ("F", "Cl", "N#C") for right in "ON"])

    def of_immigrants(share: float) -> float:
        sampler = GraphGASampler("children", history, BASE, VOCABULARY, parents=60, breeding=MUTANTS, immigrants=share)
        draws = [sampler.draw(40, seed) for seed in range(10)]
        assert sampler.draw(40, 3).raw == draws[3].raw
        return float(np.mean([parent not in history.smiles for each in draws for (parent,) in each.parents or ()]))

    assert of_immigrants(0.0) == 0
    assert of_immigrants(0.1) == pytest.approx(0.1, abs=0.06)
    assert of_immigrants(0.5) == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("wrong", [{"parents": 1}, {"k": 0.0}, {"immigrants": 1.0}, {"immigrants": -0.1}])
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        GraphGASampler("children", Best([]), BASE, VOCABULARY, **wrong)


def table(**keys: Any) -> GraphGASamplerTable:
    return GraphGASamplerTable(base_sampler=None, **keys)  # type: ignore[arg-type]


def test_settings_of_earlier_campaigns_are_read() -> None:
    assert table(crossover_rate=0.8, mutation_rate=0.5).breeding == Breeding(0.4, 0.0, 0.4, 1 - 0.8, mutation_rate=0.5)
    assert table().breeding == Breeding()


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"crossover_rate": 0.5, "token_change": 1.0}, "crossover_rate"),
        (dict.fromkeys(WAYS, 0.0), "must be above 0"),
    ],
)
def test_shares_that_contradict_each_other_are_refused(keys: dict[str, float], problem: str) -> None:
    with pytest.raises((ValueError, ScoringConfigurationError), match=problem):
        table(**keys)
