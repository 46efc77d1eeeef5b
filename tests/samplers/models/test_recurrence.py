import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from molbuffer.samplers.models.gru_recurrence import gated_recurrence

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
    return gated_recurrence(gates, gru.weight_hh_l0, gru.bias_hh_l0)


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
    assert torch.autograd.gradcheck(gated_recurrence, (gates, weight, bias))


def test_the_first_state_has_values_and_gradients_as_in_torch() -> None:
    gru, inputs = arguments(torch.float64)
    first = torch.randn(ROWS, HIDDEN, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(STEPS, ROWS, HIDDEN, dtype=torch.float64)
    gates = torch.nn.functional.linear(inputs, gru.weight_ih_l0, gru.bias_ih_l0)
    found = gated_recurrence(gates, gru.weight_hh_l0, gru.bias_hh_l0, first)
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
    assert_close(gated_recurrence(gates, weight, bias), expected.reshape(1, 1, 1))


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
