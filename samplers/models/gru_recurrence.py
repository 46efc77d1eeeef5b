"""The recurrent part of a GRU layer over whole sequences, with an explicit gradient.

torch's own backward pass computes the weight gradient at every step. Here each step of the backward pass computes only
what the step before needs, and the weight gradient is one matrix product over all steps at the end. Under
``torch.autocast`` the matrix products have its precision; states and gates stay in float32.
``benchmarks/bench_training_step.py`` compares the speed with ``torch.nn.GRU``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def gated_recurrence(gates: Tensor, weight: Tensor, bias: Tensor, first: Tensor | None = None) -> Tensor:
    """Return the states of a GRU layer.

    With gates x_r, x_z, x_n from the input and the state's products h_r, h_z, h_n = W h + b, in torch's convention:
    r = σ(x_r + h_r), z = σ(x_z + h_z), n = tanh(x_n + r ⊙ h_n), and the new state is (1 − z) ⊙ n + z ⊙ h.

    Args:
        gates: [L, n, 3H], the input's part of the reset, update and candidate gates at each step, bias included.
        weight: [3H, H], from the state to the gates.
        bias: [3H].
        first: [n, H], the state before the first step; zeros by default.

    Returns:
        The states [L, n, H] after each step, in the precision of ``weight``.
    """
    device = gates.device.type
    lowered = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    products = torch.get_autocast_dtype(device) if lowered else weight.dtype
    start = gates.new_zeros(gates.shape[1], weight.shape[1]) if first is None else first
    arguments = (gates.to(weight.dtype), weight, bias, start.to(weight.dtype), products)
    states: Tensor = _GatedRecurrence.apply(*arguments)  # type: ignore[no-untyped-call]
    return states


class _GatedRecurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gates: Tensor, weight: Tensor, bias: Tensor, first: Tensor, products: torch.dtype) -> Tensor:
        steps, n, width = gates.shape
        hidden = width // 3
        states = gates.new_empty(steps + 1, n, hidden)
        states[0] = first
        # The operands of the products: the states themselves, or a copy in the precision of the products.
        operands = states if products == states.dtype else states.to(products)
        reset_update = gates.new_empty(steps, n, 2 * hidden)
        candidate = gates.new_empty(steps, n, hidden)
        from_state = gates.new_empty(steps, n, width, dtype=products)
        to_gates, offset = weight.to(products).T, bias.to(products)
        for t in range(steps):
            product = torch.addmm(offset, operands[t], to_gates, out=from_state[t])
            r_z = torch.add(gates[t, :, : 2 * hidden], product[:, : 2 * hidden], out=reset_update[t]).sigmoid_()
            reset, update = r_z[:, :hidden], r_z[:, hidden:]
            candidate_product = product[:, 2 * hidden :].to(gates.dtype)
            n_t = torch.addcmul(gates[t, :, 2 * hidden :], reset, candidate_product, out=candidate[t]).tanh_()
            torch.lerp(n_t, states[t], update, out=states[t + 1])
            if operands is not states:
                operands[t + 1] = states[t + 1]
        ctx.save_for_backward(weight, states, operands, reset_update, candidate, from_state[:, :, 2 * hidden :])
        return states[1:]

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:
        weight, states, operands, reset_update, candidate, candidate_from_state = ctx.saved_tensors
        steps, n, hidden = candidate.shape
        reset, update = reset_update[..., :hidden], reset_update[..., hidden:]
        # The local derivatives of all steps at once; the loop below applies the chain rule.
        by_update = (states[:-1] - candidate) * update * (1 - update)
        by_candidate = (1 - update) * (1 - candidate * candidate)
        by_reset = candidate_from_state * reset * (1 - reset)
        # The gradients of the input's part and of the state's part of the gates differ in the candidate only.
        by_input = candidate.new_empty(steps, n, 3 * hidden)
        by_state = operands.new_empty(steps, n, 3 * hidden)
        to_state = weight.to(operands.dtype)
        carried = torch.zeros_like(states[0])
        for t in range(steps - 1, -1, -1):
            carried = carried + upstream[0][t]
            from_candidate = torch.mul(carried, by_candidate[t], out=by_input[t, :, 2 * hidden :])
            torch.mul(from_candidate, by_reset[t], out=by_input[t, :, :hidden])
            torch.mul(carried, by_update[t], out=by_input[t, :, hidden : 2 * hidden])
            by_state[t, :, : 2 * hidden] = by_input[t, :, : 2 * hidden]
            by_state[t, :, 2 * hidden :] = from_candidate * reset[t]
            carried = carried.mul_(update[t]).add_(by_state[t] @ to_state)
        rows = by_state.view(-1, 3 * hidden)
        weight_gradient = (rows.T @ operands[:-1].view(-1, hidden)).to(weight.dtype)
        return by_input, weight_gradient, rows.sum(0, dtype=weight.dtype), carried, None
