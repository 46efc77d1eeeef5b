"""A problem of an archive, which may be one of several."""

from __future__ import annotations

from typing import NamedTuple

from molbuffer.storage.errors import ArchiveFault


class Problem(NamedTuple):
    """A problem of an archive.

    Attributes:
        fault: the sort of the problem.
        text: the description of the problem, for people.
        name: the path of the file in the archive; None if the problem does not concern one file.
    """

    fault: ArchiveFault
    text: str
    name: str | None = None
