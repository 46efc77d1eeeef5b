"""The output files of scheduled flows: their names, and their links on Prefect's page."""

from __future__ import annotations

import platform
from pathlib import Path

from molbuffer.flows.campaign import inform
from molbuffer.flows.errors import UsageError
from molbuffer.storage import now


def dated(template: str) -> Path:
    """Return the path of an output file, and make its folder.

    ``{date}`` and ``{time}`` in the template become the present date and time, in UTC.

    Raises:
        UsageError: the template has other fields.
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
    """Publish a link to a report on Prefect's page. The file stays on the worker's host, since it may have 10 MB."""
    from prefect.artifacts import create_link_artifact

    text = f"{path} on {platform.node()}, {path.stat().st_size / 1e6:.1f} MB; the link works on that host only"
    create_link_artifact(path.absolute().as_uri(), link_text=path.name, key="molbuffer-report", description=text)
    inform(f"the report is {text}")
