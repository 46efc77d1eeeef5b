"""What every language model does, whatever its architecture."""

from collections.abc import Callable

import pytest
import torch
from torch.testing import assert_close

from molbuffer.samplers.models.condition import ConditionKind
from molbuffer.samplers.models.distribution import UNTRUNCATED, Sampling
from molbuffer.samplers.models.protocol import GenerativeModel, token_mask
from molbuffer.samplers.models.registry import MODELS
from molbuffer.samplers.tokens.vocabulary import END, PAD, START, Vocabulary

MakeModel = Callable[..., GenerativeModel]

SIZES = {
    "gru": {"embedding_size": 16, "hidden_size": 32, "layers": 2},
    "lstm": {"embedding_size": 16, "hidden_size": 32, "layers": 2},
    "lstm with layer norm": {"embedding_size": 16, "hidden_size": 32, "layers": 2, "layer_norm": True},
    "transformer": {"hidden_size": 32, "layers": 2, "heads": 4},
}


@pytest.fixture(scope="module", params=SIZES)
def make_model(request: pytest.FixtureRequest, vocabulary: Vocabulary) -> MakeModel:
    """Makes tiny models of one kind, with random weights under which tokens are far from equally likely."""

    def make(seed: int = 0, **sizes: float) -> GenerativeModel:
        torch.manual_seed(seed)
        given = {"vocabulary_size": len(vocabulary), "max_length": 40, **SIZES[request.param], **sizes}
        model = MODELS[request.param.split()[0]].make(given)
        with torch.no_grad():
            for weight in model.parameters():
                if not weight.any():
                    torch.nn.init.normal_(weight, std=0.2)
            torch.nn.init.normal_(model.head.weight, std=0.6)
        model.eval()
        return model

    return make


def generator(seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_it_is_a_generative_model(make_model: MakeModel) -> None:
    model = make_model()
    assert isinstance(model, GenerativeModel)
    assert model.condition_kind is ConditionKind.NOTHING
    again = MODELS[model.kind].make(model.architecture())
    again.load_state_dict(model.state_dict())
    one, two = (each.sample(5, generator=generator()) for each in (model, again))
    assert torch.equal(one.tokens, two.tokens)


@pytest.mark.parametrize(
    "sampling",
    [UNTRUNCATED, Sampling(0.7), Sampling(1.6), Sampling(top_k=5), Sampling(top_p=0.83), Sampling(0.9, 12, 0.9)],
)
def test_behaviour_log_probs_are_those_the_model_gives_its_draws(make_model: MakeModel, sampling: Sampling) -> None:
    model = make_model()
    drawn = model.sample(64, sampling=sampling, generator=generator())
    again = model.log_probs(drawn.tokens, drawn.lengths, sampling=sampling)
    assert_close(drawn.log_probs, again.detach(), atol=1e-4, rtol=0)
    inside = token_mask(drawn.lengths, drawn.tokens.shape[1])
    assert (drawn.log_probs[inside] < 0).any()
    assert torch.isfinite(drawn.log_probs).all()
    if sampling != UNTRUNCATED:
        untruncated = model.log_probs(drawn.tokens, drawn.lengths)
        assert not torch.allclose(drawn.log_probs, untruncated, atol=1e-2)


def test_sequences_are_well_formed(make_model: MakeModel) -> None:
    drawn = make_model(max_length=12).sample(300, generator=generator())
    tokens, lengths = drawn.tokens, drawn.lengths
    inside = token_mask(lengths, tokens.shape[1])
    assert tokens.shape[1] == lengths.max() == 12
    assert not torch.isin(tokens[inside], torch.tensor([PAD, START])).any()
    assert (tokens[~inside] == PAD).all()
    assert (drawn.log_probs[~inside] == 0).all()
    last = tokens.gather(1, lengths[:, None] - 1)[:, 0]
    truncated = last != END
    assert truncated.any()
    assert not truncated.all()
    assert (lengths[truncated] == 12).all()
    # END closes a row and stands nowhere else.
    assert ((tokens == END).sum(1) == (~truncated).long()).all()


def test_the_width_is_that_of_the_longest(make_model: MakeModel) -> None:
    model = make_model(max_length=500)
    with torch.no_grad():
        model.impossible[END] += 12
    drawn = model.sample(20, generator=generator())
    assert drawn.tokens.shape == drawn.log_probs.shape == (20, int(drawn.lengths.max()))
    assert drawn.lengths.max() < 100


def test_end_has_a_probability(make_model: MakeModel) -> None:
    model = make_model()
    tokens = torch.tensor([[END]])
    expected = model.logits(tokens).log_softmax(-1)[0, 0, END]
    assert_close(model.log_probs(tokens, torch.tensor([1])), expected.reshape(1, 1))


def test_the_same_seed_draws_the_same(make_model: MakeModel) -> None:
    model = make_model()
    one, two, other = (model.sample(30, generator=generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.tokens, two.tokens)
    assert torch.equal(one.log_probs, two.log_probs)
    assert not torch.equal(one.tokens[:, :5], other.tokens[:, :5])


def test_rows_do_not_depend_on_how_a_draw_is_split(make_model: MakeModel) -> None:
    model, seeded = make_model(), generator()
    parts = [model.sample(n, generator=seeded) for n in (10, 20)]
    whole = model.sample(30, generator=generator())
    assert_close(torch.cat([part.lengths for part in parts]), whole.lengths)
    for part, start in zip(parts, (0, 10), strict=True):
        rows, width = slice(start, start + len(part)), part.tokens.shape[1]
        assert torch.equal(part.tokens, whole.tokens[rows, :width])
        assert (whole.tokens[rows, width:] == PAD).all()
        assert_close(part.log_probs, whole.log_probs[rows, :width], atol=1e-4, rtol=0)


@pytest.mark.parametrize("n", [0, 1])
def test_few_rows(make_model: MakeModel, n: int) -> None:
    drawn = make_model().sample(n, generator=generator())
    assert len(drawn) == n
    assert drawn.tokens.shape == drawn.log_probs.shape
    assert drawn.tokens.shape[0] == n


def test_sampling_builds_no_graph_and_log_probs_does(make_model: MakeModel) -> None:
    model = make_model()
    drawn = model.sample(4, generator=generator())
    assert not drawn.log_probs.requires_grad
    model.log_probs(drawn.tokens, drawn.lengths).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_sampling_is_without_dropout_in_any_mode(make_model: MakeModel) -> None:
    model = make_model(dropout=0.5)
    evaluating = model.sample(30, generator=generator())
    model.train()
    training = model.sample(30, generator=generator())
    assert torch.equal(evaluating.tokens, training.tokens)
    assert model.training


def test_training_uses_dropout(make_model: MakeModel) -> None:
    model = make_model(dropout=0.5)
    drawn = model.sample(8, generator=generator())
    plain = model.log_probs(drawn.tokens, drawn.lengths)
    model.train()
    assert not torch.allclose(plain, model.log_probs(drawn.tokens, drawn.lengths))


def test_frequencies_of_the_first_token_are_the_probabilities_of_the_model(make_model: MakeModel) -> None:
    model = make_model(max_length=1)
    n = 20_000
    drawn = model.sample(n, sampling=Sampling(1.3, 6), generator=generator())
    logits = model.logits(torch.zeros(1, 1, dtype=torch.int64))[0, 0].detach() / 1.3
    logits[logits < logits.topk(6).values[-1]] = -torch.inf
    expected = logits.softmax(-1)
    found = torch.bincount(drawn.tokens[:, 0], minlength=len(expected)) / n
    assert_close(found, expected, atol=0.015, rtol=0)
