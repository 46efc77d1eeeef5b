"""What is wrong with the folder of a policy is said with the file, before weights are read."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from molbuffer.samplers.errors import PolicyFormatError
from molbuffer.samplers.policies.folders import check_policy_folder
from molbuffer.samplers.policies.policy import load_policy

SMALL_PRIOR = Path(__file__).parents[2] / "data" / "small-prior"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SMALL_PRIOR, tmp_path / "prior"))


def test_the_kind_of_a_policy_is_read_without_its_weights(folder: Path) -> None:
    assert check_policy_folder(folder) == load_policy(folder).kind == "gru"


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("config.json", lambda text: text[:-5], "config.json is not JSON"),
        ("config.json", lambda _: b"{}", "config.json has no key `kind`, as policies of molbuffer have"),
        ("config.json", None, "config.json cannot be read"),
        ("vocabulary.json", lambda text: text[:-5], "vocabulary.json is not JSON"),
        ("vocabulary.json", None, "it has no vocabulary.json"),
        ("weights.safetensors", lambda text: text[:-5], "weights.safetensors is cut off or damaged: it has"),
        ("weights.safetensors", lambda text: text[:20], "weights.safetensors is not a file of safetensors, or is cut"),
        ("weights.safetensors", None, "it has no weights.safetensors"),
    ],
)
def test_a_broken_file_is_named(
    folder: Path, name: str, change: Callable[[bytes], bytes] | None, expected: str
) -> None:
    if change is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(change((folder / name).read_bytes()))
    for read in (check_policy_folder, load_policy):
        with pytest.raises(PolicyFormatError, match=re.escape(expected)):
            read(folder)
