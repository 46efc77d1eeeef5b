from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

MakeFolder = Callable[..., Path]


@pytest.fixture(scope="session")
def make_folder(huggingface: ModuleType, molecules: list[str], tmp_path_factory: pytest.TempPathFactory) -> MakeFolder:
    """Makes the folder of a small model of a kind with a tokenizer of molecules."""
    tokenizer = huggingface.tokenizer_of(molecules)

    def make(kind: str = "gpt2", **sizes: object) -> Path:
        return huggingface.save_model(tmp_path_factory.mktemp(kind) / "model", kind, tokenizer, **sizes)

    return make


@pytest.fixture(scope="session")
def gpt2_folder(make_folder: MakeFolder) -> Path:
    return make_folder("gpt2")
