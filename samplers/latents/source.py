"""Sources of latent vectors as files: the parameters of a latent prior, or the vectors themselves.

Like a policy, a version of a source is a folder of the store, named by the sha256 of its content, with
``weights.safetensors`` and ``config.json``. Loading it executes no code.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from molbuffer.samplers.errors import PolicyFormatError
from molbuffer.samplers.latents.priors import LatentSource, NormalPrior, SphericalPrior
from molbuffer.storage import Place, content_sha256

WEIGHTS, CONFIG = "weights.safetensors", "config.json"


class LatentTable(LatentSource):
    """A table of latent vectors [m, d]."""

    kind = "latents"

    def __init__(self, count: int, latent_size: int) -> None:
        super().__init__()
        if count < 1 or latent_size < 1:
            raise ValueError(f"count and latent_size must be >= 1, got {count} and {latent_size}")
        self.vectors = nn.Parameter(torch.zeros(count, latent_size, device="cpu"))

    @classmethod
    def of(cls, vectors: Tensor) -> LatentTable:
        """Make a table of the distinct rows of vectors [m, d], in the order of their first occurrence."""
        different = {row.numpy().tobytes(): row for row in vectors.detach().float()}
        table = cls(len(different), vectors.shape[1])
        table.vectors.data = torch.stack(list(different.values()))
        return table

    @property
    def latent_size(self) -> int:
        return self.vectors.shape[1]

    def architecture(self) -> Mapping[str, Any]:
        return {"count": len(self.vectors), "latent_size": self.latent_size}


_SOURCES: Mapping[str, Callable[..., LatentSource]] = {
    NormalPrior.kind: NormalPrior,
    SphericalPrior.kind: SphericalPrior,
    LatentTable.kind: LatentTable,
}
"""The class of each kind of source."""


def latent_files(source: LatentSource) -> dict[str, bytes]:
    """Return the files of a source by name; equal parameters give equal bytes."""
    weights = {name: tensor.detach().contiguous() for name, tensor in source.state_dict().items()}
    config = {"kind": source.kind, "architecture": dict(source.architecture())}
    return {WEIGHTS: save(weights), CONFIG: json.dumps(config, indent=1, sort_keys=True).encode()}


def load_latents(folder: Place) -> LatentSource:
    """Load the source in a folder.

    Raises:
        PolicyFormatError: a file is missing or damaged, or the folder holds something else.
    """
    try:
        config = json.loads((folder / CONFIG).read_bytes())
        if config["kind"] not in _SOURCES:
            known = ", ".join(sorted(_SOURCES))
            raise PolicyFormatError(f"{folder} is of kind {config['kind']!r}, expected a source of latents: {known}")
        weights = load((folder / WEIGHTS).read_bytes())
        # Sizes that are larger than the weights could take any amount of memory.
        if (expected := math.prod(config["architecture"].values())) > sum(map(Tensor.numel, weights.values())):
            raise ValueError(f"the architecture has {expected} numbers or more, and the weights fewer")
        source = _SOURCES[config["kind"]](**config["architecture"])
        source.load_state_dict(weights)
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise PolicyFormatError(f"the files in {folder} do not make a source of latents: {error}") from error
    return source


class LatentState:
    """A source that may be in training, with the sha256 of its present parameters."""

    def __init__(self, source: LatentSource) -> None:
        self.source = source
        self._sha256: str | None = None

    @property
    def sha256(self) -> str:
        """The sha256 of the source with its present parameters, under which the store would keep it."""
        if self._sha256 is None:
            self._sha256 = content_sha256(latent_files(self.source))
        return self._sha256

    def changed(self) -> None:
        """Forget the sha256; a trainer calls this whenever it has changed a parameter."""
        self._sha256 = None
