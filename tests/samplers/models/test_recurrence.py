from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from molbuffer.samplers.models.distribution import UNTRUNCATED
from molbuffer.samplers.models.gru import GRUArchitecture, GRULanguageModel
from molbuffer.samplers.models.recurrent.gated import gated_recurrence, tanh_
from molbuffer.samplers.models.recurrent.packing import Packing
from molbuffer.samplers.models.recurrent.products import (
    Precision,
    Product,
    has_bfloat16,
    linear,
    products_in,
    rounded_up,
)
from molbuffer.samplers.policies.drawing import draw_rows
from molbuffer.samplers.policies.policy import Policy
from molbuffer.samplers.tokens import Vocabulary

STEPS, ROWS, INPUT, HIDDEN = 7, 3, 4, 5


def arguments(dtype: torch.dtype) -> tuple[torch.nn.GRU, Tensor]:
    torch.manual_seed(3)
    gru = torch.nn.GRU(INPUT, HIDDEN).to(dtype)
    with torch.no_grad():
        for parameter in gru.parameters():
            parameter.mul_(3)  # far enough from 0 for the gates to be curved
    return gru, torch.randn(STEPS, ROWS, INPUT, dtype=dtype, requires_grad=True)


def ours(gru: torch.nn.GRU, inputs: Tensor) -> Tensor:
    gates = torch.nn.functional.linear(inputs, gru.weight_ih_l0, gru.bias_ih_l0)
    return whole(gates, gru.weight_hh_l0, gru.bias_hh_l0)


def whole(gates: Tensor, weight: Tensor, bias: Tensor, first: Tensor | None = None) -> Tensor:
    """Return the states of rows that all have a token at each step."""
    steps, rows, _ = gates.shape
    return gated_recurrence(gates.flatten(0, 1), weight, bias, [rows] * steps, first).unflatten(0, (steps, rows))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_values_and_gradients_are_those_of_torch(dtype: torch.dtype, tolerance: float) -> None:
    gru, inputs = arguments(dtype)
    leaves = [inputs, *gru.parameters()]
    upstream = torch.randn(STEPS, ROWS, HIDDEN, dtype=dtype)
    expected = gru(inputs)[0]
    expected_gradients = torch.autograd.grad(expected, leaves, upstream)
    found = ours(gru, inputs)
    assert_close(found, expected, atol=tolerance, rtol=tolerance)
    for got, wanted in zip(torch.autograd.grad(found, leaves, upstream), expected_gradients, strict=True):
        assert_close(got, wanted, atol=10 * tolerance, rtol=10 * tolerance)


