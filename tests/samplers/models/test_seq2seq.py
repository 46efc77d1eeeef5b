"""The conditional encoder-decoder: its likelihoods, and that a row depends on its own source and on nothing else."""

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from molbuffer.samplers.errors import ConditionError
from molbuffer.samplers.models.condition import Condition
from molbuffer.samplers.models.distribution import UNTRUNCATED, Sampling
from molbuffer.samplers.models.protocol import GenerativeModel, token_mask
from molbuffer.samplers.models.registry import MODELS
from molbuffer.samplers.models.seq2seq import Seq2SeqArchitecture, Seq2SeqModel
from molbuffer.samplers.tokens.vocabulary import END, PAD, START

TOKENS = 9


def make_model(seed: int = 0, dropout: float = 0.0, max_length: int = 40) -> Seq2SeqModel:
    """A tiny model with random weights, large enough that tokens are far from equally likely and sources matter."""
    torch.manual_seed(seed)
    model = Seq2SeqModel(
        Seq2SeqArchitecture(
            TOKENS, hidden_size=16, encoder_layers=2, decoder_layers=2, heads=2, dropout=dropout, max_length=max_length
        )
    )
    with torch.no_grad():
        model.head.weight.mul_(20)
        for name, parameter in model.named_parameters():
            if name.endswith("out.weight"):  # zeros at first: nothing would be read of the source
                parameter.normal_(std=0.2)
    return model.eval()


def sources(lengths: list[int], seed: int = 3, width: int | None = None) -> Condition:
    """Random sources of given lengths, END included, padded to a width."""
    width = width or max(lengths)
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.full((len(lengths), width), PAD)
    for row, length in enumerate(lengths):
        tokens[row, : length - 1] = torch.randint(3, TOKENS, (length - 1,), generator=generator)
        tokens[row, length - 1] = END
    return Condition(sources=tokens, source_lengths=torch.tensor(lengths))


