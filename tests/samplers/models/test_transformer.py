import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from molbuffer.samplers.models.attention.transformer_block import CACHE_BLOCK, KeyValueCache
from molbuffer.samplers.models.transformer import TransformerArchitecture, TransformerLanguageModel
from molbuffer.samplers.tokens.vocabulary import END, PAD, START

V, WIDTH, HEADS = 9, 12, 2


def make_model(max_length: int = 40, seed: int = 0) -> TransformerLanguageModel:
    torch.manual_seed(seed)
    model = TransformerLanguageModel(
        TransformerArchitecture(V, hidden_size=WIDTH, layers=2, heads=HEADS, max_length=max_length)
    )
    with torch.no_grad():
        for weight in model.parameters():
            torch.nn.init.normal_(weight, std=0.4)
    return model.eval()


def plain_logits(model: TransformerLanguageModel, prefix: list[int]) -> Tensor:
    """The logits after a prefix, written out position by position, with rotations as complex numbers."""
    size = WIDTH // HEADS

    def norm(x: Tensor) -> Tensor:
        return x / (x * x).mean(-1, keepdim=True).add(torch.finfo(torch.float32).eps).sqrt()

    def turned(x: Tensor, position: int) -> Tensor:
        angles = [position * 10_000 ** (-2 * i / size) for i in range(size // 2)]
        turn = torch.tensor([complex(math.cos(a), math.sin(a)) for a in angles], dtype=torch.complex64)
        product = torch.complex(x[: size // 2], x[size // 2 :]) * turn
        return torch.cat([product.real, product.imag])

    x = model.embedding.weight[prefix]
    for block in model.blocks:
        q, k, v = (norm(x) @ block.attention_in.weight.T).chunk(3, 1)
        heads = []
        for head in range(HEADS):
            part = slice(head * size, (head + 1) * size)
            queries = [turned(row[part], i) for i, row in enumerate(q)]
            keys = [turned(row[part], i) for i, row in enumerate(k)]
            mixed = []
            for i in range(len(prefix)):
                weights = torch.stack([queries[i] @ keys[j] / math.sqrt(size) for j in range(i + 1)]).softmax(0)
                mixed.append(weights @ v[: i + 1, part])
            heads.append(torch.stack(mixed))
        x = x + torch.cat(heads, 1) @ block.attention_out.weight.T
        x = x + (norm(x) @ block.perceptron_in.weight.T).clamp(min=0) ** 2 @ block.perceptron_out.weight.T
    return norm(x[-1]) @ model.head.weight.T


def test_the_logits_are_those_of_the_formula() -> None:
    model = make_model()
    row = [3, 5, 4, 8, 5, END]
    found = model.logits(torch.tensor([row])).detach()[0]
    for position in range(len(row)):
        expected = plain_logits(model, [START, *row[:position]]).detach()
        expected[[PAD, START]] = -torch.inf
        assert_close(found[position], expected, atol=1e-4, rtol=1e-4)


def test_a_token_does_not_depend_on_those_after_it() -> None:
    model = make_model()
    one, two = torch.tensor([[3, 4, 5, 6, 7, END]]), torch.tensor([[3, 4, 5, 8, 8, 8]])
    assert_close(model.logits(one)[:, :4], model.logits(two)[:, :4])
    assert not torch.allclose(model.logits(one)[:, 4, 3:], model.logits(two)[:, 4, 3:])


def test_the_cache_holds_through_growth_and_rewriting() -> None:
    model = make_model(max_length=3 * CACHE_BLOCK)
    with torch.no_grad():
        model.impossible[END] -= 2.5
    drawn = model.sample(60, generator=torch.Generator().manual_seed(1))
    lengths = drawn.lengths.sort().values
    assert lengths[15] < CACHE_BLOCK < 2 * CACHE_BLOCK < lengths[45], "rows end before and after growth"
    assert_close(drawn.log_probs, model.log_probs(drawn.tokens, drawn.lengths).detach(), atol=1e-4, rtol=0)


def test_rows_attend_as_if_no_other_had_ended() -> None:
    torch.manual_seed(0)
    cache, whole = KeyValueCache(8), KeyValueCache(8)
    rows, ended = torch.arange(8), {1: [6], 2: [0], 3: [3, 4], 4: [1, 2, 5, 7]}
    for step in range(5):
        queries, keys, values = torch.randn(3, 8, HEADS, 1, 4)
        expected = whole.attend(queries, keys, values)
        assert_close(cache.attend(queries[rows], keys[rows], values[rows]), expected[rows])
        growing = ~torch.isin(rows, torch.tensor(ended.get(step, []), dtype=torch.int64))
        rows = rows[growing]
        cache.keep(growing)
    assert len(rows) == 0


def test_rows_longer_than_the_longest_draw_have_a_likelihood() -> None:
    model, longer = make_model(max_length=4), make_model(max_length=40)
    tokens, lengths = torch.tensor([[3, 4, 5, 6, 7, 8, END]]), torch.tensor([7])
    assert_close(model.log_probs(tokens, lengths), longer.log_probs(tokens, lengths))


@pytest.mark.parametrize(("hidden_size", "heads"), [(30, 4), (12, 4), (12, 0)])
def test_heads_that_do_not_divide_the_width_are_refused(hidden_size: int, heads: int) -> None:
    with pytest.raises(ValueError, match=f"hidden_size {hidden_size} .*heads {heads}"):
        TransformerArchitecture(V, hidden_size=hidden_size, heads=heads)
