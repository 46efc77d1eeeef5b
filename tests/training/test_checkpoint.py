from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from molbuffer.training.checkpoint import RunCheckpoints, checkpoint_files, restore
from molbuffer.training.errors import CheckpointError


def make(size: int = 4, seed: int = 0) -> tuple[nn.Module, torch.optim.Adam]:
    torch.manual_seed(seed)
    module = nn.Linear(3, size)
    return module, torch.optim.Adam(module.parameters(), 0.1)


def step(module: nn.Module, optimizer: torch.optim.Adam) -> None:
    optimizer.zero_grad()
    module(torch.arange(6.0).reshape(2, 3)).square().sum().backward()
    optimizer.step()


def write(folder: Path, module: nn.Module, optimizer: torch.optim.Adam, state: Mapping[str, Any]) -> Path:
    folder.mkdir()
    for name, content in checkpoint_files(module, optimizer, state).items():
        (folder / name).write_bytes(content)
    return folder


def test_a_restored_training_goes_on_bit_by_bit(tmp_path: Path) -> None:
    module, optimizer = make()
    step(module, optimizer)
    folder = write(tmp_path / "c", module, optimizer, {"step": 1, "best": 0.5, "none": None})
    other, other_optimizer = make(seed=1)
    assert restore(folder, other, other_optimizer) == {"step": 1, "best": 0.5, "none": None}
    for _ in range(3):
        step(module, optimizer)
        step(other, other_optimizer)
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])


def test_there_is_no_checkpoint_before_the_first(checkpoints: RunCheckpoints) -> None:
    assert checkpoints.newest() is None


def test_the_newest_checkpoint_is_that_of_the_last_step(checkpoints: RunCheckpoints) -> None:
    module, optimizer = make()
    checkpoints.save(1, checkpoint_files(module, optimizer, {"step": 1}))
    step(module, optimizer)
    checkpoints.save(2, checkpoint_files(module, optimizer, {"step": 2}))
    other, other_optimizer = make(seed=1)
    newest = checkpoints.newest()
    assert newest is not None
    assert restore(newest, other, other_optimizer) == {"step": 2}
    assert torch.equal(other.state_dict()["weight"], module.state_dict()["weight"])


def test_a_step_that_is_saved_already_is_saved_once(checkpoints: RunCheckpoints) -> None:
    files = checkpoint_files(*make(), {"step": 1})
    checkpoints.save(1, files)
    checkpoints.save(1, files)
    assert checkpoints.store.query("SELECT count(*) AS n FROM checkpoints")["n"][0] == 1


def test_a_checkpoint_of_another_architecture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=str(tmp_path / "c")):
        restore(write(tmp_path / "c", *make(), {}), *make(size=5))


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "c", *make(), {})
    tensors = folder / "tensors.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:40])
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        restore(folder, *make())


def test_no_file_is_a_pickle() -> None:
    module, optimizer = make()
    step(module, optimizer)
    files = checkpoint_files(module, optimizer, {"step": 1})
    assert sorted(files) == ["state.json", "tensors.safetensors"]
    header = int.from_bytes(files["tensors.safetensors"][:8], "little")
    assert files["tensors.safetensors"][8 : 8 + header].startswith(b"{")
    assert not any(content.startswith((b"\x80", b"PK")) for content in files.values())
