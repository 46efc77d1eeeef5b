"""The recurrent part of a GRU layer over whole sequences, with its gradient written out.

torch's own backward pass multiplies out the weight gradient at every step. Here each step of the backward pass does
only what the step before it needs, and the weight gradient is one matrix product over all steps at the end.
``benchmarks/bench_training_step.py`` measures what that gains beside ``torch.nn.GRU``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def gated_recurrence(gates: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The states of a GRU layer that starts from a zero state.

    With gates x_r, x_z, x_n from the input and the state's products h_r, h_z, h_n = W h + b, in torch's convention:
    r = σ(x_r + h_r), z = σ(x_z + h_z), n = tanh(x_n + r ⊙ h_n), and the new state is (1 − z) ⊙ n + z ⊙ h.

    Args:
        gates: [L, n, 3H], the input's part of the reset, update and candidate gates at each step, bias included.
        weight: [3H, H], from the state to the gates.
        bias: [3H].

    Returns:
        The states [L, n, H] after each step.
    """
    states: Tensor = _GatedRecurrence.apply(gates, weight, bias)  # type: ignore[no-untyped-call]
    return states


class _GatedRecurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gates: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        steps, n, width = gates.shape
        hidden = width // 3
        states = gates.new_zeros(steps + 1, n, hidden)
        reset_update = gates.new_empty(steps, n, 2 * hidden)
        candidate = gates.new_empty(steps, n, hidden)
        from_state = gates.new_empty(steps, n, width)
        to_gates = weight.T
        for t in range(steps):
            product = torch.addmm(bias, states[t], to_gates, out=from_state[t])
            r_z = torch.add(gates[t, :, : 2 * hidden], product[:, : 2 * hidden], out=reset_update[t]).sigmoid_()
            reset, update = r_z[:, :hidden], r_z[:, hidden:]
            n_t = torch.addcmul(gates[t, :, 2 * hidden :], reset, product[:, 2 * hidden :], out=candidate[t]).tanh_()
            torch.lerp(n_t, states[t], update, out=states[t + 1])
        ctx.save_for_backward(weight, states, reset_update, candidate, from_state[:, :, 2 * hidden :])
        return states[1:]

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        weight, states, reset_update, candidate, candidate_from_state = ctx.saved_tensors
        steps, n, hidden = candidate.shape
        reset, update = reset_update[..., :hidden], reset_update[..., hidden:]
        # The local derivatives of all steps at once; the loop below only chains them.
        by_update = (states[:-1] - candidate) * update * (1 - update)
        by_candidate = (1 - update) * (1 - candidate * candidate)
        by_reset = candidate_from_state * reset * (1 - reset)
        # The gates' gradient with respect to the input's part and to the state's part differ in the candidate only.
        gates_gradient = candidate.new_empty(steps, n, 3 * hidden)
        reset_candidate = torch.empty_like(candidate)
        reset_update_weight, candidate_weight = weight[: 2 * hidden], weight[2 * hidden :]
        carried = torch.zeros_like(states[0])
        for t in range(steps - 1, -1, -1):
            carried = carried + upstream[0][t]
            d_gates = gates_gradient[t]
            d_candidate = torch.mul(carried, by_candidate[t], out=d_gates[:, 2 * hidden :])
            torch.mul(d_candidate, by_reset[t], out=d_gates[:, :hidden])
            torch.mul(carried, by_update[t], out=d_gates[:, hidden : 2 * hidden])
            d_from_state = torch.mul(d_candidate, reset[t], out=reset_candidate[t])
            carried = carried.mul_(update[t]).addmm_(d_gates[:, : 2 * hidden], reset_update_weight)
            carried.addmm_(d_from_state, candidate_weight)
        before = states[:-1].view(-1, hidden)
        reset_update_gradient = gates_gradient.view(-1, 3 * hidden)[:, : 2 * hidden]
        candidate_gradient = reset_candidate.view(-1, hidden)
        weight_gradient = torch.cat([reset_update_gradient.T @ before, candidate_gradient.T @ before])
        bias_gradient = torch.cat([reset_update_gradient.sum(0), candidate_gradient.sum(0)])
        return gates_gradient, weight_gradient, bias_gradient
