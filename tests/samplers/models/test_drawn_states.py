"""The gradient of what a model has just drawn, with the states that it drew by and with those computed again."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from molbuffer.samplers.models.distribution import UNTRUNCATED, Sampling
from molbuffer.samplers.models.gru import GRUArchitecture, GRULanguageModel
from molbuffer.samplers.models.protocol import Sequences
from molbuffer.samplers.models.recurrent import drawn_states
from molbuffer.samplers.models.recurrent.drawn_states import DrawnStates, keeping
from molbuffer.samplers.models.recurrent.products import Precision, has_bfloat16, products_in
from molbuffer.training.fit.prior_likelihoods import rows_are_independent

PRECISIONS: list[Precision] = ["float32"]
if has_bfloat16(torch.device("cpu")):
    PRECISIONS += ["mixed", "bfloat16"]


def new_model(hidden: int = 32, dropout: float = 0.0) -> GRULanguageModel:
    torch.manual_seed(2)
    return GRULanguageModel(GRUArchitecture(12, 8, hidden, layers=3, dropout=dropout, max_length=20))


@pytest.fixture
def model() -> GRULanguageModel:
    return new_model()


@pytest.fixture(params=PRECISIONS, autouse=True)
def precision(request: pytest.FixtureRequest) -> Iterator[Precision]:
    with products_in(request.param):
        yield request.param


def draw(model: GRULanguageModel, n: int, seed: int, sampling: Sampling = UNTRUNCATED) -> Sequences:
    return model.sample(n, sampling=sampling, generator=torch.Generator().manual_seed(seed))


def joined(*draws: Sequences) -> tuple[Tensor, Tensor]:
    """Return the tokens and lengths of several draws in another order."""
    width = max(each.tokens.shape[1] for each in draws)
    tokens = torch.cat([torch.nn.functional.pad(each.tokens, (0, width - each.tokens.shape[1])) for each in draws])
    order = torch.randperm(len(tokens), generator=torch.Generator().manual_seed(0))
    return tokens[order], torch.cat([each.lengths for each in draws])[order]


def likelihoods_and_gradient(
    model: GRULanguageModel, tokens: Tensor, lengths: Tensor, kept: DrawnStates | None
) -> list[Tensor]:
    with keeping(kept):
        found = model.log_probs(tokens, lengths)
    return [found.detach(), *torch.autograd.grad(found.sum(1).square().mean(), list(model.parameters()))]


def check(model: GRULanguageModel, rows: tuple[Tensor, Tensor], kept: DrawnStates, used: bool) -> None:
    found = likelihoods_and_gradient(model, *rows, kept)
    assert kept.used is used
    independent = rows_are_independent(model, 20)
    for got, wanted in zip(found, likelihoods_and_gradient(model, *rows, None), strict=True):
        if independent:
            assert torch.equal(got, wanted)
        else:
            assert_close(got, wanted, atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize("hidden", [16, 32])
def test_they_are_the_same_bit_by_bit_where_products_are(hidden: int) -> None:
    model = new_model(hidden)
    kept = DrawnStates(model)
    with keeping(kept):
        first, second = draw(model, 30, 1), draw(model, 7, 2, Sampling(temperature=0.5))
    assert (int(first.lengths.min()), int(first.lengths.max())) == (1, 20), "rows end at each place"
    check(model, joined(first, second), kept, used=True)
    tokens, lengths = joined(first, second)
    check(model, (tokens[3:9], lengths[3:9]), kept, used=True)


def test_likelihoods_without_a_gradient_are_the_same(model: GRULanguageModel) -> None:
    kept = DrawnStates(model)
    with keeping(kept):
        drawn = draw(model, 20, 1)
        with torch.no_grad():
            found = model.log_probs(drawn.tokens, drawn.lengths)
    assert kept.used
    assert_close(found, model.log_probs(drawn.tokens, drawn.lengths).detach())


def test_rows_that_were_drawn_elsewhere_are_computed(model: GRULanguageModel) -> None:
    kept = DrawnStates(model)
    with keeping(kept):
        drawn = draw(model, 20, 1)
    check(model, joined(drawn, draw(model, 1, 5)), kept, used=False)
    tokens, lengths = joined(drawn)
    check(model, (tokens, torch.where(torch.arange(20) == 4, 0, lengths)), kept, used=False)
    check(model, (tokens[:0], lengths[:0]), kept, used=False)


@pytest.mark.parametrize("change", ["weights", "precision", "model", "dropout"])
def test_states_of_other_weights_are_not_used(change: str, precision: Precision) -> None:
    model = new_model(dropout=0.5 * (change == "dropout")).train()
    kept = DrawnStates(model)
    with keeping(kept):
        drawn = draw(model, 20, 1)
    if change == "weights":
        with torch.no_grad():
            model.head.bias.add_(1)
    if change == "model":
        kept.model = torch.nn.Linear(1, 1)
    with products_in("float32" if change == "precision" and precision == "bfloat16" else precision), keeping(kept):
        model.log_probs(drawn.tokens, drawn.lengths)
    assert kept.used is (change == "precision" and precision != "bfloat16")


def test_the_memory_is_bounded(model: GRULanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = DrawnStates(model)
    with keeping(kept):
        draw(model, 20, 1)
    needed = sum(each.kept_bytes for each in kept._draws)
    kept.forget()
    monkeypatch.setattr(drawn_states, "MOST_BYTES", 2 * needed)
    with keeping(kept):
        draws = [draw(model, 20, 1), draw(model, 20, 2), draw(model, 20, 3)]
        assert sum(each.kept_bytes for each in kept._draws) <= 2 * needed
        check(model, joined(draws[2]), kept, used=True)
        kept.forget()
        large = draw(model, 200, 4)
        assert not any(each.kept_bytes for each in kept._draws)
        check(model, joined(large), kept, used=False)


def test_nothing_is_kept_unless_it_is_wanted(model: GRULanguageModel) -> None:
    kept = DrawnStates(model)
    kept.wanted = False
    with keeping(kept):
        drawn = draw(model, 20, 1)
    check(model, joined(drawn), kept, used=False)
