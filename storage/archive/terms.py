"""The licence and the authors of an archive."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

PERSON = re.compile(r"\s*(?P<name>[^<>]*[^<>\s])\s*(?:<(?P<id>[^<>\s]+)>)?\s*")
"""The form of an author: a name, and optionally an address in angle brackets."""


@dataclass(frozen=True)
class ArchiveTerms:
    """The licence and the authors of an archive.

    Attributes:
        license: the licence: an SPDX identifier such as CC-BY-4.0, an address, or a text; None for no statement.
        authors: the names of the authors, each with an optional identifier, as in "Ada Lovelace
            <https://orcid.org/0000-0002-1825-0097>".

    Raises:
        ValueError: an author has another form, or the licence is empty.
    """

    license: str | None = None
    authors: Sequence[str] = ()

    def __post_init__(self) -> None:
        for author in self.authors:
            if not PERSON.fullmatch(author):
                raise ValueError(
                    f"expected an author as NAME, or as NAME <ADDRESS> with an ORCID or another address, got {author!r}"
                )
        if self.license is not None and not self.license.strip():
            raise ValueError("expected a licence, such as CC-BY-4.0, got an empty text")
