"""Seeds: the random numbers of a draw depend only on the campaign's seed and on the purpose of the draw."""

from __future__ import annotations

import hashlib

import numpy as np
import torch


def derive_seed(seed: int, *parts: int | str) -> int:
    """Return a seed in [0, 2^63) for one purpose, independent of the seeds for others and of PYTHONHASHSEED."""
    text = "\x1f".join(map(str, (seed, *parts)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def torch_generator(seed: int, *parts: int | str) -> torch.Generator:
    """Return a torch CPU generator for one purpose."""
    return cpu_generator(derive_seed(seed, *parts))


def cpu_generator(seed: int) -> torch.Generator:
    """Return a torch generator of the CPU, whose numbers do not depend on the device that they are moved to."""
    return torch.Generator("cpu").manual_seed(seed)


def numpy_generator(seed: int, *parts: int | str) -> np.random.Generator:
    """Return a numpy generator for one purpose."""
    return np.random.default_rng(derive_seed(seed, *parts))
