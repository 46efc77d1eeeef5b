"""The base class of the tables of a configuration file, and the types of their keys."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from molbuffer.kinds import Section, Text

__all__ = ["DEFAULT_BATCH_SIZE", "DEFAULT_ITERATIONS", "LARGEST_SEED", "Section", "Texts"]

LARGEST_SEED = 2**63 - 1
"""The largest integer that a column of the store can hold."""

DEFAULT_ITERATIONS, DEFAULT_BATCH_SIZE = 100, 64
"""The defaults of a campaign, which rules over several keys also need."""

Texts = Annotated[tuple[Text, ...], Field(strict=False)]
"""A list of texts. It is not strict, because a list from a file becomes a tuple, which is immutable."""
