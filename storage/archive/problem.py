"""A fault of an archive that is found, and may be one of several."""

from __future__ import annotations

from typing import NamedTuple

from molbuffer.storage.errors import ArchiveFault


class Problem(NamedTuple):
    """What is wrong with an archive.

    Attributes:
        fault: of which sort it is.
        text: what it is, for people.
        name: the file, by its path in the archive; None when it is not one file.
    """

    fault: ArchiveFault
    text: str
    name: str | None = None
