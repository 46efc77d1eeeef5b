"""The base class of the tables of a configuration file, and the types of their keys."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from molbuffer.kinds import Section, Text

__all__ = ["DEFAULT_BATCH_SIZE", "DEFAULT_ITERATIONS", "DEVICE", "LARGEST_SEED", "DeviceName", "Section", "Texts"]

LARGEST_SEED = 2**63 - 1
"""The largest integer that a column of the store can hold."""

DEFAULT_ITERATIONS, DEFAULT_BATCH_SIZE = 100, 64
"""The defaults of a campaign, which the rules on several keys also use."""

DEVICE = re.compile(r"auto|cpu|mps|cuda(:[0-9]+)?")


def _device_name(name: str) -> str:
    if not DEVICE.fullmatch(name):
        raise ValueError(f"got {name!r}, expected one of: auto, cpu, cuda, cuda:NUMBER, mps")
    return name


DeviceName = Annotated[Text, AfterValidator(_device_name)]
"""The name of a device, which may not exist on this machine."""

Texts = Annotated[tuple[Text, ...], Field(strict=False)]
"""A list of texts. It is not strict, because a list from a file becomes a tuple, which is immutable."""
