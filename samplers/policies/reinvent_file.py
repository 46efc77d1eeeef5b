"""Reading the model files of REINVENT 4 without executing code in them.

Such a file is a pickle, which can execute any code when it is read. torch's restricted reader makes only tensors and
plain values. Objects of REINVENT's own classes, which old files have, become records of their attributes; the classes
are not imported. A file that names any other class or function is refused before it is read.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from molbuffer.samplers.errors import PolicyFormatError

MODEL_TYPE = "Reinvent"
_REINVENT_MODULES = ("reinvent.", "reinvent_models.")
_PLAIN_CLASSES = ("uuid.UUID",)
"""Classes of other packages in REINVENT's metadata on a model's origin."""


class SavedObject:
    """A record of the attributes of a REINVENT object in a file."""


def read_reinvent_file(content: bytes, path: Path) -> dict[str, Any]:
    """Return the contents, by name, of a file of REINVENT's model type ``Reinvent``.

    Args:
        content: the bytes of the file.
        path: the file, for errors.

    Raises:
        PolicyFormatError: the file is damaged, would execute code, or has a model of another type.
    """
    if not zipfile.is_zipfile(io.BytesIO(content)):
        raise PolicyFormatError(f"{path} is no model of REINVENT 4, which is a zip file as torch.save writes it")
    try:
        _refuse_what_expands_or_is_damaged(content, path)
        saved = _read(content, path)
    except PolicyFormatError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise PolicyFormatError(f"{path} cannot be read as a model of REINVENT: {error}") from error
    if not isinstance(saved, dict):
        raise PolicyFormatError(f"{path}: expected a dictionary with a model of REINVENT, got {type(saved).__name__}")
    if (found := _model_type(saved)) != MODEL_TYPE:
        raise PolicyFormatError(f"{path} holds a model of type {found!r}; only type {MODEL_TYPE!r} can be imported")
    return saved


def weights_of(saved: Mapping[str, Any], path: Path, limit: int) -> dict[str, Tensor]:
    """Return the network's weights by name, in float32.

    Args:
        saved: the contents of the file.
        path: the file, for errors.
        limit: the number of bytes of the file.

    Raises:
        PolicyFormatError: a weight is no ordinary tensor, or is larger than the file.
    """
    network = saved.get("network")
    if not isinstance(network, Mapping):
        raise PolicyFormatError(f"{path}: expected the weights of a network, got {type(network).__name__}")
    for name, weight in network.items():
        if not isinstance(weight, Tensor) or weight.layout is not torch.strided or weight.device.type != "cpu":
            raise PolicyFormatError(f"{path}: expected {name!r} to be an ordinary tensor, got {type(weight).__name__}")
        # A tensor of stride 0 can claim any shape with a single number.
        if weight.numel() > limit:
            raise PolicyFormatError(f"{path}: {name!r} claims {weight.numel()} numbers, more than the file has bytes")
    return {str(name): weight.detach().float() for name, weight in network.items()}


def _read(content: bytes, path: Path) -> Any:
    named = get_unsafe_globals_in_checkpoint(io.BytesIO(content))
    foreign = sorted(name for name in named if not name.startswith(_REINVENT_MODULES) and name not in _PLAIN_CLASSES)
    if foreign:
        raise PolicyFormatError(
            f"{path} is refused: reading it would use {', '.join(foreign)}, which no prior of REINVENT needs"
        )
    with safe_globals([(SavedObject, name) for name in named]):
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def _refuse_what_expands_or_is_damaged(content: bytes, path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        claimed = sum(entry.file_size for entry in archive.infolist())
        if claimed > len(content):
            raise PolicyFormatError(
                f"{path} is refused: it would expand to {claimed} bytes; torch.save compresses nothing"
            )
        # torch compares no checksums: without this, a flipped bit would make another model.
        damaged = archive.testzip()
    if damaged is not None:
        raise PolicyFormatError(f"{path} is damaged: {damaged!r} in it differs from its checksum; fetch the file again")


def _model_type(saved: Mapping[str, Any]) -> str:
    """Return the model type of a file; old files have none, but no other type has a ``network``."""
    model_type = saved.get("model_type")
    return str(model_type) if model_type else MODEL_TYPE if "network" in saved else "unknown"
