"""The names of files that nights write."""

from __future__ import annotations

from pathlib import Path

from molbuffer.flows.errors import UsageError
from molbuffer.storage import now


def dated(template: str) -> Path:
    """Return the path of a file of this night, whose folder is made.

    ``{date}`` and ``{time}`` in it become those of now, in UTC.

    Raises:
        UsageError: there are other fields in it.
    """
    moment = now()
    try:
        named = template.format(date=moment.strftime("%Y-%m-%d"), time=moment.strftime("%H%M%S"))
    except (KeyError, IndexError, ValueError) as error:
        raise UsageError(f"expected a path with at most {{date}} and {{time}} in it, got {template!r}") from error
    path = Path(named)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
