"""Checks of the folder of a policy, by its JSON files and the header of its weights.

The module imports no torch and loads no weights, so that a configuration can be checked quickly.
"""

from __future__ import annotations

from pathlib import Path

from molbuffer.samplers.errors import PolicyFormatError
from molbuffer.samplers.models import check_folder, check_safetensors, is_huggingface, read_json

WEIGHTS, CONFIG, VOCABULARY = "weights.safetensors", "config.json", "vocabulary.json"
"""The files of a policy."""
HUGGINGFACE = "huggingface"


def check_policy_folder(folder: Path) -> str:
    """Return the kind of the policy in a folder, of this project or of Hugging Face, and refuse one that is broken.

    Raises:
        PolicyFormatError: a file is missing or damaged, or has other content; the message names the file.
    """
    config = read_json(folder / CONFIG)
    if is_huggingface(folder):
        check_folder(folder)
        return HUGGINGFACE
    kind = config.get("kind")
    if not isinstance(kind, str):
        raise PolicyFormatError(
            f"{folder / CONFIG} has no key `kind`, as policies of molbuffer have, and no `model_type`, as models of "
            f"Hugging Face have: {folder} is neither"
        )
    for name in (WEIGHTS, VOCABULARY):
        if not (folder / name).is_file():
            raise PolicyFormatError(f"{folder} is not a policy: it has no {name}")
    read_json(folder / VOCABULARY)
    check_safetensors(folder / WEIGHTS)
    return kind
