"""The folder of a Hugging Face model: which files are read, and what is refused before anything of it is loaded.

Read are ``config.json``, ``tokenizer.json``, the names of special tokens in ``tokenizer_config.json`` and
``special_tokens_map.json``, and weights in safetensors. Nothing in a folder is executed: code beside a model and
pickled weights are refused, and so are the architectures outside ``ARCHITECTURES``, some of which load code from the
network.
Nothing here imports torch, so that a configuration can be checked quickly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from molbuffer.samplers.errors import PolicyFormatError

CONFIG, TOKENIZER, TOKENIZER_CONFIG = "config.json", "tokenizer.json", "tokenizer_config.json"
SPECIAL_TOKENS = "special_tokens_map.json"
WEIGHTS, SHARDS = "model.safetensors", "model.safetensors.index.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")

ARCHITECTURES = (
    "gemma",
    "gemma3_text",
    "gpt2",
    "gpt_neox",
    "granite",
    "llama",
    "mistral",
    "olmo2",
    "opt",
    "phi",
    "phi3",
    "qwen2",
    "qwen3",
    "smollm3",
    "starcoder2",
)
"""The values of ``model_type`` that a policy may have: decoders with plain attention, each of which is tested."""
_REFUSED_KEYS = {
    "auto_map": "names code of its own, which molbuffer never runs",
    "quantization_config": "is quantised; save its weights unquantised",
}
_LEFT_OUT = ("architectures", "dtype", "torch_dtype", "transformers_version", "use_cache", "attn_implementation")
"""Keys that tell where a model comes from or how it is run, not what it is."""


def is_huggingface(folder: Path) -> bool:
    """Return whether a folder holds a Hugging Face model: its config has a ``model_type``, and is none of ours."""
    try:
        config = json.loads((folder / CONFIG).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and "model_type" in config and "kind" not in config


def check_folder(folder: Path) -> None:
    """Refuse a folder that cannot become a policy, by its names and texts alone; weights are not read.

    Raises:
        PolicyFormatError: it has code or pickles, lacks a file, or holds a model of another kind.
    """
    try:
        checked_config(read_json(folder / CONFIG))
        if (folder / TOKENIZER_CONFIG).exists():
            _refuse_code(read_json(folder / TOKENIZER_CONFIG), "tokenizer")
    except PolicyFormatError as error:
        raise PolicyFormatError(f"the model in {folder}: {error}") from error
    if scripts := sorted(file.name for file in folder.glob("*.py")):
        raise PolicyFormatError(f"the model in {folder} comes with code of its own ({scripts[0]}), which is never run")
    if not (folder / WEIGHTS).exists() and not (folder / SHARDS).exists():
        pickles = sorted(file.name for pattern in PICKLES for file in folder.glob(pattern))
        found = f"; {pickles[0]} is a pickle, which may run code and is never read" if pickles else ""
        raise PolicyFormatError(
            f"the model in {folder} has no {WEIGHTS}{found}; save it with save_pretrained, which writes safetensors"
        )
    if not (folder / TOKENIZER).exists():
        raise PolicyFormatError(
            f"the model in {folder} has no {TOKENIZER}; save its fast tokenizer with save_pretrained"
        )


def checked_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a ``config.json`` that describe the architecture.

    Raises:
        PolicyFormatError: the model needs code of its own, is quantised, or is of none of ``ARCHITECTURES``.
    """
    _refuse_code(config, "model")
    kind = config.get("model_type")
    if kind not in ARCHITECTURES:
        raise PolicyFormatError(f"its model_type is {kind!r}, expected one of: {', '.join(ARCHITECTURES)}")
    if config.get("is_encoder_decoder"):
        raise PolicyFormatError("it is an encoder and a decoder, expected a causal language model")
    return {key: value for key, value in config.items() if key not in _LEFT_OUT and not key.startswith("_")}


def _refuse_code(config: Mapping[str, Any], what: str) -> None:
    for key, reason in _REFUSED_KEYS.items():
        if config.get(key):
            raise PolicyFormatError(f"the config of the {what} has {key}: it {reason}")


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        PolicyFormatError: the file cannot be read, or holds something else.
    """
    try:
        content = json.loads(file.read_bytes())
    except OSError as error:
        raise PolicyFormatError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise PolicyFormatError(f"{file} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise PolicyFormatError(f"{file}: expected a JSON object, got {str(content)[:80]}")
    return content
