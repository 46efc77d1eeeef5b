from pathlib import Path

import pytest
import torch
from torch import nn

from molbuffer.training.checkpoint import load_checkpoint, save_checkpoint
from molbuffer.training.errors import CheckpointError


def make(size: int = 4, seed: int = 0) -> tuple[nn.Module, torch.optim.Adam]:
    torch.manual_seed(seed)
    module = nn.Linear(3, size)
    return module, torch.optim.Adam(module.parameters(), 0.1)


def step(module: nn.Module, optimizer: torch.optim.Adam) -> None:
    optimizer.zero_grad()
    module(torch.arange(6.0).reshape(2, 3)).square().sum().backward()
    optimizer.step()


def test_a_restored_training_goes_on_bit_by_bit(tmp_path: Path) -> None:
    module, optimizer = make()
    step(module, optimizer)
    save_checkpoint(tmp_path / "c", module, optimizer, {"step": 1, "best": 0.5, "none": None})
    other, other_optimizer = make(seed=1)
    assert load_checkpoint(tmp_path / "c", other, other_optimizer) == {"step": 1, "best": 0.5, "none": None}
    for _ in range(3):
        step(module, optimizer)
        step(other, other_optimizer)
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])


def test_there_is_no_checkpoint_before_the_first(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "c", *make()) is None


def test_a_save_replaces_the_one_before(tmp_path: Path) -> None:
    module, optimizer = make()
    save_checkpoint(tmp_path / "c", module, optimizer, {"step": 1})
    step(module, optimizer)
    save_checkpoint(tmp_path / "c", module, optimizer, {"step": 2})
    assert load_checkpoint(tmp_path / "c", *make()) == {"step": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_a_checkpoint_of_another_architecture_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", *make(), {})
    with pytest.raises(CheckpointError, match="does not fit this training"):
        load_checkpoint(tmp_path / "c", *make(size=5))


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", *make(), {})
    tensors = tmp_path / "c" / "tensors.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:40])
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        load_checkpoint(tmp_path / "c", *make())


def test_nothing_is_pickled(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", *make(), {"step": 1})
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == ["state.json", "tensors.safetensors"]
