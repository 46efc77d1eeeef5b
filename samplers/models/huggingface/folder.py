"""Checks of the folder of a Hugging Face model before it is loaded.

The files that are read are ``config.json``, ``tokenizer.json``, ``tokenizer_config.json`` and
``special_tokens_map.json`` for the names of special tokens, and weights in safetensors. Nothing in a folder is
executed: code in the folder and pickled weights are refused, and so are architectures outside of ``ARCHITECTURES``,
some of which load code from the network.
The module imports no torch, so that a configuration can be checked quickly.
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
"""The keys of a config that describe the origin or the execution of a model, and not its architecture."""


def is_huggingface(folder: Path) -> bool:
    """Return whether a folder has a Hugging Face model: its config has a ``model_type``, and is not molbuffer's."""
    try:
        config = json.loads((folder / CONFIG).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and "model_type" in config and "kind" not in config


def check_folder(folder: Path) -> None:
    """Refuse a folder that cannot become a policy, by the names of its files and its JSON; weights are not read.

    Raises:
        PolicyFormatError: the folder has code or pickles, lacks a file, or has a model of another kind.
    """
    try:
        checked_config(read_json(folder / CONFIG))
        if (folder / TOKENIZER_CONFIG).exists():
            _refuse_code(read_json(folder / TOKENIZER_CONFIG), "tokenizer")
    except PolicyFormatError as error:
        raise PolicyFormatError(f"the model in {folder}: {error}") from error
    if scripts := sorted(file.name for file in folder.glob("*.py")):
        raise PolicyFormatError(f"the model in {folder} comes with code of its own ({scripts[0]}), which is never run")
    try:
        _check_weights(folder)
        if not (folder / TOKENIZER).exists():
            raise PolicyFormatError(f"it has no {TOKENIZER}; save its fast tokenizer with save_pretrained")
        if not isinstance(read_json(folder / TOKENIZER).get("model"), dict):
            raise PolicyFormatError(f"{folder / TOKENIZER} has no table `model`, which has the tokens; save it again")
    except PolicyFormatError as error:
        raise PolicyFormatError(f"the model in {folder}: {error}") from error


def _check_weights(folder: Path) -> None:
    """Refuse weights that are missing, damaged, or no safetensors."""
    if (folder / WEIGHTS).exists():
        check_safetensors(folder / WEIGHTS)
    elif (folder / SHARDS).exists():
        parts = read_json(folder / SHARDS).get("weight_map")
        names = sorted({str(name) for name in parts.values()}) if isinstance(parts, dict) else []
        if not names or any(Path(name).name != name for name in names):
            raise PolicyFormatError(f"{folder / SHARDS} has no table `weight_map` with the names of files beside it")
        for name in names:
            check_safetensors(folder / name)
    else:
        pickles = sorted(file.name for pattern in PICKLES for file in folder.glob(pattern))
        found = f"; {pickles[0]} is a pickle, which may run code and is never read" if pickles else ""
        raise PolicyFormatError(f"it has no {WEIGHTS}{found}; save it with save_pretrained, which writes safetensors")


def check_safetensors(file: Path) -> None:
    """Refuse a file that is cut off, or is not a safetensors file; only its header is read.

    Raises:
        PolicyFormatError: the file cannot be read, is not a safetensors file, or is damaged.
    """
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(_LENGTH_BYTES), "little")
            header = json.loads(opened.read(length)) if length <= size - _LENGTH_BYTES else None
    except OSError as error:
        raise PolicyFormatError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise PolicyFormatError(f"{file} is not a file of safetensors: {error}") from error
    tensors = [each for name, each in header.items() if name != "__metadata__"] if isinstance(header, dict) else []
    try:
        expected = _LENGTH_BYTES + length + max(int(each["data_offsets"][1]) for each in tensors)
    except (ValueError, TypeError, LookupError):
        raise PolicyFormatError(f"{file} is not a file of safetensors, or is cut off at {size} bytes") from None
    if size != expected:
        raise PolicyFormatError(
            f"{file} is cut off or damaged: it has {size} bytes, expected {expected}; copy it again"
        )


_LENGTH_BYTES = 8
"""The number of bytes, at the start of a safetensors file, of the length of its header."""


def checked_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a ``config.json`` that describe the architecture.

    Raises:
        PolicyFormatError: the model needs code of its own, is quantised, or is not of one of ``ARCHITECTURES``.
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
        PolicyFormatError: the file cannot be read, or is not a JSON object.
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
