"""The recurrent part of a GRU layer over packed rows, with an explicit gradient.

torch's own backward pass computes the weight gradient at every step. Here each step of the backward pass computes only
the gradient of the previous state, and the weight gradient is one matrix product over all tokens at the end. States and
gates are in the precision of the weights, matrix products in that of ``products``.
``benchmarks/training/bench_training_step.py`` compares the speed with ``torch.nn.GRU``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from molbuffer.samplers.models.recurrent.drawn_states import LayerStates
from molbuffer.samplers.models.recurrent.products import Precisions, Product, rounded_up, weight_gradient


def gated_recurrence(
    gates: Tensor,
    weight: Tensor,
    bias: Tensor,
    sizes: Sequence[int],
    first: Tensor | None = None,
    known: LayerStates | None = None,
) -> Tensor:
    """Return the states of a GRU layer over packed rows.

    With gates x_r, x_z, x_n from the input and the state's products h_r, h_z, h_n = W h + b, in torch's convention:
    r = σ(x_r + h_r), z = σ(x_z + h_z), n = tanh(x_n + r ⊙ h_n), and the new state is (1 − z) ⊙ n + z ⊙ h.

    Args:
        gates: [T, 3H], the input's part of the reset, update and candidate gates of each token, bias included.
        weight: [3H, H], the weight from the state to the gates.
        bias: [3H], the bias of that weight.
        sizes: the number of rows that have a token at each step; it never increases, and the sum is T.
        first: [n, H], the state before the first step; zeros by default.
        known: the kept states of the layer for these tokens; with them, the gates are not read, and only the gradient
            is computed.

    Returns:
        The states [T, H] after each token.
    """
    gates = gates.to(weight.dtype)  # under autocast they come in its precision
    rows, hidden = (sizes[0] if sizes else 0), weight.shape[1]
    start = gates.new_zeros(rows, hidden) if first is None else first[:rows].to(gates.dtype)
    if torch.is_grad_enabled() and any(each.requires_grad for each in (gates, weight, bias, start)):
        arguments = (gates, weight, bias, start, sizes, Precisions.of(weight), known)
        states: Tensor = _GatedRecurrence.apply(*arguments)  # type: ignore[no-untyped-call]
        return states
    if known is not None:
        return known.states
    product = Product(weight, bias, Precisions.of(weight).forward)
    states, state = gates.new_empty(len(gates), hidden), start
    for begin, end, n in _steps(sizes):
        made = next_states(gates[begin:end], product(state[:n].to(product.dtype)), state[:n], out=states[begin:end])
        state = made.states
    return states


def next_states(gates: Tensor, product: Tensor, state: Tensor, out: Tensor | None = None) -> LayerStates:
    """Return the states after a step.

    Args:
        gates: [n, 3H], the input's part of the gates.
        product: [n, 3H], the product of the previous states with the weight.
        state: [n, H], the previous states.
        out: the tensor [n, H] for the new states; None makes a new one.
    """
    hidden = state.shape[1]
    reset_update = (gates[:, : 2 * hidden] + product[:, : 2 * hidden]).sigmoid_()
    reset, update = reset_update.chunk(2, 1)
    from_state = product[:, 2 * hidden :].to(gates.dtype)
    candidate = tanh_(torch.addcmul(gates[:, 2 * hidden :], reset, from_state))
    return LayerStates(torch.lerp(candidate, state, update, out=out), reset_update, candidate, from_state)


def tanh_(x: Tensor) -> Tensor:
    """Replace x by its hyperbolic tangent, 2 σ(2x) − 1: on processors torch's σ takes a tenth of the time of its tanh.

    The absolute error is at most that of one rounding of a number near 1.
    """
    return x.mul_(2).sigmoid_().mul_(2).sub_(1)


def _steps(sizes: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Yield the first and the last place, exclusive, of each step, and its rows."""
    begin = 0
    for n in sizes:
        yield begin, begin + n, n
        begin += n


