"""``--device`` and Hugging Face folders on the command line."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from molbuffer.flows.errors import UsageError
from molbuffer.flows.settings.problems import ConfigurationError

Refused = Callable[..., BaseException]


@pytest.fixture(scope="module")
def folder(huggingface: ModuleType, molecules: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return huggingface.save_model(
        tmp_path_factory.mktemp("models") / "llama", "llama", huggingface.tokenizer_of(molecules)
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "$config", "--store", "$folder/lab"),
        ("build", "$config", "--store", "$folder/lab"),
        ("offline", "$config", "--store", "$folder/lab"),
        ("pretrain", "$config", "--store", "$folder/lab"),
        ("sample", "zinc-gru"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_device_that_is_not_there_is_refused_before_anything_starts(
    refused: Refused, tiny_config: Path, tmp_path: Path, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    given = [each.replace("$config", str(tiny_config)).replace("$folder", str(tmp_path)) for each in arguments]
    for name, message in (("cuda", "this machine has no device 'cuda'"), ("gpu", "expected one of: auto, cpu, cuda")):
        error = refused(*given, "--device", name)
        assert isinstance(error, UsageError) and f"--device {name}: " in str(error) and message in str(error)
    assert not (tmp_path / "lab").exists()


def test_molecules_are_drawn_from_a_folder_of_hugging_face(molbuffer: Any, folder: Path, tmp_path: Path) -> None:
    first, second = (tmp_path / name for name in ("first.csv", "second.csv"))
    for out, device in ((first, "cpu"), (second, "auto")):
        done = molbuffer("sample", folder, "-n", "20", "--device", device, "--out", out)
        assert done.returncode == 0 and "20 drawn" in done.stderr
    assert first.read_text().startswith("smiles,molecule,log_likelihood\n")
    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        assert first.read_text() == second.read_text()


def test_config_check_refuses_a_folder_with_a_pickle(
    refused: Refused, tiny_config: Path, small_prior: Path, folder: Path
) -> None:
    tiny_config.write_text(tiny_config.read_text().replace(str(small_prior), str(folder)))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    try:
        error = refused("config", "check", tiny_config)
    finally:
        (folder / "pytorch_model.bin").rename(folder / "model.safetensors")
    assert isinstance(error, ConfigurationError) and "key `policy.prior`: the model in" in str(error)
    assert "pytorch_model.bin is a pickle" in str(error)
