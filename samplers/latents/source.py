"""What latent vectors are drawn from, as files: a prior's parameters, or the vectors themselves.

Like a policy, a version is a folder of the store that is named by its content, with ``weights.safetensors`` and
``config.json``. Nothing in it is executed on loading.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from molbuffer.samplers.errors import PolicyFormatError
from molbuffer.samplers.latents.priors import NormalPrior, SphericalPrior
from molbuffer.storage import Place, content_sha256

WEIGHTS, CONFIG = "weights.safetensors", "config.json"


class LatentSource(Protocol):
    """Something with parameters that latent vectors come from."""

    kind: str

    @property
    def latent_size(self) -> int: ...

    def architecture(self) -> Mapping[str, Any]: ...

    def as_module(self) -> nn.Module: ...


class LatentTable(nn.Module):
    """Latent vectors [m, d] themselves."""

    kind = "latents"

    def __init__(self, count: int, latent_size: int) -> None:
        super().__init__()
        if count < 1 or latent_size < 1:
            raise ValueError(f"count and latent_size must be >= 1, got {count} and {latent_size}")
        self.vectors = nn.Parameter(torch.zeros(count, latent_size))

    @classmethod
    def of(cls, vectors: Tensor) -> LatentTable:
        """The distinct rows of vectors [m, d], each where it occurs first."""
        different = {row.numpy().tobytes(): row for row in vectors.detach().float()}
        table = cls(len(different), vectors.shape[1])
        table.vectors.data = torch.stack(list(different.values()))
        return table

    @property
    def latent_size(self) -> int:
        return self.vectors.shape[1]

    def architecture(self) -> Mapping[str, Any]:
        return {"count": len(self.vectors), "latent_size": self.latent_size}

    def as_module(self) -> nn.Module:
        return self


_SOURCES: Mapping[str, Callable[..., LatentSource]] = {
    NormalPrior.kind: NormalPrior,
    SphericalPrior.kind: SphericalPrior,
    LatentTable.kind: LatentTable,
}
"""What makes a source of each kind, of its architecture."""


def latent_files(source: LatentSource) -> dict[str, bytes]:
    """The files of a source by name; equal parameters give equal bytes."""
    weights = {name: tensor.detach().contiguous() for name, tensor in source.as_module().state_dict().items()}
    config = {"kind": source.kind, "architecture": dict(source.architecture())}
    return {WEIGHTS: save(weights), CONFIG: json.dumps(config, indent=1, sort_keys=True).encode()}


def load_latents(folder: Place) -> LatentSource:
    """The source in a folder.

    Raises:
        PolicyFormatError: a file is missing or damaged, or is that of something else.
    """
    try:
        config = json.loads((folder / CONFIG).read_bytes())
        if config["kind"] not in _SOURCES:
            known = ", ".join(sorted(_SOURCES))
            raise PolicyFormatError(f"{folder} is a {config['kind']!r}, expected what latents are drawn from: {known}")
        source = _SOURCES[config["kind"]](**config["architecture"])
        source.as_module().load_state_dict(load((folder / WEIGHTS).read_bytes()))
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise PolicyFormatError(f"the files in {folder} do not make a source of latents: {error}") from error
    return source


class LatentState:
    """A source that may be in training, and the sha256 of it as it is now."""

    def __init__(self, source: LatentSource) -> None:
        self.source = source
        self._sha256: str | None = None

    @property
    def sha256(self) -> str:
        """Under which the store would keep it."""
        if self._sha256 is None:
            self._sha256 = content_sha256(latent_files(self.source))
        return self._sha256

    def changed(self) -> None:
        """To be called whenever a parameter has changed."""
        self._sha256 = None
