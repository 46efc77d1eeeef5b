"""Adam (Kingma & Ba 2015, arXiv:1412.6980), in one pass over the parameters.

The first optimizer of ``torch.optim`` that a process makes imports torch's compiler, which takes seconds of processor
time and is not used here. This class takes the same steps, and its state has the same names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn


class Optimizer(Protocol):
    """The methods of an optimizer that a checkpoint calls."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> None: ...


class Adam:
    """The optimizer Adam, without weight decay.

    Attributes:
        learning_rate: the learning rate of the next steps.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        learning_rate: float,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
    ) -> None:
        """Begin with moments of zero.

        Args:
            parameters: the parameters to learn; a step leaves parameters without a gradient as they are.
            learning_rate: the learning rate.
            betas: the decay rates of the means of the gradients and of their squares, in [0, 1).
            epsilon: the number that is added to the root of the mean of squares.
        """
        self._parameters = list(parameters)
        self.learning_rate, self._betas, self._epsilon = learning_rate, betas, epsilon
        self._state: dict[int, dict[str, Tensor]] = {}

    def forget(self) -> None:
        """Reset the moments of all parameters to zero."""
        self._state = {}

    def zero_grad(self) -> None:
        """Set the gradients of all parameters to None."""
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Take one step along the negative gradient."""
        learned = [(i, each) for i, each in enumerate(self._parameters) if each.grad is not None]
        for number, parameter in learned:
            if number not in self._state:
                self._state[number] = _state_at_the_start(parameter)
        states = [self._state[number] for number, _ in learned]
        values: list[Tensor] = [parameter for _, parameter in learned]
        if values and {each.device.type for each in values} <= {"cpu", "cuda"}:
            self._fused_step(values, states)
        else:
            for value, state in zip(values, states, strict=True):
                self._step(value, state)

    def _fused_step(self, values: list[Tensor], states: list[dict[str, Tensor]]) -> None:
        columns = {name: [state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step")}
        torch._foreach_add_(columns["step"], 1)
        torch._fused_adam_(
            values,
            [each.grad for each in values if each.grad is not None],
            columns["exp_avg"],
            columns["exp_avg_sq"],
            [],
            columns["step"],
            lr=self.learning_rate,
            beta1=self._betas[0],
            beta2=self._betas[1],
            weight_decay=0.0,
            eps=self._epsilon,
            amsgrad=False,
            maximize=False,
        )

    def _step(self, parameter: Tensor, state: dict[str, Tensor]) -> None:
        gradient = parameter.grad
        assert gradient is not None
        mean, squares = state["exp_avg"], state["exp_avg_sq"]
        steps = float(state["step"].add_(1))
        mean.lerp_(gradient, 1 - self._betas[0])
        squares.mul_(self._betas[1]).addcmul_(gradient, gradient, value=1 - self._betas[1])
        root = (squares / (1 - self._betas[1] ** steps)).sqrt_().add_(self._epsilon)
        parameter.addcdiv_(mean, root, value=-self.learning_rate / (1 - self._betas[0] ** steps))

    def state_dict(self) -> dict[str, Any]:
        """Return the state of each parameter by its number, named as in ``torch.optim``."""
        return {"state": self._state, "param_groups": []}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore a state that ``state_dict`` returned.

        Raises:
            ValueError: the state does not fit the number or the shapes of the parameters.
        """
        state: dict[int, dict[str, Tensor]] = {}
        for number, tensors in state_dict["state"].items():
            if number >= len(self._parameters) or tensors["exp_avg"].shape != self._parameters[number].shape:
                raise ValueError(
                    f"expected a state of {len(self._parameters)} parameters of their shapes, got one that differs at "
                    f"parameter {number}"
                )
            device = self._parameters[number].device
            state[number] = {name: tensor.to(device, copy=True) for name, tensor in tensors.items()}
        self._state = state


def _state_at_the_start(parameter: nn.Parameter) -> dict[str, Tensor]:
    zeros = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
    return {"step": torch.zeros((), device=parameter.device), **zeros}
