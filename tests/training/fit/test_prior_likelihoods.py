"""The prior's likelihoods of rows: each is computed once, and is the same bit by bit with whichever rows."""

from typing import Any

import pytest
import torch
from torch.testing import assert_close

from molbuffer.samplers import find_policy, load_policy
from molbuffer.samplers.models import UNCONDITIONED, Condition, GRUArchitecture, GRULanguageModel
from molbuffer.samplers.models.seq2seq import Seq2SeqArchitecture, Seq2SeqModel
from molbuffer.training.batches import TrainingBatch
from molbuffer.training.fit import prior_likelihoods
from molbuffer.training.fit.prior_likelihoods import ROWS_AT_ONCE, PriorLikelihoods, rows_are_independent


@pytest.fixture(scope="module")
def prior() -> GRULanguageModel:
    model = load_policy(find_policy("zinc-gru")).model
    assert isinstance(model, GRULanguageModel)
    return model


@pytest.fixture(scope="module")
def batch(prior: GRULanguageModel) -> TrainingBatch:
    drawn = prior.sample(90, generator=torch.Generator().manual_seed(2))
    return TrainingBatch(0, {"tokens": drawn.tokens, "lengths": drawn.lengths}, ["agent"] * 90)


def some(batch: TrainingBatch, rows: list[int]) -> TrainingBatch:
    return TrainingBatch(0, {name: column[rows] for name, column in batch.columns.items()}, ["agent"] * len(rows))


def test_rows_are_independent_of_each_other_on_this_machine_or_none_is_remembered(
    prior: GRULanguageModel, batch: TrainingBatch
) -> None:
    whole = PriorLikelihoods(prior)
    expected = whole(batch, UNCONDITIONED)
    assert_close(expected, prior.log_probs(batch.tokens, batch.lengths).detach(), atol=1e-4, rtol=1e-4)
    rows = [7, 3, 88, 7]
    if rows_are_independent(prior, ROWS_AT_ONCE):
        alone = PriorLikelihoods(prior)
        assert torch.equal(alone(some(batch, rows), UNCONDITIONED), expected[rows]), "computed beside other rows"
        assert torch.equal(whole(some(batch, rows), UNCONDITIONED), expected[rows]), "remembered"
        assert (alone.computed, whole.computed) == (3, 90)
        alone(batch, UNCONDITIONED)
        assert alone.computed == 90, "the three are known"
    else:
        assert_close(whole(some(batch, rows), UNCONDITIONED), expected[rows], atol=1e-4, rtol=1e-4)
        assert whole.computed == 93


def test_what_is_remembered_of_one_prior_is_that_of_a_run_that_begins_anew(
    prior: GRULanguageModel, batch: TrainingBatch
) -> None:
    # A run that was stopped after the first batch remembers nothing of it when it goes on.
    whole, resumed = PriorLikelihoods(prior), PriorLikelihoods(prior)
    whole(some(batch, list(range(40))), UNCONDITIONED)
    second = some(batch, list(range(20, 90)))
    assert torch.equal(whole(second, UNCONDITIONED), resumed(second, UNCONDITIONED))


def test_the_memory_is_bounded_and_the_oldest_rows_go_first(
    prior: GRULanguageModel, batch: TrainingBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prior_likelihoods, "rows_are_independent", lambda model, n: True)
    small = PriorLikelihoods(prior, most_bytes=20_000)
    small(batch, UNCONDITIONED)
    assert 20 < len(small._known) < 60
    assert small._bytes <= 20_000
    small(some(batch, [0]), UNCONDITIONED)
    before = small.computed
    small(some(batch, [0]), UNCONDITIONED)
    assert small.computed == before, "the newest is known"


def test_nothing_is_remembered_where_rows_depend_on_each_other(batch: TrainingBatch) -> None:
    class Leaning(GRULanguageModel):
        """Adds to each row something of the number of rows."""

        def log_probs(self, tokens: Any, lengths: Any, **keywords: Any) -> Any:
            return super().log_probs(tokens, lengths, **keywords) + 1e-3 * len(tokens)

    torch.manual_seed(0)
    leaning = PriorLikelihoods(Leaning(GRUArchitecture(64, 8, 16, 1)))
    first = leaning(batch, UNCONDITIONED)
    assert torch.equal(leaning(batch, UNCONDITIONED), first)
    assert leaning.computed == 180
    assert torch.equal(leaning(batch, UNCONDITIONED), first)
    assert leaning.computed == 270


def test_rows_with_a_condition_are_computed_each_time(batch: TrainingBatch) -> None:
    torch.manual_seed(0)
    model = Seq2SeqModel(Seq2SeqArchitecture(64, 16, 1, 1, 2))
    few = some(batch, [0, 1, 2])
    likelihoods = PriorLikelihoods(model)
    found = [
        likelihoods(few, Condition(sources=few.tokens[order], source_lengths=few.lengths[order]))
        for order in ([0, 1, 2], [2, 1, 0])
    ]
    assert likelihoods.computed == 6
    assert found[0].shape == few.tokens.shape
