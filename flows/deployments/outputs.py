"""The files that nights write: their names, and where Prefect's page says they are."""

from __future__ import annotations

import platform
from pathlib import Path

from molbuffer.flows.campaign import inform
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


def show_report(path: Path) -> None:
    """Say on Prefect's page where a report is. It is on the worker's host: a server keeps no file of 10 MB."""
    from prefect.artifacts import create_link_artifact

    text = f"{path} on {platform.node()}, {path.stat().st_size / 1e6:.1f} MB; browsers open it from there only"
    create_link_artifact(path.absolute().as_uri(), link_text=path.name, key="molbuffer-report", description=text)
    inform(f"the report is {text}")
