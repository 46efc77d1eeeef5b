"""Rows drawn ahead of the next attempt are those that it would draw, and count only if it takes them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from molbuffer.samplers import ModelSampler, Policy
from molbuffer.samplers.base import Draw
from molbuffer.samplers.builds.attempts import Attempts
from molbuffer.samplers.models.gru import GRULanguageModel
from molbuffer.samplers.policies.policy import fingerprint
from molbuffer.samplers.seeds import derive_seed
from molbuffer.samplers.tokens import Vocabulary


@pytest.fixture
def policy(make_model: Callable[..., GRULanguageModel], vocabulary: Vocabulary) -> Policy:
    model = make_model()
    return Policy(model, vocabulary, fingerprint(model, vocabulary))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows of each draw of a model."""
    made: list[int] = []
    step = GRULanguageModel.step

    def counted(self: GRULanguageModel, n: int, device: torch.device) -> Any:
        made.append(n)
        return step(self, n, device)

    monkeypatch.setattr(GRULanguageModel, "step", counted)
    return made


def check_same(found: Draw, expected: Draw) -> None:
    assert found.raw == expected.raw
    assert np.array_equal(found.rows.tokens, expected.rows.tokens)
    np.testing.assert_allclose(found.rows.log_probs, expected.rows.log_probs, atol=1e-5)


def test_the_first_redraw_takes_the_rows_that_were_drawn_ahead(policy: Policy, steps: list[int]) -> None:
    sampler = ModelSampler("agent", lambda: policy)
    attempts = Attempts(sampler, seed=4)
    found = [attempts.draw(0, 40), attempts.draw(1, 2), attempts.draw(2, 1)]
    assert steps == [43, 1]
    for attempt, draw in enumerate(found):
        check_same(draw, sampler.draw(len(draw), derive_seed(4, attempt)))


def test_a_redraw_of_more_rows_than_were_drawn_ahead_draws_them_all(policy: Policy, steps: list[int]) -> None:
    sampler = ModelSampler("agent", lambda: policy)
    attempts = Attempts(sampler, seed=4)
    attempts.draw(0, 40)
    check_same(attempts.draw(1, 4), sampler.draw(4, derive_seed(4, 1)))
    assert steps == [43, 4, 4]


def test_a_sampler_whose_draw_is_its_own_draws_as_it_says(policy: Policy) -> None:
    class Shouting(ModelSampler):
        def draw(self, n: int, seed: int) -> Draw:
            drawn = super().draw(n, seed)
            return Draw([text.upper() for text in drawn.raw], drawn.rows)

    sampler = Shouting("agent", lambda: policy)
    assert Attempts(sampler, seed=4).draw(0, 5).raw == sampler.draw(5, derive_seed(4, 0)).raw
    assert all(text == text.upper() for text in Attempts(sampler, seed=4).draw(0, 5).raw)