def test_the_gradient_is_that_of_finite_differences() -> None:
    torch.manual_seed(0)
    gates = torch.randn(4, 2, 9, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(9, 3, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(whole, (gates, weight, bias))


def test_the_first_state_has_values_and_gradients_as_in_torch() -> None:
    gru, inputs = arguments(torch.float64)
    first = torch.randn(ROWS, HIDDEN, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(STEPS, ROWS, HIDDEN, dtype=torch.float64)
    gates = torch.nn.functional.linear(inputs, gru.weight_ih_l0, gru.bias_ih_l0)
    found = whole(gates, gru.weight_hh_l0, gru.bias_hh_l0, first)
    expected = gru(inputs, first[None])[0]
    assert_close(found, expected, atol=1e-12, rtol=1e-12)
    leaves = [inputs, first, *gru.parameters()]
    for got, wanted in zip(
        torch.autograd.grad(found, leaves, upstream), torch.autograd.grad(expected, leaves, upstream), strict=True
    ):
        assert_close(got, wanted, atol=1e-11, rtol=1e-11)


def test_only_the_last_state_may_matter() -> None:
    gru, inputs = arguments(torch.float64)
    (expected,) = torch.autograd.grad(gru(inputs)[0][-1].sum(), inputs)
    (found,) = torch.autograd.grad(ours(gru, inputs)[-1].sum(), inputs)
    assert_close(found, expected, atol=1e-12, rtol=1e-9)


def test_one_step_by_hand() -> None:
    gates = torch.tensor([[[0.0, 1.0, 0.5]]])
    weight, bias = torch.zeros(3, 1), torch.tensor([0.0, 0.0, 2.0])
    # r = 0.5, z = σ(1), n = tanh(0.5 + 0.5 · 2); from state 0 the new state is (1 − z) n
    expected = (1 - torch.sigmoid(torch.tensor(1.0))) * torch.tanh(torch.tensor(1.5))
    assert_close(whole(gates, weight, bias), expected.reshape(1, 1, 1))


def test_autocast_takes_the_products_in_half_precision_only() -> None:
    gru, inputs = arguments(torch.float32)
    leaves = [inputs, *gru.parameters()]
    upstream = torch.randn(STEPS, ROWS, HIDDEN)
    expected = ours(gru, inputs)
    expected_gradients = torch.autograd.grad(expected, leaves, upstream)
    with torch.autocast("cpu", torch.bfloat16):
        found = ours(gru, inputs)
    assert found.dtype == torch.float32
    assert not torch.equal(found, expected)
    # bfloat16 has 8 bits of precision: 2 ** -8 for a product, and some more after seven steps of them.
    assert_close(found, expected, atol=0.03, rtol=0)
    for got, wanted in zip(torch.autograd.grad(found, leaves, upstream), expected_gradients, strict=True):
        assert got.dtype == wanted.dtype
        assert torch.linalg.vector_norm(got - wanted) < 0.03 * torch.linalg.vector_norm(wanted)


@pytest.mark.parametrize("lengths", [[3, 7, 0, 7, 1], [0, 0], [4]])
def test_packed_rows_have_the_states_and_gradients_of_each_row_alone(lengths: list[int]) -> None:
    gru, _ = arguments(torch.float64)
    rows = torch.randn(len(lengths), STEPS, INPUT, dtype=torch.float64, requires_grad=True)
    packing = Packing.of(torch.tensor(lengths), STEPS)
    packed = rows.flatten(0, 1)[packing.places]
    gates = torch.nn.functional.linear(packed, gru.weight_ih_l0, gru.bias_ih_l0)
    found = packing.unpack(gated_recurrence(gates, gru.weight_hh_l0, gru.bias_hh_l0, packing.sizes))
    expected = torch.zeros(len(lengths), STEPS, HIDDEN, dtype=torch.float64)
    for row, length in enumerate(lengths):
        if length:
            expected[row, :length] = gru(rows[row, :length, None])[0][:, 0]
    assert_close(found, expected, atol=1e-12, rtol=1e-12)
    leaves = [rows, *gru.parameters()]
    upstream = torch.randn_like(expected)
    if any(lengths):
        wanted = torch.autograd.grad(expected, leaves, upstream)
        for got, each in zip(torch.autograd.grad(found, leaves, upstream), wanted, strict=True):
            assert_close(got, each, atol=1e-11, rtol=1e-11)


def test_a_packing_knows_the_last_token_and_the_row_of_each() -> None:
    lengths = torch.tensor([2, 0, 3])
    packing = Packing.of(lengths, 4)
    tokens = torch.tensor([[1, 2, 0, 0], [0, 0, 0, 0], [5, 6, 7, 0]])
    assert packing.order.tolist() == [2, 0, 1]
    assert packing.sizes == [2, 2, 1]
    assert packing.pack(tokens).tolist() == [5, 1, 6, 2, 7]
    assert packing.unpack(packing.pack(tokens)).tolist() == tokens.tolist()
    assert packing.pack_rows(torch.tensor([10, 11, 12])).tolist() == [12, 10, 12, 10, 12]
    last = packing.last(packing.pack(tokens).float()[:, None], lengths)
    assert last[:, 0].tolist() == [2, 0, 7]


@pytest.mark.parametrize("one_dnn", [True, False])
def test_products_and_their_gradients_are_those_of_torch(one_dnn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not one_dnn:
        monkeypatch.setattr("molbuffer.samplers.models.recurrent.products._by_onednn", lambda weight: False)
    torch.manual_seed(1)
    rows, weight, bias = (torch.randn(*size, requires_grad=True) for size in ((9, 6), (8, 6), (8,)))
    assert_close(Product(weight, bias)(rows[:0]), torch.empty(0, 8))
    found, expected = linear(rows, weight, bias), torch.nn.functional.linear(rows, weight, bias)
    assert_close(found, expected)
    upstream = torch.randn(9, 8)
    leaves = (rows, weight, bias)
    for got, wanted in zip(
        torch.autograd.grad(found, leaves, upstream), torch.autograd.grad(expected, leaves, upstream), strict=True
    ):
        assert_close(got, wanted)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="only oneDNN compiles products for their sizes")
def test_batches_of_other_numbers_of_tokens_take_products_of_few_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """oneDNN keeps what it has compiled for each size: a training must not ask for another one at each step."""
    taken, call = set(), Product.__call__

    def noted(product: Product, rows: Tensor) -> Tensor:
        taken.add((rows.shape, product._transposed.shape))
        return call(product, rows)

    monkeypatch.setattr(Product, "__call__", noted)
    torch.manual_seed(1)
    weight, bias = torch.randn(12, INPUT, requires_grad=True), torch.randn(12, requires_grad=True)
    recurrent = torch.randn(12, 4, requires_grad=True)
    for steps in (500, 511, 513, 530, 577, 599):
        gates = linear(torch.randn(steps * 2, INPUT, requires_grad=True), weight, bias)
        gated_recurrence(gates, recurrent, bias, [2] * steps).sum().backward()
    large = {rows for rows, _ in taken if rows[0] > 16}
    assert {rounded_up(2 * steps) for steps in range(500, 600)} == {1024, 1152, 1280}
    # Forward; the gradients of the rows and of the weights, which are products of their transposes.
    assert large == {(n, size) for n in (1024, 1152, 1280) for size in (INPUT, 12)}
    assert len(taken) < 20


@pytest.mark.parametrize("n", [0, 1, 16, 17, 255, 1000, 2500, 100_001])
def test_rows_are_rounded_up_by_an_eighth_at_most(n: int) -> None:
    assert n <= rounded_up(n) <= max(n + 15, n * 9 / 8)


def test_the_hyperbolic_tangent_has_a_rounding_error_at_most() -> None:
    x = torch.cat([torch.linspace(-30, 30, 4001), torch.linspace(-1e-3, 1e-3, 1001)])
    assert (tanh_(x.clone()).double() - x.double().tanh()).abs().max() < 2e-7
    assert tanh_(torch.tensor([-torch.inf, torch.inf])).tolist() == [-1, 1]


def test_only_a_processor_has_bfloat16() -> None:
    assert not has_bfloat16(torch.device("cuda"))


def test_the_gradient_alone_can_be_in_half_precision() -> None:
    gru, inputs = arguments(torch.float32)
    leaves = [inputs, *gru.parameters()]
    upstream = torch.randn(STEPS, ROWS, HIDDEN)
    expected = ours(gru, inputs)
    expected_gradients = torch.autograd.grad(expected, leaves, upstream)
    with products_in("mixed"):
        found = ours(gru, inputs)
    assert torch.equal(found, expected)
    gradients = torch.autograd.grad(found, leaves, upstream)
    assert not torch.equal(gradients[0], expected_gradients[0])
    for got, wanted in zip(gradients, expected_gradients, strict=True):
        assert got.dtype == wanted.dtype
        assert torch.nn.functional.cosine_similarity(got.flatten(), wanted.flatten(), 0) > 0.9995


def test_all_products_can_be_in_half_precision() -> None:
    gru, inputs = arguments(torch.float32)
    expected = ours(gru, inputs)
    with products_in("bfloat16"):
        found = ours(gru, inputs)
    assert found.dtype == torch.float32
    assert not torch.equal(found, expected)
    assert_close(found, expected, atol=0.03, rtol=0)


def test_a_draw_and_its_likelihood_are_in_one_precision(vocabulary: Vocabulary) -> None:
    torch.manual_seed(3)
    model = GRULanguageModel(GRUArchitecture(len(vocabulary), 16, 32, 2, max_length=20)).eval()
    policy = Policy.of(model, vocabulary)
    precisions: tuple[Precision, ...] = ("float32", "bfloat16")
    rows = {
        precision: draw_rows(
            replace(policy, precision=precision), 64, UNTRUNCATED, torch.Generator().manual_seed(1)
        ).rows
        for precision in precisions
    }
    assert not np.array_equal(rows["float32"].log_probs, rows["bfloat16"].log_probs)
    for precision, drawn in rows.items():
        with torch.no_grad(), products_in(precision):
            found = model.log_probs(torch.from_numpy(drawn.tokens).long(), torch.from_numpy(drawn.lengths).long())
        # Bit by bit where a product does not depend on the number of rows.
        assert_close(found.numpy(), drawn.log_probs, atol=1e-5 if precision == "float32" else 1e-2, rtol=0)
