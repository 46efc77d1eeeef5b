"""Leave out the components and filters of a converted campaign that ``config check`` refuses."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from molbuffer.flows.errors import UsageError
from molbuffer.flows.settings import ConfigurationError, KeyPath, Problem, load_settings
from molbuffer.flows.tools.reinvent_config.toml_text import commented_out, toml_text


def accepted(data: dict[str, Any], file: Path) -> tuple[str, list[Problem]]:
    """Return the configuration as text without the components and filters that molbuffer refuses, and the reasons.

    Raises:
        UsageError: no component is left, or molbuffer refuses another part of the configuration.
    """
    left_out: list[str] = []
    said: list[Problem] = []
    while True:
        text = _text(data, file, left_out)
        problems = _problems(text, file)
        if not problems:
            return text, said
        refused = {found: problem for problem in problems if (found := _list_entry(problem.path)) is not None}
        if not refused:
            break
        # The last ones are removed first, so that the positions of the others stay valid.
        for path in sorted(refused, key=lambda path: path[-1], reverse=True):
            table = _remove(data, path)
            said.append(Problem((), f"{table.get('name', table.get('label'))!r} is left out: {refused[path].message}"))
            left_out.append(commented_out("filters" if "filters" in path else "objective.components", table))
    reasons = "\n".join(f"  {each}" for each in [*said, *problems])
    raise UsageError(f"{file} cannot be converted: no component is left, or the campaign is refused\n{reasons}")


def _text(data: Mapping[str, Any], file: Path, left_out: Sequence[str]) -> str:
    head = [
        f"Converted from {file.name}, a configuration of REINVENT 4, by `molbuffer config from-reinvent`.",
        "`molbuffer config example` explains every key.",
    ]
    written = toml_text(data, comment=head)
    return (
        "\n".join([written, "# Left out, since they are refused as they stand.", *left_out, ""])
        if left_out
        else written
    )


def _problems(text: str, file: Path) -> list[Problem]:
    """Return the problems that ``config check`` would report of a text, except for a missing device."""
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / f"{file.stem}.toml"
        written.write_text(text, encoding="utf-8")
        try:
            load_settings(written, check_device=False)
        except ConfigurationError as error:
            return [replace(problem, line=None) for problem in error.problems]
    return []


def _list_entry(path: KeyPath) -> KeyPath | None:
    """Return the path of the component or filter that a key belongs to; None for any other key."""
    for place in ("components", "filters"):
        if place in path and len(path) > (at := path.index(place) + 1):
            return path[: at + 1]
    return None


def _remove(data: dict[str, Any], path: KeyPath) -> dict[str, Any]:
    found: Any = data
    for part in path[:-1]:
        found = found[part]
    removed: dict[str, Any] = found.pop(path[-1])
    return removed
