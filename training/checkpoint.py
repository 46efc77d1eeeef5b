"""The state of a training on disk: tensors as safetensors, numbers as JSON; never a pickle.

A checkpoint is one folder. It is written under another name and renamed, so that a kill leaves the old one or the new
one, never half of one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.optim import Optimizer

from molbuffer.storage import Place
from molbuffer.training.errors import CheckpointError

_TENSORS, _STATE = "tensors.safetensors", "state.json"


def checkpoint_files(
    model: nn.Module, optimizer: Optimizer, state: Mapping[str, Any], prefix: str = ""
) -> dict[str, bytes]:
    """The files of a checkpoint by name: the model's and the optimizer's tensors, and ``state`` (JSON values).

    Args:
        prefix: what their names begin with, so that those of several models can stand in one folder.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()} | optimizer_tensors(optimizer)
    return {
        prefix + _TENSORS: save({name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}),
        prefix + _STATE: json.dumps(dict(state)).encode(),
    }


def restore(folder: Place, model: nn.Module, optimizer: Optimizer, prefix: str = "") -> dict[str, Any]:
    """Puts the checkpoint in a folder back into model and optimizer, and returns the state saved with them.

    Raises:
        CheckpointError: the checkpoint belongs to a model of another architecture or cannot be read.
    """
    try:
        tensors = load((folder / (prefix + _TENSORS)).read_bytes())
        model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
        load_optimizer_tensors(optimizer, tensors)
        state: dict[str, Any] = json.loads((folder / (prefix + _STATE)).read_text())
    except (SafetensorError, RuntimeError, KeyError, ValueError, OSError) as error:
        raise CheckpointError(f"the checkpoint {folder} does not fit this training: {error}") from error
    return state


def save_checkpoint(folder: Path, model: nn.Module, optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Replaces the checkpoint in a folder of its own by the present state."""
    _finish_interrupted_save(folder)
    aside, old = _aside(folder), _old(folder)
    for leftover in (aside, old):
        shutil.rmtree(leftover, ignore_errors=True)
    aside.mkdir(parents=True)
    for name, content in checkpoint_files(model, optimizer, state).items():
        (aside / name).write_bytes(content)
        fsync(aside / name)
    fsync(aside)
    if folder.exists():
        folder.rename(old)
    aside.rename(folder)
    fsync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def load_checkpoint(folder: Path, model: nn.Module, optimizer: Optimizer) -> dict[str, Any] | None:
    """Restores what ``save_checkpoint`` left and returns the state saved; None when there is no checkpoint."""
    _finish_interrupted_save(folder)
    return restore(folder, model, optimizer) if folder.exists() else None


def _finish_interrupted_save(folder: Path) -> None:
    """Does the second rename of a save that was killed between its two.

    Only then is the old checkpoint aside and no checkpoint in place. Without the old one, what lies under the new one's
    first name is what a kill left of the first save ever, which may be half of one.
    """
    if not folder.exists() and _old(folder).exists():
        _aside(folder).rename(folder)


def _aside(folder: Path) -> Path:
    return folder.with_name(folder.name + ".new")


def _old(folder: Path) -> Path:
    return folder.with_name(folder.name + ".old")


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """The per-parameter state of an optimizer under flat names ``optimizer.<parameter number>.<name>``."""
    states = optimizer.state_dict()["state"]
    return {f"optimizer.{i}.{name}": tensor for i, state in states.items() for name, tensor in state.items()}


def load_optimizer_tensors(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Puts back what ``optimizer_tensors`` returned; other names in ``tensors`` are left alone."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith("optimizer."):
            _, number, name = key.split(".", 2)
            state.setdefault(int(number), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def fsync(path: Path) -> None:
    """Makes a file's content, or a folder's entries, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
