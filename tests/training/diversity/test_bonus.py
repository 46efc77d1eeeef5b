"""Bonuses for novelty: high for what is new or surprising, lower with every molecule alike, and without chance."""

import numpy as np
import pytest
import torch

from molbuffer.training.diversity.bonus import NoveltyBonus

SEEN = ["Cc1ccccc1", "Oc1ccccc1", "Nc1ccccc1", "Clc1ccccc1"]
OTHER = ["CCCCCCO", "O=C1CCCN1"]


def ones(smiles: list[str], reward: float = 1.0) -> np.ndarray:
    return np.full(len(smiles), reward)


def test_what_was_seen_often_brings_less_than_what_is_unlike_it() -> None:
    bonus = NoveltyBonus("rnd")
    assert bonus.of([*SEEN, *OTHER], ones([*SEEN, *OTHER])) == pytest.approx(np.ones(6))
    errors = [bonus.learn(SEEN, ones(SEEN)) for _ in range(40)]
    assert errors[-1] < errors[0]  # type: ignore[operator]
    seen, other = bonus.of(SEEN, ones(SEEN)), bonus.of(OTHER, ones(OTHER))
    assert seen.max() < 0.2 and other.min() > 2 * seen.max() and other.max() <= 1
    # The reward makes no difference.
    assert np.array_equal(seen, bonus.of(SEEN, ones(SEEN, 0.5)))


def test_a_reward_that_was_expected_surprises_nobody() -> None:
    bonus = NoveltyBonus("surprise")
    for _ in range(60):
        bonus.learn(SEEN, ones(SEEN, 0.9))
    assert bonus.of(SEEN, ones(SEEN, 0.9)).max() < 0.1
    assert bonus.of(SEEN, ones(SEEN, 0.2)).min() > 0.6


@pytest.mark.parametrize("kind", ["rnd", "surprise"])
def test_two_are_equal_and_the_generator_of_the_process_is_left_alone(kind: str) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first, second = NoveltyBonus(kind), NoveltyBonus(kind)  # type: ignore[arg-type]
    assert torch.equal(before, torch.get_rng_state())
    for each in (first, second):
        each.learn(SEEN, ones(SEEN, 0.4))
    assert np.array_equal(first.of(OTHER, ones(OTHER)), second.of(OTHER, ones(OTHER)))
    assert first.learn([], ones([])) is None and len(first.of([], ones([]))) == 0
