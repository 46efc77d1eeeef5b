"""The option ``--max-size``: the largest size of an archive that a command accepts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from molbuffer.storage import ArchiveLimits

MaxSizeOption = Annotated[
    float,
    typer.Option(
        "--max-size",
        metavar="GB",
        min=0,
        help="Refuse an archive that is larger, unpacked or decoded; in units of 10⁹ bytes.",
    ),
]
DEFAULT_MAX_SIZE = 200.0


def limits(max_size: float) -> ArchiveLimits:
    """Return the limits of an archive of at most ``max_size`` gigabytes."""
    from molbuffer.storage import ArchiveLimits

    return ArchiveLimits(bytes=int(max_size * 10**9))
