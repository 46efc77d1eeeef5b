"""A loss in training: its parameters are optimised, and its state is part of the learner's checkpoint."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from molbuffer.kinds import calling, shown, wrong_result
from molbuffer.storage import Place
from molbuffer.training.adam import Adam
from molbuffer.training.checkpoint import checkpoint_files, restore
from molbuffer.training.losses import CriticLoss, Loss, ScoredSequences, StatefulLoss, state_of

_EXPECTED = "a scalar tensor that depends on rows.agent"


class LossInTraining:
    """A loss in training, with its state if it has one, such as a critic.

    Attributes:
        settings: the loss.
        module: the state of the loss; None for a loss without state.
    """

    def __init__(self, loss: Loss, device: torch.device, vocabulary_size: int = 1) -> None:
        self.settings = loss
        self.module = state_of(loss, vocabulary_size)
        if self.module is not None:
            assert isinstance(loss, StatefulLoss | CriticLoss)
            self.module.to(device)
            self._optimizer = Adam(self.module.parameters(), loss.state_learning_rate)

    def __call__(self, rows: ScoredSequences) -> Tensor:
        """Return the loss of rows, a scalar with a gradient.

        Raises:
            PluginError: the loss fails, or does not return a scalar tensor with a gradient.
        """
        with calling("loss", self.settings, f"for its value on {len(rows.lengths)} rows"):
            found: Any = self.settings(rows) if self.module is None else self.module(rows)
        if not isinstance(found, Tensor):
            raise wrong_result("loss", self.settings, shown(found), _EXPECTED)
        if found.ndim or not found.is_floating_point():
            got = f"a tensor {str(found.dtype).removeprefix('torch.')} {list(found.shape)}"
            raise wrong_result("loss", self.settings, got, f"{_EXPECTED}, such as the mean over the rows")
        if not found.requires_grad:
            raise wrong_result(
                "loss",
                self.settings,
                "a tensor without a gradient",
                f"{_EXPECTED}: make it of rows.agent, without detach(), item() or no_grad()",
            )
        return found

    def unchanged(self) -> Callable[[ScoredSequences], Tensor]:
        """Return a copy of the present loss, which can be called without changing the state, such as a moving mean."""
        return self.settings if self.module is None else copy.deepcopy(self.module)

    @property
    def metrics(self) -> Mapping[str, Tensor]:
        """The metrics of the last value of the loss that its state computes, scalars by name."""
        found: Mapping[str, Tensor] = getattr(self.module, "metrics", {})
        return found

    def zero_grad(self) -> None:
        """Set the gradients of the state to None."""
        if self.module is not None:
            self._optimizer.zero_grad()

    def step(self) -> None:
        """Take one step on the parameters of the state, if the loss has one."""
        if self.module is not None:
            self._optimizer.step()

    def checkpoint_files(self) -> dict[str, bytes]:
        """Return the files from which the state can be restored; none without state."""
        return {} if self.module is None else checkpoint_files(self.module, self._optimizer, {}, self._prefix)

    def restore(self, folder: Place) -> None:
        """Restore the state from a checkpoint; keep the first state if the checkpoint is of a run with another loss."""
        names = [file.name for file in folder.iterdir()]
        if self.module is not None and any(name.startswith(self._prefix) for name in names):
            restore(folder, self.module, self._optimizer, self._prefix)

    @property
    def _prefix(self) -> str:
        return f"loss-{type(self.settings).__name__}-"
