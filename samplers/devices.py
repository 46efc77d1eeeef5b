"""Devices: the CPU or GPUs on which models draw and learn.

A model and its input tensors are on its device. Everything else stays on the CPU: stored rows, latent priors and
vectors, and the random generators, so that a seed gives the same numbers on every machine.
"""

from __future__ import annotations

import torch

from molbuffer.samplers.errors import DeviceError

AUTO = "auto"
"""The name of the fastest device of the machine."""
TYPES = ("cpu", "cuda", "mps")
"""The types of devices."""


def find_device(name: str) -> torch.device:
    """Return the device of a name: "auto", "cpu", "mps", "cuda", or one of several as "cuda:1".

    Raises:
        DeviceError: this machine has no such device, or the name is not that of a device.
    """
    there = available_devices()
    if name == AUTO:
        return torch.device(there[-1])
    kind, separator, number = name.partition(":")
    if kind not in TYPES or (separator and (kind != "cuda" or not number.isdecimal())):
        raise DeviceError(f"got the device {name!r}, expected one of: {AUTO}, {', '.join(TYPES)}, cuda:NUMBER")
    if kind not in there:
        raise DeviceError(f"this machine has no device {name!r} that torch can use, only {', '.join(there)}")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise DeviceError(f"there is no device {name!r}: this machine has {torch.cuda.device_count()}, from cuda:0 on")
    return torch.device(name)


def available_devices() -> list[str]:
    """Return the types of devices of this machine, the fastest last."""
    found = {"cpu": True, "mps": torch.backends.mps.is_available(), "cuda": torch.cuda.is_available()}
    return [name for name, there in found.items() if there]