class _GatedRecurrence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        gates: Tensor,
        weight: Tensor,
        bias: Tensor,
        first: Tensor,
        sizes: Sequence[int],
        precisions: Precisions,
        known: LayerStates | None,
    ) -> Tensor:
        made = _GatedRecurrence._computed(gates, weight, bias, first, sizes, precisions) if known is None else known
        ctx.save_for_backward(weight, first, *made)
        ctx.sizes, ctx.gradient = sizes, precisions.gradient
        return made.states

    @staticmethod
    def _computed(
        gates: Tensor, weight: Tensor, bias: Tensor, first: Tensor, sizes: Sequence[int], precisions: Precisions
    ) -> LayerStates:
        tokens, hidden = len(gates), weight.shape[1]
        product = Product(weight, bias, precisions.forward)
        states, state = gates.new_empty(tokens, hidden), first
        reset_update, candidate = gates.new_empty(tokens, 2 * hidden), gates.new_empty(tokens, hidden)
        from_state = gates.new_empty(tokens, hidden)
        for begin, end, n in _steps(sizes):
            before, step = state[:n], slice(begin, end)
            made = product(before.to(product.dtype))
            r_z = torch.add(gates[step, : 2 * hidden], made[:, : 2 * hidden], out=reset_update[step]).sigmoid_()
            h_n = from_state[step].copy_(made[:, 2 * hidden :])
            n_t = tanh_(torch.addcmul(gates[step, 2 * hidden :], r_z[:, :hidden], h_n, out=candidate[step]))
            state = torch.lerp(n_t, before, r_z[:, hidden:], out=states[step])
        return LayerStates(states, reset_update, candidate, from_state)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None, None, None]:
        weight, first, states, reset_update, candidate, from_state = ctx.saved_tensors
        (tokens, hidden), dtype = candidate.shape, ctx.gradient
        to_state = Product(weight.T, dtype=dtype)
        # The gradients of the input's part and of the state's part of the gates differ in the candidate only.
        by_input = candidate.new_empty(tokens, 3 * hidden)
        # With the rows of zeros that the gradient of the weight takes.
        by_state = candidate.new_empty(rounded_up(tokens), 3 * hidden, dtype=dtype)
        before = candidate.new_empty(rounded_up(tokens), hidden, dtype=dtype)
        by_state[tokens:], before[tokens:] = 0, 0
        carried = candidate.new_zeros(0, hidden)
        steps = list(_steps(ctx.sizes))
        # Each step computes on a few rows, which stay in the cache of the CPU from one line to the next.
        for number in reversed(range(len(steps))):
            begin, end, n = steps[number]
            earlier = first[:n] if number == 0 else states[steps[number - 1][0] :][:n]
            reset, update = reset_update[begin:end].chunk(2, 1)
            n_t, h_n = candidate[begin:end], from_state[begin:end]
            by_reset, by_update, by_candidate = by_input[begin:end].chunk(3, 1)
            by_output = upstream[0][begin:end].clone()
            by_output[: len(carried)] += carried  # rows that end at this step have no later gradient
            by_n_t = torch.addcmul(by_output, by_output, update, value=-1)
            torch.addcmul(by_n_t, by_n_t * n_t, n_t, value=-1, out=by_candidate)
            torch.ops.aten.sigmoid_backward.grad_input(by_candidate * h_n, reset, grad_input=by_reset)
            torch.ops.aten.sigmoid_backward.grad_input(
                torch.sub(earlier, n_t).mul_(by_output), update, grad_input=by_update
            )
            by_state[begin:end, : 2 * hidden] = by_input[begin:end, : 2 * hidden]
            by_state[begin:end, 2 * hidden :] = by_candidate * reset
            before[begin:end] = earlier
            carried = by_output.mul_(update).add_(to_state(by_state[begin:end]))
        by_first = torch.zeros_like(first)
        by_first[: len(carried)] = carried
        by_bias = torch.cat(
            [by_input[:, : 2 * hidden].sum(0), by_state[:tokens, 2 * hidden :].sum(0, dtype=weight.dtype)]
        )
        return by_input, weight_gradient(by_state, before, weight.dtype), by_bias, by_first, None, None, None
