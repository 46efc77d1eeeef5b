"""A kill during a save leaves the old checkpoint or the new one, never half of one and never none."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from molbuffer.training.checkpoint import checkpoint_files, load_checkpoint, save_checkpoint


class KilledError(Exception):
    """Stands for a kill at a chosen place of a save."""


def make(seed: int = 0) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    module = nn.Linear(2, 3)
    return module, torch.optim.AdamW(module.parameters(), 0.1)


def found(folder: Path) -> tuple[int, torch.Tensor] | None:
    """The step and the weights of the checkpoint in a folder."""
    module, optimizer = make(seed=99)
    state = load_checkpoint(folder, module, optimizer)
    return None if state is None else (state["step"], module.state_dict()["weight"])


def save(folder: Path, step: int) -> None:
    save_checkpoint(folder, *make(seed=step), {"step": step})


def assert_holds(folder: Path, step: int) -> None:
    got = found(folder)
    assert got is not None
    assert got[0] == step
    assert torch.equal(got[1], make(seed=step)[0].state_dict()["weight"])


def failing_at(call: int, function: Callable[..., object]) -> Callable[..., object]:
    calls: list[object] = []

    def failing(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == call:
            raise KilledError
        return function(*arguments)

    return failing


@pytest.mark.parametrize(
    ("method", "call", "left"),
    [
        ("write_bytes", 1, 1),  # nothing of the new one is there
        ("write_bytes", 2, 1),  # half of it
        ("rename", 1, 1),  # all of it, under its first name
        ("rename", 2, 2),  # the old one is out of the way
    ],
)
def test_whatever_is_left_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, call: int, left: int
) -> None:
    folder = tmp_path / "checkpoint"
    save(folder, 1)
    with monkeypatch.context() as killing, pytest.raises(KilledError):
        killing.setattr(Path, method, failing_at(call, getattr(Path, method)))
        save(folder, 2)
    assert_holds(folder, left)
    save(folder, 3)
    assert_holds(folder, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_a_second_kill_in_the_next_save_does_not_lose_it_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "checkpoint"
    save(folder, 1)
    for step, method, call in ((2, "rename", 2), (3, "write_bytes", 1)):
        with monkeypatch.context() as killing, pytest.raises(KilledError):
            killing.setattr(Path, method, failing_at(call, getattr(Path, method)))
            save(folder, step)
    assert_holds(folder, 2)


@pytest.mark.parametrize("call", [1, 2])
def test_half_of_the_first_checkpoint_ever_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    folder = tmp_path / "checkpoint"
    with monkeypatch.context() as killing, pytest.raises(KilledError):
        killing.setattr(Path, "write_bytes", failing_at(call, Path.write_bytes))
        save(folder, 1)
    (tmp_path / "checkpoint.new" / "state.json").touch()  # opened, and not written yet
    assert found(folder) is None
    save(folder, 2)
    assert_holds(folder, 2)


def test_no_file_is_a_pickle() -> None:
    module, optimizer = make()
    module(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    files = checkpoint_files(module, optimizer, {"step": 1})
    assert sorted(files) == ["state.json", "tensors.safetensors"]
    header = int.from_bytes(files["tensors.safetensors"][:8], "little")
    assert files["tensors.safetensors"][8 : 8 + header].startswith(b"{")
    assert not any(content.startswith((b"\x80", b"PK")) for content in files.values())
