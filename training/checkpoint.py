"""The state of a training as files: tensors as safetensors, numbers as JSON; never a pickle.

The store keeps the files. A checkpoint is part of a commit, so that a kill leaves the old or the new one complete.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from molbuffer.storage import Checkpoint, Commit, Place, SampleStore
from molbuffer.training.adam import Optimizer
from molbuffer.training.errors import CheckpointError

_TENSORS, _STATE = "tensors.safetensors", "state.json"


def checkpoint_files(
    model: nn.Module, optimizer: Optimizer, state: Mapping[str, Any], prefix: str = ""
) -> dict[str, bytes]:
    """Return the files of a checkpoint by name: the tensors of model and optimizer, and a state.

    Args:
        model: the model.
        optimizer: its optimizer.
        state: JSON values.
        prefix: the start of the names, so that the files of several models can be in one folder.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()} | optimizer_tensors(optimizer)
    return {
        prefix + _TENSORS: save({name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}),
        prefix + _STATE: json.dumps(dict(state)).encode(),
    }


def restore(folder: Place, model: nn.Module, optimizer: Optimizer, prefix: str = "") -> dict[str, Any]:
    """Load the checkpoint in a folder into model and optimizer, and return the state saved with them.

    Raises:
        CheckpointError: the checkpoint is of a model of another architecture, or cannot be read.
    """
    try:
        tensors = load((folder / (prefix + _TENSORS)).read_bytes())
        model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
        load_optimizer_tensors(optimizer, tensors)
        state: dict[str, Any] = json.loads((folder / (prefix + _STATE)).read_text())
    except (SafetensorError, RuntimeError, KeyError, ValueError, OSError) as error:
        raise CheckpointError(f"the checkpoint {folder} does not fit this training: {error}") from error
    return state


@dataclass(frozen=True)
class RunCheckpoints:
    """The checkpoints of a run that commits nothing else meanwhile, such as a pretraining.

    Attributes:
        store: the store.
        run_id: the run.
    """

    store: SampleStore
    run_id: str

    def save(self, step: int, files: Mapping[str, bytes]) -> None:
        """Commit the checkpoint after a number of steps; it is durable when this returns."""
        checkpoint = Checkpoint(self.run_id, step, files)
        self.store.commit(Commit(checkpoint=checkpoint, message=f"checkpoint of run {self.run_id}, step {step}"))

    def newest(self) -> Place | None:
        """Return the folder of the newest checkpoint; None before the first."""
        stored = self.store.latest_checkpoint(self.run_id)
        return None if stored is None else stored.folder


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """Return the per-parameter state of an optimizer under flat names ``optimizer.<parameter number>.<name>``."""
    states = optimizer.state_dict()["state"]
    return {f"optimizer.{i}.{name}": tensor for i, state in states.items() for name, tensor in state.items()}


def load_optimizer_tensors(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Load the state that ``optimizer_tensors`` returned into an optimizer; other names in ``tensors`` are ignored."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith("optimizer."):
            _, number, name = key.split(".", 2)
            state.setdefault(int(number), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