def generator(seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_it_is_a_generative_model_that_can_be_made_again() -> None:
    model: GenerativeModel = make_model()
    assert isinstance(model, GenerativeModel)
    again = MODELS[model.kind].make(model.architecture())
    again.load_state_dict(model.state_dict())
    condition = sources([5, 9])
    tokens, lengths = torch.tensor([[3, 4, END], [5, END, PAD]]), torch.tensor([3, 2])
    assert torch.equal(
        again.log_probs(tokens, lengths, condition=condition), model.log_probs(tokens, lengths, condition=condition)
    )


def test_by_default_it_has_no_more_than_4_million_parameters() -> None:
    model = Seq2SeqModel(Seq2SeqArchitecture(vocabulary_size=100))
    assert sum(parameter.numel() for parameter in model.parameters()) < 4_000_000


@pytest.mark.parametrize(
    "sampling",
    [UNTRUNCATED, Sampling(0.7), Sampling(1.6), Sampling(top_k=3), Sampling(top_p=0.83), Sampling(0.9, 5, 0.9)],
)
def test_r21_behaviour_log_probs_are_those_the_model_gives_its_draws(sampling: Sampling) -> None:
    model, condition = make_model(), sources([3 + row % 12 for row in range(64)])
    drawn = model.sample(64, condition=condition, sampling=sampling, generator=generator())
    again = model.log_probs(drawn.tokens, drawn.lengths, condition=condition, sampling=sampling)
    assert_close(drawn.log_probs, again.detach(), atol=1e-4, rtol=0)
    inside = token_mask(drawn.lengths, drawn.tokens.shape[1])
    assert torch.isfinite(drawn.log_probs).all()
    assert (drawn.log_probs[~inside] == 0).all()
    assert len(drawn.lengths.unique()) > 3  # rows left the cache on the way
    if sampling != UNTRUNCATED:
        untruncated = model.log_probs(drawn.tokens, drawn.lengths, condition=condition)
        assert not torch.allclose(drawn.log_probs, untruncated, atol=1e-2)


def test_probabilities_of_all_short_targets_sum_to_one() -> None:
    model = make_model(max_length=3)
    ordinary = range(END + 1, TOKENS)
    rows = [
        [END],
        *([a, END] for a in ordinary),
        *([a, b, c] for a in ordinary for b in ordinary for c in (*ordinary, END)),
    ]
    tokens, lengths = torch.full((len(rows), 3), PAD), torch.tensor([len(row) for row in rows])
    for at, row in enumerate(rows):
        tokens[at, : len(row)] = torch.tensor(row)
    one = sources([7])
    condition = Condition(
        sources=one.sources.expand(len(rows), -1), source_lengths=one.source_lengths.expand(len(rows))
    )
    log_probs = model.log_probs(tokens, lengths, condition=condition).sum(1)
    assert float(log_probs.exp().sum().detach()) == pytest.approx(1, abs=1e-5)


def test_a_row_depends_on_its_own_source_whatever_is_beside_it_and_however_far_it_is_padded() -> None:
    model, lengths = make_model(), [4, 17, 2, 9]
    together = sources(lengths, width=30)
    tokens = torch.randint(3, TOKENS, (4, 6), generator=generator())
    found = model.log_probs(tokens, torch.full((4,), 6), condition=together)
    for row, length in enumerate(lengths):
        alone = Condition(
            sources=together.sources[row : row + 1, :length], source_lengths=together.source_lengths[row : row + 1]
        )
        expected = model.log_probs(tokens[row : row + 1], torch.tensor([6]), condition=alone)
        assert_close(found[row : row + 1], expected, atol=1e-5, rtol=0)
    # What stands after a source's end is never looked at.
    garbage = together.sources.clone()
    garbage[~token_mask(together.source_lengths, 30)] = TOKENS - 1
    other = Condition(sources=garbage, source_lengths=together.source_lengths)
    assert_close(model.log_probs(tokens, torch.full((4,), 6), condition=other), found, atol=1e-6, rtol=0)


def test_draws_depend_on_their_own_source_and_number_alone() -> None:
    model = make_model()
    condition = sources([3 + row % 9 for row in range(30)])
    whole = model.sample(30, condition=condition, generator=generator())
    seeded = generator()
    parts = [
        model.sample(n, condition=condition[at], generator=seeded) for n, at in [(10, slice(10)), (20, slice(10, 30))]
    ]
    assert torch.equal(torch.cat([part.lengths for part in parts]), whole.lengths)
    assert torch.equal(parts[1].tokens, whole.tokens[10:, : parts[1].tokens.shape[1]])
    again = model.sample(30, condition=condition, generator=generator())
    assert torch.equal(again.tokens, whole.tokens) and torch.equal(again.log_probs, whole.log_probs)
    turned = Condition(sources=condition.sources.flip(0), source_lengths=condition.source_lengths.flip(0))
    other = model.sample(30, condition=turned, generator=generator())
    assert not torch.equal(other.tokens[:, :4], whole.tokens[:, :4])


def test_tokens_see_no_later_token_and_the_order_of_the_source() -> None:
    model, condition = make_model(), sources([8])
    first, lengths = torch.tensor([[3, 4, 5, 6]]), torch.tensor([4])
    changed = torch.tensor([[3, 4, 7, 8]])
    one, two = (model.log_probs(tokens, lengths, condition=condition) for tokens in (first, changed))
    assert_close(one[:, :2], two[:, :2])
    assert abs(float((one - two)[0, 3].detach())) > 1e-4
    source = condition.sources.clone()
    source[0, :7] = source[0, :7].flip(0)
    other = model.log_probs(
        first, lengths, condition=Condition(sources=source, source_lengths=condition.source_lengths)
    )
    assert not torch.allclose(one, other, atol=1e-4)


def test_sampling_is_without_dropout_and_training_with_it() -> None:
    model, condition = make_model(dropout=0.5), sources([6] * 20)
    evaluating = model.sample(20, condition=condition, generator=generator())
    given = {"tokens": evaluating.tokens, "lengths": evaluating.lengths, "condition": condition}
    plain = model.log_probs(**given)
    model.train()
    assert torch.equal(model.sample(20, condition=condition, generator=generator()).tokens, evaluating.tokens)
    assert model.training
    assert not torch.allclose(model.log_probs(**given), plain)
    with pytest.raises(ConditionError):
        model.sample(20, generator=generator())
    assert model.training


@pytest.mark.parametrize("n", [0, 1])
def test_few_rows(n: int) -> None:
    condition = sources([5])[slice(n)]
    drawn = make_model().sample(n, condition=condition, generator=generator())
    assert len(drawn) == n
    assert drawn.tokens.shape == drawn.log_probs.shape and drawn.tokens.shape[0] == n


def test_sequences_end_at_the_longest_length() -> None:
    drawn = make_model(max_length=5).sample(200, condition=sources([30] * 200), generator=generator())
    last = drawn.tokens.gather(1, drawn.lengths[:, None] - 1)[:, 0]
    assert drawn.tokens.shape[1] == 5
    assert (drawn.lengths[last != END] == 5).all() and (last != END).any()
    assert not torch.isin(drawn.tokens[token_mask(drawn.lengths, 5)], torch.tensor([PAD, START])).any()


@pytest.mark.parametrize("lengths", [None, [5], [5, 0]])
def test_without_a_source_for_each_row_there_is_an_error(lengths: list[int] | None) -> None:
    condition = Condition() if lengths is None else sources([max(n, 1) for n in lengths])
    if lengths == [5, 0]:
        condition = Condition(sources=condition.sources, source_lengths=torch.tensor(lengths))
    with pytest.raises(ConditionError, match="source"):
        make_model().log_probs(torch.tensor([[END], [END]]), torch.tensor([1, 1]), condition=condition)


def test_every_parameter_learns() -> None:
    model, condition = make_model(), sources([4, 8, 6])
    drawn = model.sample(3, condition=condition, generator=generator())
    model.log_probs(drawn.tokens, drawn.lengths, condition=condition).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_it_learns_to_copy() -> None:
    torch.manual_seed(1)
    model = Seq2SeqModel(
        Seq2SeqArchitecture(TOKENS, hidden_size=32, encoder_layers=1, decoder_layers=1, heads=2, max_length=8)
    )
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    seeded = generator()

    def batch() -> tuple[Tensor, Tensor]:
        tokens = torch.randint(3, TOKENS, (64, 6), generator=seeded)
        tokens[:, 5] = END
        return tokens, torch.full((64,), 6)

    for _ in range(300):
        tokens, lengths = batch()
        condition = Condition(sources=tokens, source_lengths=lengths)
        loss = -model.log_probs(tokens, lengths, condition=condition).sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    tokens, lengths = batch()
    condition = Condition(sources=tokens, source_lengths=lengths)
    drawn = model.sample(64, condition=condition, generator=seeded)
    copied = (drawn.lengths == 6) & (drawn.tokens[:, :6] == tokens[:, : drawn.tokens.shape[1]]).all(1)
    assert float(copied.float().mean()) > 0.9
    assert math.exp(-float(loss.detach())) > 0.9
